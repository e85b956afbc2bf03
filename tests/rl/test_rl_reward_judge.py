"""A reward model as a judge: facts first, no verdict without a number, many callers at once as if each were alone."""

import asyncio
import threading
import time

import pytest

from kindling.errors import ConfigError
from kindling.records import Case, Fact
from kindling.rl.policy import runtime
from kindling.rl.training import calibration
from kindling.rl.training.batching import Batches
from kindling.rl.training.calibration import Calibration
from kindling.rl.training.reward_judge import RewardJudge, template
from kindling.rl.training.scoring import LEARNED

CALIBRATED = Calibration(1.0, 0.0, 50, "")


def length(pairs):
    return [len(said) - 5.0 for _, said in pairs]


def judge_of(score, calibrated=CALIBRATED):
    return RewardJudge(score, calibrated, "rm:runs/rm", "hash")


def never(pairs):
    raise AssertionError("was asked")


@pytest.fixture
def folder(tmp_path):
    """A model folder, as far as it is looked at before weights are loaded."""
    for name, text in (("config.json", "{}"), ("model.safetensors", "weights"), ("README.md", "card")):
        (tmp_path / name).write_text(text)
    calibration.save(tmp_path, CALIBRATED)
    return tmp_path


async def test_the_verdict_follows_from_the_calibrated_score():
    judge = judge_of(length, Calibration(2.0, 1.0, 50, ""))
    good, bad = [await judge.judge(Case("写", said)) for said in ("很长很长的话", "短")]
    assert (good.label, bad.label) == ("good", "bad")
    assert good.score == pytest.approx(1 / (1 + 2.718281828**-3))
    assert (good.judge, good.template, good.unscored) == ("rm:runs/rm", "hash", None)
    assert "1.00" in good.reason
    assert "0.95" in good.reason


async def test_a_missed_request_comes_before_anything_learned():
    facts = (Fact("chars", "8", "9", False), Fact("count", "1", "1", True))
    verdict = await judge_of(never).judge(Case("八个字", "很好很好很好", facts))
    assert (verdict.label, verdict.score, verdict.reason) == ("bad", 0.0, "chars: asked 8, has 9")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
async def test_a_score_that_is_no_number_is_no_judgement(value):
    verdict = await judge_of(lambda pairs: [value] * len(pairs)).judge(Case("写", "话"))
    assert (verdict.label, verdict.score) == (None, None)
    assert str(value) in verdict.unscored


async def test_a_text_that_breaks_the_model_leaves_its_neighbours_their_verdicts():
    def fragile(pairs):
        time.sleep(0.01)  # so that others come to wait
        if any(said == "毒" for _, said in pairs):
            raise RuntimeError("out of memory")
        return length(pairs)

    cases = [Case("写", "毒" if number == 7 else "话" * number) for number in range(1, 20)]
    verdicts = await asyncio.gather(*map(judge_of(fragile).judge, cases))
    assert [one.unscored for one in verdicts] == [None] * 6 + ["RuntimeError: out of memory"] + [None] * 12
    assert [one.label for one in verdicts if one.label] == ["bad"] * 5 + ["good"] * 13


async def test_no_weights_is_nobodys_judgement():
    def missing(pairs):
        raise ConfigError("no reward model here")

    asked = [judge_of(missing).judge(Case("写", said)) for said in "甲乙丙"]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in found] == [ConfigError] * 3


async def test_many_at_once_are_scored_in_few_passes_each_once_and_as_if_alone():
    passes = []

    def slow(pairs):
        passes.append(len(pairs))
        time.sleep(0.005)
        return length(pairs)

    cases = [Case("写", "话" * number) for number in range(200)]
    together = await asyncio.gather(*map(judge_of(slow).judge, cases))
    assert sum(passes) == 200
    assert max(passes) == 32
    assert len(passes) < 20
    alone = judge_of(length)
    assert together == [await alone.judge(case) for case in cases]


async def test_what_shares_a_pass_changes_no_verdict():
    """The last bits of a float depend on the shape of the batch; the verdict must not."""
    judge = judge_of(lambda pairs: [1.25 + 1e-7 * len(pairs)] * len(pairs))
    verdicts = await asyncio.gather(*(judge.judge(Case("写", "同")) for _ in range(40)))
    assert len(set(verdicts)) == 1


async def test_the_event_loop_goes_on_while_the_model_works():
    freed = threading.Event()

    def waits(pairs):
        assert freed.wait(10), "the loop that frees it stands still"
        return length(pairs)

    asked = asyncio.create_task(judge_of(waits).judge(Case("写", "话")))
    await asyncio.sleep(0.01)
    freed.set()
    assert (await asked).label == "bad"


async def test_who_is_cancelled_costs_the_others_nothing():
    begun, freed, scored = threading.Event(), threading.Event(), []

    def waits(pairs):
        begun.set()
        assert freed.wait(10)
        scored.extend(said for _, said in pairs)
        return length(pairs)

    judge = judge_of(waits)
    first = asyncio.create_task(judge.judge(Case("写", "甲")))
    await asyncio.to_thread(begun.wait, 10)
    gone, last = [asyncio.create_task(judge.judge(Case("写", said))) for said in "乙丙"]
    await asyncio.sleep(0)  # they wait for the model now
    gone.cancel()
    first.cancel()  # it is at work already
    await asyncio.sleep(0)
    freed.set()
    assert (await last).label == "bad"
    assert scored == ["甲", "丙"]


def test_two_event_loops_share_one_judge():
    judge, found = judge_of(length), {}

    def ask(name):
        async def all_of_them():
            return await asyncio.gather(*(judge.judge(Case(name, "话" * n)) for n in range(50)))

        found[name] = asyncio.run(all_of_them())

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("一", "二")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found["一"] == found["二"]
    assert len(found["一"]) == 50


async def test_an_answer_of_the_wrong_length_is_an_error_and_never_another_texts_score():
    with pytest.raises(ValueError, match="argument"):
        await asyncio.wait_for(Batches(lambda pairs: [], 4).score(("写", "话")), 10)


def test_the_hash_is_that_of_everything_that_decides(folder):
    before = template(folder)
    assert len(before) == 64
    (folder / "README.md").write_text("another card")
    (folder / ".calibration.json.x.tmp").write_text("half")
    assert template(folder) == before
    seen = {before}
    for name in ("model.safetensors", "config.json", calibration.FILE):
        (folder / name).write_bytes((folder / name).read_bytes() + b" ")
        seen.add(template(folder))
    (folder / "chat_template.jinja").write_text("new")
    seen.add(template(folder))
    assert len(seen) == 5


@pytest.fixture
def installed(monkeypatch):
    """As if the train extra were there: nothing here loads weights."""
    monkeypatch.setattr(runtime, "NEEDS", ())


def test_a_run_stands_for_its_model(folder, tmp_path, installed):
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    for file in [file for file in folder.iterdir() if file.is_file()]:
        file.rename(run / "model" / file.name)
    assert RewardJudge.open(run).template == RewardJudge.open(run / "model").template == template(run / "model")
    assert RewardJudge.open(run).name == f"rm:{run}"


def test_it_counts_the_texts_that_it_learned_from(folder, installed):
    assert RewardJudge.open(folder).seen(["甲"]) is None
    from kindling.records import fingerprint
    from kindling.tables import write_json

    write_json(folder / LEARNED, [fingerprint("祝你，快乐！")])
    assert RewardJudge.open(folder).seen(["祝你快乐", "祝我快乐"]) == 1


def test_a_folder_without_a_model_or_its_extra_is_one_line(folder, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no reward model here"):
        RewardJudge.open(tmp_path / "nowhere")
    monkeypatch.setattr(runtime, "NEEDS", ("no_such_library",))
    with pytest.raises(ConfigError, match=r"not installed; pip install 'kindling\[train\]'"):
        RewardJudge.open(folder)
    (folder / calibration.FILE).unlink()
    with pytest.raises(ConfigError, match=r"no calibration\.json"):
        RewardJudge.open(folder)
