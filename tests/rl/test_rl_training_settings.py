"""Settings, data and plans of training: what is wrong is named, what is left out is counted, no torch is needed."""

import json
import sys

import pytest

from kindling.errors import ConfigError, InputError
from kindling.rl.training import data
from kindling.rl.training.checkpoints import Stop, clear, newest, seal
from kindling.rl.training.plan import Shape, make_plan, read_shape
from kindling.rl.training.settings import STAGES, GrpoSettings, VllmSettings, micro_batch, resolve, section, split
from kindling.tables import write_jsonl

QWEN = {
    "model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False,
}  # fmt: skip


def test_the_papers_settings_are_what_it_prints():
    rm = resolve("rm", "paper")
    assert (rm.epochs, rm.batch, rm.micro_batch, rm.learning_rate) == (5, 128, 16, 2e-4)
    assert (rm.schedule, rm.warmup, rm.mode, rm.lora_rank, rm.precision) == ("cosine", 0.1, "lora", 16, "bf16")
    grpo = resolve("grpo", "paper")
    assert (grpo.prompts, grpo.group, grpo.mini_batch, grpo.epochs) == (32, 4, 16, 5)
    assert (grpo.prompt_tokens, grpo.completion_tokens, grpo.learning_rate) == (256, 512, 3e-7)
    assert (grpo.kl, grpo.entropy, grpo.steps_per_rollout) == (0.001, 0, 2)
    # 500 rollouts of 128: the 64,000 judgements that the paper names come from 3,200 prompts
    shape = Shape(64, 2, 2, 2, 32, 128, 100, tied=True, biased=False, normed_heads=False)
    plan = make_plan(shape, grpo, 3200, 20, gpu=True)
    assert (plan.rollouts, plan.steps, plan.judgements) == (500, 1000, 64_000)


def test_what_is_given_wins_over_the_preset_and_the_preset_over_the_embedded():
    assert resolve("grpo", "paper", embedded=True).group == 4
    assert resolve("grpo", embedded=True).group == 8
    assert resolve("grpo", "paper", embedded=True, given={"group": 6}).group == 6
    assert resolve("sft").mode == "lora"
    assert resolve("sft", embedded=True).mode == "full"


@pytest.mark.parametrize(
    ("stage", "given", "says"),
    [
        ("sft", {"learning_rat": 1}, r"train\.learning_rat: no such setting; there are .*learning_rate"),
        ("sft", {"epochs": 0}, r"train\.epochs: .*greater than 0"),
        ("rm", {"held_out": 0.9}, r"train\.held_out"),
        ("grpo", {"group": 1}, r"train\.group"),
        ("grpo", {"prompts": 10, "mini_batch": 4}, r"prompts \(10\) must be a multiple of mini_batch \(4\)"),
        ("grpo", {"batch": 8}, r"train\.batch: no such setting"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(stage, given, says):
    with pytest.raises(ConfigError, match=says) as error:
        resolve(stage, given=given)
    assert "\n" not in str(error.value)


def test_an_unknown_preset_or_vllm_mode_is_refused():
    with pytest.raises(ConfigError, match="unknown preset 'fast'; there are default, paper"):
        resolve("sft", "fast")
    with pytest.raises(ConfigError, match=r"vllm\.mode"):
        section(VllmSettings, "vllm", {"mode": "auto"})


def test_overrides_are_sorted_by_whose_they_are():
    given = ("train.epochs=2", "reward.length = 0", "roles.judge.votes=3", "train.schedule=linear", "odd")
    taken, rest = split(given, ("train", "reward"))
    assert taken == {"train": {"epochs": 2, "schedule": "linear"}, "reward": {"length": 0}}
    assert rest == ("roles.judge.votes=3", "odd")


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("at_most", [1, 3, 8, 100])
def test_however_it_is_shared_a_step_sees_the_whole_batch(processes, at_most):
    size, sums = micro_batch(48, at_most, processes)
    assert size * sums * processes == 48
    assert size <= at_most


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ConfigError, match="10 cannot be shared evenly by 4"):
        micro_batch(10, 8, 4)
    with pytest.raises(ConfigError, match="1 cannot be shared"):
        micro_batch(1, 8, 2)


MESSAGES = [{"role": "user", "content": "写一句"}, {"role": "assistant", "content": "好"}]


@pytest.mark.parametrize(
    ("stage", "row", "made"),
    [
        ("sft", {"messages": MESSAGES}, {"prompt": MESSAGES[:1], "completion": MESSAGES[1:]}),
        ("sft", {"prompt": MESSAGES[:1], "completion": "好"}, {"prompt": MESSAGES[:1], "completion": MESSAGES[1:]}),
        ("sft", {"query": "写一句", "response": "好"}, {"prompt": MESSAGES[:1], "completion": MESSAGES[1:]}),
        (
            "rm",
            {"query": "写一句", "chosen": "好", "rejected": "坏"},
            {"prompt": MESSAGES[:1], "chosen": MESSAGES[1:], "rejected": [{"role": "assistant", "content": "坏"}]},
        ),
        ("grpo", {"query": "写一句"}, {"prompt": MESSAGES[:1], "query": "写一句"}),
        ("grpo", {"prompt": "写一句", "other": 1}, {"prompt": MESSAGES[:1], "query": "写一句"}),
        ("grpo", {"prompt": [{"role": "system", "content": "s"}, MESSAGES[0]]},
         {"prompt": [{"role": "system", "content": "s"}, MESSAGES[0]], "query": "写一句"}),
        ("grpo", {"query": {"text": "写一句", "row": 0, "count": 1}, "status": "accepted"},
         {"prompt": MESSAGES[:1], "query": "写一句"}),
    ],
)  # fmt: skip
def test_every_usual_format_becomes_the_same_rows(stage, row, made, tmp_path):
    write_jsonl(tmp_path / "d.jsonl", [row])
    assert data.read(stage, tmp_path / "d.jsonl").rows == (made,)


def test_rows_that_cannot_be_used_are_counted_and_all_of_them_refused(tmp_path):
    pairs = [
        {"query": "q", "chosen": "a", "rejected": "b"},
        {"query": "q", "chosen": "a", "rejected": "a"},
        {"query": "q", "chosen": " ", "rejected": "b"},
        {"query": None, "chosen": "a", "rejected": "b"},
    ]
    write_jsonl(tmp_path / "p.jsonl", pairs)
    read = data.read("rm", tmp_path / "p.jsonl")
    assert len(read.rows) == 1
    assert read.left_out == {"chosen is rejected": 1, "empty text": 2}
    assert len(read.rows) + sum(read.left_out.values()) == len(pairs)
    write_jsonl(tmp_path / "p.jsonl", pairs[1:])
    with pytest.raises(InputError, match="none of its 3 rows can be used"):
        data.read("rm", tmp_path / "p.jsonl")


def test_what_is_called_bad_or_was_not_judged_is_no_example_to_learn_from(tmp_path):
    said = [
        {"verdict": "good"},
        {"verdict": "bad"},
        {"verdict": "unscored"},
        {"label": 1},
        {"label": 0},
        {"label": False},
    ]
    rows = [{"query": "q", "response": f"r{number}", **one} for number, one in enumerate(said)]
    write_jsonl(tmp_path / "j.jsonl", [*rows, {"query": "q", "response": "r6", "label": "birthday"}])
    read = data.read("sft", tmp_path / "j.jsonl")
    assert [data.text(row, "completion") for row in read.rows] == ["r0", "r3", "r6"]
    assert read.left_out == {"not called good": 4}
    assert len(data.read("grpo", tmp_path / "j.jsonl").rows) == 7  # their queries may be asked


@pytest.mark.parametrize(
    ("stage", "row", "says"),
    [
        ("sft", {"text": "a"}, r"row 1: no column 'query' \(there: text\)"),
        ("sft", {"messages": "a"}, "is no list of messages"),
        ("rm", {"query": "a", "chosen": "b"}, "no column 'rejected'"),
        ("grpo", {"text": "a"}, "no column 'query'"),
        ("grpo", {"prompt": [1]}, "prompt: is no list of messages"),
    ],
)
def test_a_file_without_its_columns_is_refused_by_row_and_name(stage, row, says, tmp_path):
    write_jsonl(tmp_path / "d.jsonl", [row])
    with pytest.raises(InputError, match=says):
        data.read(stage, tmp_path / "d.jsonl")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    for stage in STAGES:
        with pytest.raises(InputError, match=r"no .*jsonl in this folder"):
            data.read(stage, tmp_path)


def pairs(count, length=10):
    return [
        {
            "prompt": [{"role": "user", "content": f"q{n}"}],
            "chosen": [{"role": "assistant", "content": f"{n:0{length}}"}],
            "rejected": [{"role": "assistant", "content": "x" * (n % 20)}],
        }
        for n in range(count)
    ]


def test_no_query_is_on_both_sides_of_a_split_and_other_rows_do_not_move_it():
    rows = [*pairs(200), *pairs(200)]  # each query twice
    learn, measure = data.split_by_query(rows, 0.2, seed=3)
    assert len(learn) + len(measure) == len(rows)
    assert 20 <= len(measure) / 2 <= 60
    assert not {data.asks(row) for row in learn} & {data.asks(row) for row in measure}
    fewer, _ = data.split_by_query(rows[:50], 0.2, seed=3)
    assert [row for row in rows[:50] if row in learn] == fewer
    assert data.split_by_query(rows, 0.2, seed=4)[1] != measure


def test_swapped_pairs_differ_in_nothing_but_the_request():
    rows = pairs(100)
    made = data.swapped_pairs(rows, 1.5, seed=0)
    chosen = {data.text(row, "chosen"): data.asks(row) for row in rows}
    assert 100 < len(made) <= 200
    for row in made:
        assert chosen[data.text(row, "chosen")] == data.asks(row)
        assert abs(data.gap(row)) <= data.CLOSE
    texts, prompts = [row for row in made if "under" not in row], [row for row in made if "under" in row]
    assert abs(len(texts) - len(prompts)) <= 1
    assert all(chosen[data.text(row, "rejected")] != data.asks(row) for row in texts)
    for row in prompts:
        assert row["rejected"] == row["chosen"]
        assert data.asks({"prompt": row["under"]}) != data.asks(row)
    assert data.swapped_pairs(rows, 1.5, seed=0) == made
    assert data.swapped_pairs(rows[:1], 5, seed=0) == []


def test_the_plan_of_a_known_model_has_its_known_size(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(QWEN))
    shape = read_shape(tmp_path)
    assert shape.parameters == 7_615_616_512  # Qwen2.5-7B
    assert shape.adapters(16) == 40_370_176  # peft's count for all-linear, rank 16
    lora = make_plan(shape, resolve("sft"), 4000, 80, gpu=True)
    full = make_plan(shape, resolve("sft", given={"mode": "full"}), 4000, 80, gpu=True)
    assert lora.trainable < full.trainable == full.parameters
    assert lora.memory_total < full.memory_total
    assert lora.steps == full.steps == 375
    saved = make_plan(shape, resolve("sft", given={"gradient_checkpointing": True}), 4000, 80, gpu=True)
    assert saved.memory["activations"] < lora.memory["activations"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"hidden_size": "wide"}'])
def test_a_config_that_tells_no_shape_is_refused(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match="tells no shape"):
        read_shape(tmp_path)


def test_steps_end_where_max_steps_says():
    shape = Shape(64, 2, 2, 2, 32, 128, 100, tied=True, biased=False, normed_heads=False)
    settings = resolve("grpo", given={"max_steps": 7, "prompts": 4, "group": 2})
    assert isinstance(settings, GrpoSettings)
    plan = make_plan(shape, settings, 100, 20, gpu=False)
    assert (plan.steps, plan.rollouts, plan.judgements) == (7, 7, 56)


def test_only_a_whole_checkpoint_counts_and_half_ones_go(tmp_path):
    assert newest(tmp_path / "nowhere") is None
    for step in (5, 10, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert newest(tmp_path) is None
    seal(tmp_path, 5)
    seal(tmp_path, 10)
    assert newest(tmp_path) == tmp_path / "checkpoint-10"
    clear(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-5"]


def test_a_group_is_never_parted_among_processes(monkeypatch):
    from kindling.rl.training import grpo

    settings = resolve("grpo", given={"prompts": 6, "group": 4, "save_every": 5})
    for processes, whole in ((1, True), (2, True), (3, True), (4, False), (12, False)):
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        if whole:
            grpo.check(settings, 6, shadow=True)
        else:
            with pytest.raises(ConfigError, match=f"multiple of the {processes} processes"):
                grpo.check(settings, 6, shadow=True)


def test_the_first_reason_to_stop_stands():
    stop = Stop()
    stop.ask("no money", "budget", keep=False)
    stop.ask("SIGINT", "signal")
    assert (stop.why, stop.kind, stop.keep) == ("no money", "budget", False)


def test_nothing_of_it_needed_torch():
    assert "torch" not in sys.modules
