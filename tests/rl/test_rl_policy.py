"""The embedded policy and the sampler: real training and real drawing, on a model too small to write anything."""

import asyncio
import math
import shutil
from collections import Counter

import pytest

from kindling.errors import CallError, ConfigError, InputError, RunFolderError
from kindling.records import Query
from kindling.rl.policy import runtime
from kindling.rl.policy.base import Schedule, Shape, make_base
from kindling.rl.policy.generator import PolicyGenerator
from kindling.rl.policy.sampling import Sampler, Sampling

# the libraries' own deprecations are not ours to mend
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("offline")]

SMALL = Shape(hidden=32, layers=2, heads=2, key_value_heads=1, feed_forward=64, entries=400)
BRIEF = Schedule(epochs=2, batch=8)
SUBJECTS = ("山", "海", "风", "雨", "雪", "月", "花", "茶")
PAIRS = [(f"写{one}和{other}", f"{one}在左，{other}在右。") for one in SUBJECTS for other in SUBJECTS]
QUERIES = ("写山和海", "写一首很长很长的关于风雨的诗，不要题目", "茶", "write about the sea", "写雪\n和月")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_base(PAIRS, tmp_path_factory.mktemp("base") / "model", shape=SMALL, schedule=BRIEF)


@pytest.fixture(scope="module")
def sampler(folder):
    return Sampler(str(folder))


# ---- the base


def test_the_same_seed_gives_the_same_folder_and_another_seed_another_model(folder, tmp_path):
    again = make_base(PAIRS, tmp_path / "again", shape=SMALL, schedule=BRIEF)
    other = make_base(PAIRS, tmp_path / "other", seed=1, shape=SMALL, schedule=BRIEF)
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert files == {file.name: file.read_bytes() for file in again.iterdir()}
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "generation_config.json"} <= files.keys()
    assert files["model.safetensors"] != (other / "model.safetensors").read_bytes()


def test_training_lowers_the_loss_on_its_texts(folder, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    untrained = make_base(PAIRS, tmp_path / "m", shape=SMALL, schedule=Schedule(epochs=1, batch=64, learning_rate=0))
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": PAIRS[5][0]}, {"role": "assistant", "content": PAIRS[5][1]}], tokenize=False
    )
    given = tokenizer(text, return_tensors="pt")
    losses = []
    for path in (folder, untrained):
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        losses.append(model(**given, labels=given["input_ids"]).loss.item())
    assert losses[0] < losses[1] - 0.3


def test_the_shipped_size_is_a_few_million_parameters():
    from kindling.rl.policy.base import _new_model
    from kindling.rl.policy.tokenizer import make_tokenizer

    tokenizer = make_tokenizer(chr(0x4E00 + place) * 2 for place in range(6000))
    assert len(tokenizer) == Shape().entries
    assert 2.0e6 < _new_model(tokenizer, Shape(), 0).num_parameters() < 2.6e6


def test_a_run_that_ends_early_leaves_nothing_behind(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_base(PAIRS, tmp_path / "model", shape=SMALL, schedule=BRIEF, on_step=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(folder):
    before = sorted(file.stat().st_mtime_ns for file in folder.iterdir())
    with pytest.raises(RunFolderError, match="exists already"):
        make_base(PAIRS, folder)
    assert sorted(file.stat().st_mtime_ns for file in folder.iterdir()) == before


def test_responses_beyond_the_limit_take_no_part(tmp_path):
    steps = []
    schedule = Schedule(epochs=1, batch=len(PAIRS), longest=20)
    pairs = [*PAIRS, ("写山", "山" + "".join(chr(0x4E00 + place) for place in range(300)))]
    make_base(pairs, tmp_path / "m", shape=SMALL, schedule=schedule, on_step=lambda *step: steps.append(step))
    assert steps == [(1, 1)]


@pytest.mark.parametrize(
    "text", ['plain ASCII {"a": 1}\\n', "生僻字：龘靐", "😀\u2764\ufe0f\u200b\t\r\n  two  spaces ", "\x00\x7fé"]
)
def test_every_text_can_be_written_and_read_back(sampler, text):
    tokenizer = sampler._tokenizer
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_no_entry_of_the_vocabulary_holds_a_whole_sentence():
    from kindling.rl.policy.tokenizer import LONGEST, make_tokenizer

    entries = make_tokenizer(["春江潮水连海平海上明月共潮生。"] * 50, 2000).get_vocab()
    longest = max(len(entry) for entry in entries if not entry.startswith("<|"))
    assert LONGEST / 2 < longest <= LONGEST < len("海上明月共潮生".encode())


# ---- drawing


def texts_of(samples):
    return {(sample.query, sample.index): sample.text for sample in samples}


def test_a_text_depends_on_seed_query_and_index_and_not_on_its_batch(folder, sampler):
    sampling = Sampling(max_new_tokens=24)
    whole = texts_of(sampler.draw(QUERIES, 4, sampling))
    one_by_one = texts_of(Sampler(str(folder), batch=1).draw(QUERIES[::-1], 4, sampling))
    assert whole == one_by_one
    assert len(set(whole.values())) > 15
    other = texts_of(sampler.draw(QUERIES, 4, Sampling(max_new_tokens=24, seed=1)))
    assert sum(whole[key] == other[key] for key in whole) < 3


def test_temperature_0_takes_the_likeliest_token_each_time(sampler):
    drawn = list(sampler.draw(QUERIES, 2, Sampling(temperature=0, max_new_tokens=12)))
    assert all(first.text == second.text for first, second in zip(drawn[::2], drawn[1::2], strict=True))
    tokenizer, model = sampler._tokenizer, sampler._model
    for sample in drawn[::2]:
        given = tokenizer(sampler._prompt(sample.query), return_tensors="pt")
        rows = model.generate(**given, do_sample=False, max_new_tokens=12)
        tail = tokenizer.decode(rows[0, given["input_ids"].shape[1] :], skip_special_tokens=True)
        assert sample.text == tail.strip()


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.7)])
def test_tokens_are_drawn_with_the_probabilities_of_the_model(temperature, top_p):
    import torch

    from kindling.rl.policy.sampling import _processors

    count = 8000
    logits = torch.tensor([2.0, 1.5, 0.0, -1.0])
    asked = [("q", index) for index in range(count)]
    scores = logits.repeat(count, 1)
    for processor in _processors(asked, Sampling(temperature, top_p), torch.device("cpu")):
        scores = processor(torch.zeros(count, 1, dtype=torch.long), scores)
    drawn = Counter(scores.argmax(-1).tolist())
    expected = torch.softmax(logits / temperature, -1)
    if top_p < 1:
        expected = torch.where(torch.tensor([True, True, False, False]), expected, 0)
        expected = expected / expected.sum()
    for token, share in enumerate(expected.tolist()):
        assert abs(drawn[token] / count - share) <= 5 * math.sqrt(share * (1 - share) / count)


def test_a_text_is_finished_only_if_the_model_ended_it(sampler):
    short = list(sampler.draw(QUERIES, 4, Sampling(max_new_tokens=4)))
    assert all(sample.tokens <= 4 for sample in short)
    assert any(not sample.finished for sample in short)
    assert all(sample.finished or sample.tokens == 4 for sample in short)
    long = texts_of(sampler.draw(QUERIES, 4, Sampling(max_new_tokens=40)))
    ended = [sample for sample in short if sample.finished]
    assert all(long[sample.query, sample.index] == sample.text for sample in ended)


def test_the_pieces_of_a_streamed_text_are_the_text(sampler):
    tries = (Sampling(max_new_tokens=30, seed=seed) for seed in range(50))
    sampling = next(one for one in tries if next(iter(sampler.draw(QUERIES[:1], 1, one))).tokens > 6)
    pieces = []
    sample = sampler.stream(QUERIES[0], pieces.append, sampling)
    assert len(pieces) > 3
    assert "".join(pieces).strip() == sample.text
    assert [sample] == list(sampler.draw(QUERIES[:1], 1, sampling))


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        ("tokenizer_config.json", "no tokenizer"),
        ("chat_template.jinja", "no chat template"),
        ("model.safetensors", "no model to be had"),
        ("config.json", "to be had"),
    ],
)
def test_a_folder_that_is_no_policy_is_named_in_one_line(folder, tmp_path, lost, says):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / lost).unlink()
    with pytest.raises(InputError, match=says) as caught:
        Sampler(str(broken))
    assert str(broken) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(runtime, "NEEDS", ("nosuchpackage",))
    with pytest.raises(ConfigError, match=r"pip install 'kindling\[train\]'"):
        Sampler("anything")


# ---- a policy as a candidate source


class Counted(Sampler):
    """A sampler that keeps how many texts it drew together."""

    def __init__(self, model, batch):
        super().__init__(model, batch=batch)
        self.sizes = []

    def batch(self, asked, sampling=None):
        self.sizes.append(len(asked))
        return super().batch(asked, sampling)


async def test_calls_that_wait_together_are_drawn_together_and_each_gets_its_own(folder, sampler):
    sampling = Sampling(max_new_tokens=40, seed=3)
    counted = Counted(str(folder), 8)
    generator = PolicyGenerator(counted, sampling)
    asked = [(query, index) for query in QUERIES for index in range(4)]
    calls = [generator.generate(Query(query), (), index) for query, index in asked]
    given = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)
    assert counted.sizes == [8, 8, 4]
    expected = sampler.batch(asked, sampling)
    for sample, candidate in zip(expected, given, strict=True):
        if sample.finished and sample.text:
            assert (candidate.text, candidate.index) == (sample.text, sample.index)
        else:
            assert isinstance(candidate, CallError)
            assert ("empty" if sample.finished else "cut off at 40 tokens") in str(candidate)


async def test_one_who_gives_up_waiting_costs_the_others_nothing(folder):
    generator = PolicyGenerator(Sampler(str(folder), batch=4), Sampling(max_new_tokens=60))
    calls = [asyncio.create_task(generator.generate(Query(QUERIES[0]), (), index)) for index in range(8)]
    await asyncio.sleep(0)
    calls[1].cancel()
    calls[6].cancel()
    done = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)
    assert [place for place, one in enumerate(done) if isinstance(one, asyncio.CancelledError)] == [1, 6]


class Failing(Sampler):
    """A sampler whose first batch breaks."""

    broken = False

    def batch(self, asked, sampling=None):
        if not self.broken:
            self.broken = True
            raise RuntimeError("out of memory")
        return super().batch(asked, sampling)


async def test_what_breaks_a_batch_is_told_to_all_who_wait_and_the_next_call_works(folder):
    generator = PolicyGenerator(Failing(str(folder)), Sampling(max_new_tokens=2))
    calls = [generator.generate(Query(query), (), 0) for query in QUERIES]
    failed = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)
    assert {str(one) for one in failed} == {"out of memory"}
    with pytest.raises(CallError, match="cut off at 2 tokens"):
        await asyncio.wait_for(generator.generate(Query(QUERIES[1]), (), 0), 60)
