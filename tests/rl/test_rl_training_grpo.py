"""GRPO over TRL: verdicts are paid once, a kill changes nothing, breaches and empty budgets end runs in good order."""

import json
import shutil

import orjson
import pytest

from kindling.tables import read_rows
from tests.cli.running import project, serve
from tests.rl.training import QUERIES, fork_with_trainers, kill_after, kindling, metrics, weights

# the libraries' own deprecations are not ours to mend
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("default")]
SMALL = (
    "--full", "--set", "train.prompts=2", "--set", "train.group=4", "--set", "train.completion_tokens=12",
    "--set", "train.save_every=2", "--set", "train.shadow_every=1", "--set", "train.learning_rate=1e-3",
    "--set", "reward.length=0",  # noise is never as long as a text
)  # fmt: skip
QUICK = [f"--set=firewall.{limit}" for limit in ("reference=2", "window=2", "without_advantage=1")]
STEPS = 8


@pytest.fixture(scope="module", autouse=True)
def _forks():
    fork_with_trainers()


@pytest.fixture
def command(tiny_model, tmp_path):
    """The command but for its --out: a paid judge, which nobody certified, and the embedded one as its shadow."""
    (tmp_path / "queries.txt").write_text("\n".join(QUERIES), encoding="utf-8")
    common = ("train", "grpo", "--data", "queries.txt", "--model", tiny_model, "--judge", "llm", "--uncertified")
    return (*common, *SMALL, "--set", f"train.max_steps={STEPS}", "--shadow", "embedded")


def completions(run):
    return [row for file in sorted((run / "completions").iterdir()) for row in read_rows(file, ())]


def test_a_killed_run_resumes_to_the_same_weights_and_pays_for_no_verdict_twice(command, tmp_path):
    with serve() as server:
        project(tmp_path, server, roles=("judge",))
        whole = kindling(tmp_path, *command, "--out", "whole", "--json")
        assert whole.status == 0, whole.err
        paid = server.stats()["answered"]
    with serve() as server:
        project(tmp_path, server, roles=("judge",))
        kill_after(tmp_path, 4, "cut", *command, "--out", "cut")
        shutil.copytree(tmp_path / "cut", tmp_path / "tight")
        done = kindling(tmp_path, *command, "--out", "cut", "--resume")
        assert done.status == 0, done.err
        stats = server.stats()
        done = kindling(tmp_path, *command, "--out", "tight", "--resume", "--set", "train.micro_batch=4")
        assert done.status == 0, done.err
    # the calls in flight at the kill are paid and lost: at most those of one rollout and its canaries
    assert stats["repeated"] <= 16
    assert stats["answered"] - stats["repeated"] == paid
    assert weights(tmp_path / "cut/model") == weights(tmp_path / "whole/model")
    for name in ("loss", "reward", "shadow"):
        assert metrics(tmp_path / "cut", name) == metrics(tmp_path / "whole", name)
    assert len(set(metrics(tmp_path / "whole", "reward"))) > 1
    rows = completions(tmp_path / "whole")
    assert completions(tmp_path / "cut") == rows
    assert completions(tmp_path / "tight") == rows, "what fits into memory at once is no matter of what is written"
    assert [row["step"] for row in rows] == [step for step in range(STEPS) for _ in range(8)]
    assert {row["verdict"] for row in rows} <= {"good", "bad"}
    assert all(row["judge_reason"] for row in rows)


def test_the_weights_that_are_left_are_those_that_the_shadow_liked_best(command, tmp_path):
    with serve() as server:
        project(tmp_path, server, roles=("judge",))
        done = kindling(tmp_path, *command, "--out", "run", "--set", "train.keep=1", "--json")
    assert done.status == 0, done.err
    looks = metrics(tmp_path / "run", "shadow")
    assert len(looks) == STEPS
    # each look is at as many texts; the first of the largest, as the run takes it
    means = {step: (looks[step - 2] + looks[step - 1]) / 2 for step in range(2, STEPS + 1, 2)}
    best = max(means, key=lambda step: means[step])
    measured = json.loads(done.out)["measured"]
    assert measured["best checkpoint"] == f"checkpoint-{best}"
    assert measured["shadow up to the best checkpoint"] == pytest.approx(means[best])
    model = tmp_path / "run/model"
    assert weights(model) == weights(tmp_path / f"run/trainer/checkpoint-{best}")
    assert {path.suffix for path in model.iterdir()} == {".safetensors", ".json", ".jinja", ".md"}
    assert "was not certified" in (model / "README.md").read_text()


def test_a_run_that_is_killed_at_its_end_has_the_same_best_checkpoint_and_pays_for_no_look_twice(command, tmp_path):
    paid_shadow = [{"llm": "embedded", "embedded": "llm"}.get(word, word) for word in command]
    with serve() as server:
        project(tmp_path, server, roles=("judge",))
        whole = kindling(tmp_path, *paid_shadow, "--out", "whole", "--json")
        assert whole.status == 0, whole.err
        paid = server.stats()["answered"]
    with serve() as server:
        project(tmp_path, server, roles=("judge",))
        kill_after(tmp_path, STEPS - 2, "cut", *paid_shadow, "--out", "cut")
        done = kindling(tmp_path, *paid_shadow, "--out", "cut", "--resume", "--json")
        assert done.status == 0, done.err
        stats = server.stats()
    assert stats["repeated"] <= 8  # what was in flight
    assert stats["answered"] - stats["repeated"] == paid
    assert metrics(tmp_path / "cut", "shadow") == metrics(tmp_path / "whole", "shadow")
    assert json.loads(done.out)["measured"] == json.loads(whole.out)["measured"]
    assert weights(tmp_path / "cut/model") == weights(tmp_path / "whole/model")


def test_an_empty_budget_ends_the_run_before_the_step_and_more_of_it_goes_on_to_the_same_weights(command, tmp_path):
    with serve() as server:
        project(tmp_path, server, roles=("judge",))
        whole = kindling(tmp_path, *command, "--out", "whole", "--json")
        assert whole.status == 0, whole.err
        stopped = kindling(tmp_path, *command, "--out", "run", "--max-calls", "80", "--json")
        assert stopped.status == 3, stopped.err
        assert "call" in json.loads(stopped.out)["stopped"]
        assert not (tmp_path / "run/model").exists()
        done = kindling(tmp_path, *command, "--out", "run", "--resume")
        assert done.status == 0, done.err
    assert weights(tmp_path / "run/model") == weights(tmp_path / "whole/model")
    assert not (tmp_path / "run/breach.json").exists()


def test_a_judge_that_fails_too_often_stops_the_run_with_its_checkpoint_and_why(command, tmp_path):
    with serve(faults={"malformed": 0.8}) as server:
        project(tmp_path, server, roles=("judge",))
        done = kindling(tmp_path, *command, "--out", "run", *QUICK)
    assert done.status == 1, done.err
    breach = orjson.loads((tmp_path / "run/breach.json").read_bytes())
    assert breach["measure"] == "unscored"
    assert breach["line"] in done.err
    assert orjson.loads((tmp_path / "run/run.json").read_bytes())["status"] == "stopped"
    assert (tmp_path / "run/model/model.safetensors").is_file()
    assert f"Training was stopped: {breach['line']}" in (tmp_path / "run/model/README.md").read_text()
    assert any(row["reward"] is None and row["why"] for row in completions(tmp_path / "run"))


def test_a_breach_at_the_last_step_is_one_too(command, tmp_path):
    with serve(faults={"malformed": 1.0}) as server:
        project(tmp_path, server, roles=("judge",))
        done = kindling(tmp_path, *command, "--out", "run", *QUICK, "--set", "train.max_steps=2", "--json")
    assert done.status == 1, done.err
    report = json.loads(done.out)
    assert report["steps"] == report["planned"] == 2
    assert report["stopped"] == orjson.loads((tmp_path / "run/breach.json").read_bytes())["line"]
    assert "Training was stopped: " in (tmp_path / "run/model/README.md").read_text()
    again = kindling(tmp_path, *command, "--out", "run", *QUICK, "--set", "train.max_steps=2", "--resume")
    assert again.status == 2
    assert f"the firewall has ended this run ({report['stopped']})" in again.err
