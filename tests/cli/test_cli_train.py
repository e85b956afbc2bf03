"""What `kindling train` does without torch: it plans, and refuses in one line what cannot be used, writing nothing."""

import json
from contextlib import closing

import pytest

from kindling.agents.calls import Answer
from kindling.agents.ledger import Ledger, Paid
from kindling.cli.training import request, run_folder
from kindling.errors import ConfigError
from kindling.rl.training import calibration
from kindling.rl.training.calibration import Calibration
from kindling.tables import write_jsonl

MODEL = {
    "model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
    "num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151936, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.fixture
def files(tmp_path):
    """Data for every stage, and a model's config.json."""
    rows = [{"query": f"写第{n}句", "response": "一路平安", "chosen": "一路平安", "rejected": "好"} for n in range(64)]
    write_jsonl(tmp_path / "d.jsonl", rows)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(json.dumps(MODEL))
    return tmp_path


def one_line(done, *says):
    assert done.status == 2, done.err
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert done.out == ""
    for words in says:
        assert words in done.err


@pytest.mark.parametrize("stage", ["sft", "rm", "grpo"])
def test_a_dry_run_plans_from_the_config_alone_and_writes_nothing(kindling, files, stage):
    more = ("--judge", "embedded", "--uncertified") if stage == "grpo" else ()
    before = sorted(files.rglob("*"))
    done = kindling(
        "train", stage, "--data", "d.jsonl", "--model", "model", "--out", "run", "--dry-run", "--json", *more
    )
    assert done.status == 0, done.err
    plan = done.answer["plan"]
    assert plan["parameters"] == 494_032_768  # Qwen2.5-0.5B
    assert 0 < plan["trainable"] < plan["parameters"]
    assert plan["memory_total"] > 2 * plan["parameters"]
    assert plan["steps"] > 0
    assert plan["judgements"] == (4 * 128 if stage == "grpo" else 0)  # 64 prompts are 4 rollouts of 16 times 8
    assert sorted(files.rglob("*")) == before


def test_a_dry_run_counts_the_calls_of_paid_judges_and_their_cost(kindling, files):
    (files / "kindling.toml").write_text(
        '[endpoints.e]\nbase_url = "http://127.0.0.1:9/v1"\n'
        '[roles.judge]\nendpoint = "e"\nmodel = "m"\nprice_in = 1.0\n'
    )
    command = ("train", "grpo", "--data", "d.jsonl", "--out", "run", "--uncertified", "--dry-run", "--json")
    done = kindling(*command, "--judge", "llm", "--shadow", "embedded")
    assert done.status == 0, done.err
    # 64 prompts, 8 a rollout: 8 rollouts of 64 completions, and 8 canaries beside each
    assert done.answer["calls"] == {"judge": 8 * (64 + 8)}
    assert done.answer["cost"] > 0
    assert done.answer["plan"]["parameters"] < 5_000_000  # the embedded one, which is not made yet


def test_an_endpoint_that_is_too_narrow_for_a_step_is_named_and_one_that_is_wide_enough_is_not(kindling, files):
    command = ("train", "grpo", "--data", "d.jsonl", "--out", "run", "--uncertified", "--judge", "llm", "--dry-run")
    for limit, warned in ((71, True), (72, False)):  # 64 completions a step and 8 canaries
        (files / "kindling.toml").write_text(
            f'[endpoints.e]\nbase_url = "http://127.0.0.1:9/v1"\nmax_in_flight = {limit}\n'
            '[roles.judge]\nendpoint = "e"\nmodel = "m"\n'
        )
        done = kindling(*command)
        assert done.status == 0, done.err
        assert ("endpoints.e.max_in_flight is 71, and a step makes 72 calls at once" in done.err) == warned


def test_a_model_of_the_hub_that_is_not_here_is_no_error_but_an_unknown(kindling, files):
    command = ("train", "sft", "--data", "d.jsonl", "--out", "run", "--dry-run", "--model")
    known = kindling(*command, "model", "--json").answer["plan"]
    done = kindling(*command, "nobody/nothing", "--json")
    assert done.status == 0, done.err
    assert "nobody/nothing" in done.answer["unknown"]
    unknown = {"parameters", "trainable", "memory", "memory_total", "seconds"}
    assert {name for name, value in done.answer["plan"].items() if value is None} == unknown
    # what does not depend on its shape is known
    assert {**known, **dict.fromkeys(unknown)} == done.answer["plan"]
    shown = kindling(*command, "nobody/nothing")
    assert shown.out.count("unknown") == 4
    assert "nobody/nothing: its config.json is not in the local cache" in shown.err


def test_what_judging_costs_is_known_of_a_model_that_is_not_here(kindling, files):
    (files / "kindling.toml").write_text(
        '[endpoints.e]\nbase_url = "http://127.0.0.1:9/v1"\n'
        '[roles.judge]\nendpoint = "e"\nmodel = "m"\nprice_in = 1.0\n'
    )
    command = ("train", "grpo", "--data", "d.jsonl", "--out", "run", "--uncertified", "--judge", "llm")
    here, away = (
        kindling(*command, "--model", model, "--dry-run", "--json").answer for model in ("model", "nobody/nothing")
    )
    assert away["cost"] == here["cost"] > 0
    assert away["calls"] == here["calls"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--data", "none.jsonl"), "none.jsonl: no such file"),
        (("--data", "."), "no sft.jsonl in this folder"),
        (("--model", "./nowhere"), "./nowhere: no such folder"),
        (("--model", "."), "no config.json in this folder"),
        (("--model", "model", "--base", "b"), "--base goes with --model embedded"),
        (("--preset", "quick"), "unknown preset 'quick'"),
        (("--log", "print"), "unknown --log 'print'"),
        (("--merge", "--full"), "--merge goes with --lora"),
        (("--set", "train.epoch=1"), "train.epoch: no such setting"),
        (("--set", "train.batch=0"), "train.batch"),
        (("--set", "nothing.at=all"), "nothing: no such setting"),
        (("--column", "ask"), "no column 'ask'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(kindling, files, more, says):
    before = sorted(files.rglob("*"))
    one_line(kindling("train", "sft", "--data", "d.jsonl", "--out", "run", *more), says)
    assert sorted(files.rglob("*")) == before


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ((), "nothing to reward with"),
        (("--judge", "embedded"), "no certificate; make one with kindling certify --judge embedded"),
        (("--rm", "model"), "--rm alone has no certificate"),
        (("--judge", "embedded", "--certificate", "none.json"), "none.json: no certificate"),
        (("--judge", "nobody", "--uncertified"), "unknown judge 'nobody'"),
        (("--judge", "embedded", "--shadow", "embedded"), "is the judge that rewards"),
        (("--judge", "embedded", "--uncertified", "--set", "reward.lenght=0"), "reward.lenght: no such setting"),
        (("--judge", "embedded", "--uncertified", "--set", "reward.length=2"), "reward.length"),
        (("--judge", "embedded", "--uncertified", "--set", "firewall.kll=1"), "firewall.kll: no such setting"),
        (("--judge", "embedded", "--uncertified", "--set", "firewall.window=0"), "--set firewall: window"),
        (("--judge", "embedded", "--uncertified", "--set", "firewall.doubt=nan"), "--set firewall: doubt"),
        (("--judge", "embedded", "--uncertified", "--set", "firewall.kl=inf"), "--set firewall: kl"),
        (("--judge", "embedded", "--uncertified", "--set", "train.prompts=65", "--dry-run"), "64 prompts are fewer"),
        (("--judge", "embedded", "--uncertified", "--vllm", "auto"), "vllm.mode"),
        (("--judge", "embedded", "--uncertified", "--set", "train.prompts=65"), "64 prompts are fewer"),
        (
            ("--rm", "model", "--shadow", "embedded", "--uncertified", "--set", "train.save_every=7"),
            "train.shadow_every",
        ),
        (("--judge", "embedded", "--uncertified", "--set", "train.log_every=5"), "train.log_every"),
    ],
)
def test_a_reward_that_cannot_be_used_is_one_line_and_leaves_nothing(kindling, files, more, says):
    before = sorted(files.rglob("*"))
    one_line(kindling("train", "grpo", "--data", "d.jsonl", "--out", "run", *more), says)
    assert sorted(files.rglob("*")) == before


def test_a_reward_model_that_its_own_pairs_speak_against_rewards_nothing(kindling, files):
    calibration.save(files / "model", Calibration(-0.5, 0.0, 10, "held-out pairs"))
    asked = ("train", "grpo", "--data", "d.jsonl", "--out", "run", "--judge", "embedded", "--rm", "model")
    one_line(kindling(*asked), "--rm model: the model tells good from bad the wrong way round: slope -0.5")
    one_line(kindling(*asked, "--uncertified", "--set", "train.prompts=65"), "64 prompts are fewer")
    calibration.save(files / "model", Calibration(0.5, 0.0, 10, "held-out pairs"))
    one_line(kindling(*asked), "no certificate; make one with kindling certify --judge embedded")


def test_checkpoints_are_free_of_the_shadow_where_there_is_none(kindling, files):
    command = (
        "train",
        "grpo",
        "--data",
        "d.jsonl",
        "--out",
        "run",
        "--judge",
        "embedded",
        "--uncertified",
        "--dry-run",
    )
    assert kindling(*command, "--set", "train.save_every=7").status == 0


def test_the_certificate_must_be_this_judges_and_must_have_passed(kindling, files):
    small = [f"--set=certify.{one}" for one in ("attack_cases=1", "repeat_cases=1")]
    made = kindling("certify", "--judge", "embedded", "--out", "cert.json", *small)
    assert made.status in (0, 1), made.err
    certificate = json.loads((files / "cert.json").read_bytes())
    command = ("train", "grpo", "--data", "d.jsonl", "--out", "run", "--judge", "embedded", "--certificate", "c.json")
    for change, says in (
        ({"passed": False, "lines": [{**certificate["lines"][0], "passed": False}]}, "it failed: kappa"),
        ({"passed": True, "judge": {**certificate["judge"], "template": "0" * 16}}, "made for template"),
        ({"passed": True, "judge": {**certificate["judge"], "name": "llm"}}, "made for judge 'llm'"),
    ):
        (files / "c.json").write_text(json.dumps(certificate | change))
        one_line(kindling(*command), says)
        assert kindling(*command, "--uncertified", "--dry-run", "--json").status == 0
    (files / "c.json").write_text(json.dumps(certificate | {"passed": True}))
    assert kindling(*command, "--dry-run", "--json").status == 0


def test_a_model_that_came_of_the_embedded_one_has_its_settings(kindling, files):
    (files / "model/config.json").write_text(json.dumps(MODEL | {"num_hidden_layers": 2, "vocab_size": 1000}))
    found = {}
    for name in ("model", "embedded", "nobody/nothing"):
        done = kindling("train", "sft", "--data", "d.jsonl", "--model", name, "--out", "run", "--dry-run", "--json")
        found[name] = done.answer["train"]
    assert found["model"]["mode"] == "lora", "30 M parameters are not small"
    (files / "model/config.json").write_text(json.dumps(MODEL | {"num_hidden_layers": 1, "vocab_size": 1000}))
    done = kindling("train", "sft", "--data", "d.jsonl", "--model", "model", "--out", "run", "--dry-run", "--json")
    assert done.answer["train"] == found["embedded"] != found["nobody/nothing"]


@pytest.mark.parametrize("paid", [True, False])
def test_a_run_that_fails_before_its_first_checkpoint_is_left_only_where_it_holds_what_was_paid(files, paid):
    made, _ = request(
        "sft", model=str(files / "model"), source=files / "d.jsonl", out=files / "run", base=None, preset="default",
        lora=None, merge=False, log="none", column="query", config=None, seed=0, resume=False, overrides=None,
    )  # fmt: skip

    def work():
        with run_folder(made, {"stage": "sft"}):
            (files / "run/trainer").mkdir()
            if paid:
                with closing(Ledger(files / "run/ledger.sqlite")) as ledger:
                    ledger.put("key", "judge", "m", Paid(Answer("good"), 0.5, 1.0))
            raise ConfigError("out of memory")

    with pytest.raises(ConfigError, match="out of memory"):
        work()
    assert (files / "run").exists() == paid
    if paid:
        assert json.loads((files / "run/run.json").read_bytes())["status"] == "failed"
