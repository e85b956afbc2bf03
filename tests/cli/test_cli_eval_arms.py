"""`kindling eval --arms`: the commands that it comes to, and a run of several commands that stops and goes on."""

import re
import signal

import orjson
import pytest

from kindling.cli import demo_loop, experiment
from kindling.cli import steps as commands_run
from kindling.cli.arms import ARMS
from kindling.cli.steps import Step
from kindling.tables import write_json, write_jsonl
from tests.cli.running import queries, rows_of
from tests.cli.test_cli_eval import refused
from tests.lexical_data import pairs

ARM_COMMAND = ("eval", "--arms", "--out", "run")


def plan(kindling, *more):
    """The commands of the experiment by what they do."""
    done = kindling(*ARM_COMMAND, "--dry-run", "--json", *more)
    return [command[: command.index("--seed")] for command in done.answer["commands"]]


def option(command, name):
    return [command[place + 1] for place, word in enumerate(command) if word == name]


def test_the_arms_are_those_of_the_paper():
    assert [arm.name for arm in ARMS] == ["base", "SFT", "RM+RL", "Judge+RL", "SFT+RM+RL", "SFT+Judge+RL"]
    assert [arm.reward is None for arm in ARMS] == [True, True, False, False, False, False]
    assert all(("SFT" in arm.name) == (arm.start == "sft") for arm in ARMS)
    assert len({arm.folder for arm in ARMS}) == len(ARMS)


def test_each_arm_starts_where_its_name_says_and_is_rewarded_by_what_it_says(kindling):
    found = {option(one, "--out")[0]: one for one in plan(kindling) if one[:2] == ["train", "grpo"]}
    assert {
        out: (option(one, "--model"), option(one, "--rm"), option(one, "--judge")) for out, one in found.items()
    } == {
        "rm-rl": (["base"], ["rm/model"], []),
        "judge-rl": (["base"], [], ["embedded"]),
        "sft-rm-rl": (["sft/model"], ["rm/model"], []),
        "sft-judge-rl": (["sft/model"], [], ["embedded"]),
    }
    assert all("--uncertified" in one for one in found.values())


def test_every_arm_is_evaluated_by_the_reward_and_by_a_judge_that_was_none(kindling):
    (evaluation,) = (one for one in plan(kindling) if one[0] == "eval")
    assert [word.partition("=")[0] for word in evaluation if "=" in word and not word.endswith("=embedded")] == [
        arm.name for arm in ARMS
    ]
    assert option(evaluation, "--judge") == ["embedded", "lexical:learned.npz"]
    assert len(option(evaluation, "--certificate")) == 2


@pytest.mark.parametrize("whole", ["demo", "experiment"])
def test_a_step_takes_what_one_before_it_has_made(kindling, whole):
    commands = (
        [list(step.arguments) for step in demo_loop.commands("greetings", 7)] if whole == "demo" else plan(kindling)
    )
    assert [one[:2] for one in commands[1:4:2]] == [["train", "sft"], ["train", "rm"]]
    made = {"prompts.jsonl", "sampled.jsonl", "held-out.jsonl", "queries.txt", "sampled.txt", "held-out.txt"}
    for one in commands:
        words = [re.split("[:=]", word)[-1] for word in one]
        made |= {"base", *option(one, "--out")}
        assert {word.partition("/")[0] for word in words if "/" in word or "." in word} <= made, one


def test_settings_go_to_the_commands_that_know_them(kindling, tmp_path):
    (tmp_path / "kindling.toml").write_text("[curate]\ncandidates = 3\n", encoding="utf-8")
    sets = ("--set", "train.max_tokens=64", "--set", "firewall.kl=0.1", "--set", "certify.repeats=1")
    done = kindling(*ARM_COMMAND, "--dry-run", "--json", "--steps", "3", *sets)
    for command in done.answer["commands"]:
        said = option(command, "--set")
        assert ("train.max_tokens=64" in said) == (command[0] == "train")
        assert ("firewall.kl=0.1" in said) == (command[:2] == ["train", "grpo"])
        assert ("certify.repeats=1" in said) == (command[0] != "fit-judge")
        assert ("train.max_steps=3" in said) == (command[:2] == ["train", "grpo"])
        assert option(command, "--config") == ([] if command[0] == "fit-judge" else [str(tmp_path / "kindling.toml")])


def test_a_value_is_passed_on_as_it_was_given(kindling):
    given = ("--set", "vllm.sleep=true", "--set", "train.schedule=cosine")
    (one,) = (one for one in kindling(*ARM_COMMAND, "--dry-run", "--json", *given).answer["commands"] if "rm-rl" in one)
    assert {"vllm.sleep=true", "train.schedule=cosine"} < set(option(one, "--set"))


def test_a_learned_judge_is_found_from_the_runs_folder(kindling, tmp_path):
    write_jsonl(tmp_path / "pairs.jsonl", pairs(60))
    assert kindling("fit-judge", "pairs.jsonl", "--out", "mine.npz").status == 0
    found = plan(kindling, "--judge", "embedded", "--judge", "lexical:mine.npz")
    assert option(found[-1], "--judge") == ["embedded", f"lexical:{tmp_path / 'mine.npz'}", "lexical:learned.npz"]


def test_another_model_is_trained_where_it_lies(kindling, tmp_path):
    (tmp_path / "mine").mkdir()
    found = plan(kindling, "--model", "mine")
    assert [option(one, "--model")[0] for one in found if one[:2] in (["train", "sft"], ["train", "grpo"])] == [
        str(tmp_path / "mine"), str(tmp_path / "mine"), str(tmp_path / "mine"), "sft/model", "sft/model",
    ]  # fmt: skip
    assert f"base={tmp_path / 'mine'}" in found[-1]
    assert "ORG/NAME" in plan(kindling, "--model", "ORG/NAME")[1]


@pytest.mark.parametrize(
    "words",
    [("--compare",), ("--limit", "3"), ("--tie", "0.1"), ("--temperature", "1"), ("--train", "x"), ("--retry",)],
)
def test_options_that_would_do_nothing_are_refused(kindling, words):
    refused(kindling(*ARM_COMMAND, *words), f"{words[0]} means nothing with --arms")


def test_options_of_the_arms_are_refused_without_them(kindling):
    for words in (("--model", "embedded"), ("--draw", "600"), ("--steps", "40"), ("--prompts", "x")):
        refused(kindling("eval", "embedded", "--out", "run", *words), f"{words[0]} means nothing without --arms")


def test_what_cannot_be_is_refused_in_one_line(kindling, tmp_path):
    refused(kindling(*ARM_COMMAND, "embedded"), "--arms trains its own models")
    refused(kindling("eval", "--arms"), "--out RUN is missing")
    refused(kindling(*ARM_COMMAND, "--judge", "nobody"), "unknown judge 'nobody'")
    refused(kindling(*ARM_COMMAND, "--set", "curate.candidates=0"), "curate.candidates")
    refused(kindling(*ARM_COMMAND, "--prompts", "missing.txt"), "missing.txt: no such file")
    (tmp_path / "q.txt").write_text("写一句祝福\n写一句,祝福!\n", encoding="utf-8")
    refused(kindling(*ARM_COMMAND, "--prompts", "q.txt", "--queries", "q.txt"), "q.txt: no prompt is left")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def steps(monkeypatch, tmp_path):
    """An experiment whose steps are quick commands over files; gives the list of them."""
    rows = [
        {"query": query, "response": f"愿你第{place}年平安喜乐"}
        for place, query in enumerate(queries(tmp_path, 6).read_text(encoding="utf-8").split())
    ]
    write_jsonl(tmp_path / "texts.jsonl", rows)
    texts = tmp_path / "texts.jsonl"
    models = [f"{arm.name}={texts}" for arm in ARMS]
    made = [
        Step("judge", ("judge", str(texts), "--judge", "embedded", "--out", "judged.jsonl"), "judged.jsonl"),
        Step("evaluate", ("eval", *models, "--queries", str(texts), "--judge", "embedded", "--out", "eval"), "eval"),
    ]
    monkeypatch.setattr(experiment, "commands", lambda _: made)
    monkeypatch.setattr(experiment, "check", lambda: None)
    return made


SMALL = ("--draw", "8", "--seed", "3")


def test_a_run_says_what_each_step_took_and_shows_the_arms(kindling, steps, tmp_path):
    done = kindling(*ARM_COMMAND, *SMALL)
    assert done.status == 0, done.err
    assert all(arm.name in done.out for arm in ARMS)
    assert "no two models are distinguishable on these queries by embedded" in done.out
    record = orjson.loads((tmp_path / "run/run.json").read_bytes())
    assert (record["command"], record["status"]) == ("eval --arms", "finished")
    assert [one["step"] for one in record["steps"]] == ["judge", "evaluate"]
    # what is held out is none of the prompts
    prompts = {one["query"] for one in rows_of(tmp_path / "run/prompts.jsonl")}
    held = rows_of(tmp_path / "run/held-out.jsonl")
    assert (len(prompts), {one["group"] for one in held}) == (8, {"frequent", "ordinary"})
    assert len({one["query"] for one in held if one["group"] == "frequent"}) == experiment.HELD_OUT
    assert not prompts & {one["query"] for one in held}
    assert {one["query"] for one in rows_of(tmp_path / "run/sampled.jsonl")} < prompts


def test_a_finished_step_is_not_run_again(kindling, steps, tmp_path):
    steps.insert(1, Step("fails", ("judge", "missing.jsonl", "--out", "x.jsonl"), "x.jsonl"))
    done = kindling(*ARM_COMMAND, *SMALL)
    assert (done.status, "fails ended with status 2" in done.err) == (2, True)
    assert [one["step"] for one in rows_of(tmp_path / "run/steps.jsonl")] == ["judge"]
    judged = (tmp_path / "run/judged.jsonl").stat().st_mtime_ns
    # a kill after the file was whole, and before it was noted
    (tmp_path / "run/steps.jsonl").write_bytes(b'{"step":"jud')
    del steps[1]
    refused(kindling(*ARM_COMMAND, *SMALL), "already used", "--resume")
    refused(kindling(*ARM_COMMAND, *SMALL, "--steps", "5", "--resume"), "steps")
    assert kindling(*ARM_COMMAND, *SMALL, "--resume").status == 0
    assert (tmp_path / "run/judged.jsonl").stat().st_mtime_ns == judged
    assert [one["step"] for one in rows_of(tmp_path / "run/steps.jsonl")] == ["judge", "evaluate"]


def test_status_1_is_a_result_only_where_something_came_of_it(tmp_path):
    run, file = Step("arm", (), "arm", may_fail=True), Step("certify", (), "c.json", may_fail=True)
    assert not commands_run.is_result(run, tmp_path)
    assert not commands_run.is_result(file, tmp_path)
    (tmp_path / "arm").mkdir()
    write_json(tmp_path / "arm/run.json", {"command": "train grpo", "settings": {}, "stopped": None})
    assert not commands_run.is_result(run, tmp_path)
    write_json(tmp_path / "arm/run.json", {"command": "train grpo", "settings": {}, "stopped": "kl 0.7 > 0.5"})
    write_json(tmp_path / "c.json", {})
    assert commands_run.is_result(run, tmp_path)
    assert commands_run.is_result(file, tmp_path)
    assert not commands_run.is_result(Step("curate", (), "arm"), tmp_path)


def test_an_arm_that_the_firewall_stopped_is_in_the_table_with_the_reason(kindling, steps, tmp_path):
    steps.pop(0)
    assert kindling(*ARM_COMMAND, *SMALL).status == 0
    (tmp_path / "run/judge-rl").mkdir()
    record = {"command": "train grpo", "settings": {}, "stopped": "step 7: kl 0.71 > 0.5"}
    write_json(tmp_path / "run/judge-rl/run.json", record)
    done = kindling(*ARM_COMMAND, *SMALL, "--resume")
    assert "firewall" in done.out
    assert "Judge+RL stopped: step 7: kl 0.71 > 0.5" in done.err


def test_ctrl_c_is_the_commands_and_the_whole_goes_on(kindling, steps, tmp_path):
    """The command ends with 130 by itself; the parent, which got the signal too, waits for it and says how to go on."""
    code = "import os, signal, sys; os.kill(os.getppid(), signal.SIGINT); sys.exit(130)"
    (tmp_path / "run").mkdir()
    waiting = Step("wait", ("-c", code), "nothing")
    before = signal.getsignal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands_run, "KINDLING", ())
        status, _ = commands_run.run_step(waiting, tmp_path / "run")
    assert status == 130
    assert signal.getsignal(signal.SIGINT) is before
