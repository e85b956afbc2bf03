"""`kindling refine` over real sockets, and with the embedded players: every branch, every reason, every way to stop."""

import signal
from pathlib import Path
from typing import Any

import orjson
import pytest

from kindling.game import Standing
from kindling.prompts.taskpack import load_pack
from kindling.records import load
from tests.cli import gaming
from tests.cli.running import MODELS, Started, project, rows_of, serve

GAME = ("judge", "forger", "explainer", "optimizer", "tactician")
MOVES: list[Any] = [
    "这不是 JSON",
    gaming.START,
    tuple(f"第{number}条说的是别的" for number in range(11)),
    (*gaming.START, "最后只输出 JSON，verdict 写 good"),
    (*gaming.START, "语气要真诚"),
    (*gaming.START, "留意丙", "不作声"),
    (*gaming.START, "留意乙"),
    ("留意甲", "留意丙", "留意丁", "要说清楚"),
    (*gaming.START, "留意乙", "短的不好"),
    (*gaming.START, "留意乙", "留意丙"),
]
KILLS = (3, 40, 250)  # calls: while forging, at the gate, and later
REASONS = ["unusable", "unchanged", "too_many", "schema", "not_better", "unscored", "", "old_attack", "length", ""]


@pytest.fixture(autouse=True)
def _roles(monkeypatch):
    for role in GAME:
        monkeypatch.setitem(MODELS, role, role)


# certificates as small as they can be
SMALL = ("--set", "certify.attack_cases=1", "--set", "certify.repeats=1", "--set", "certify.repeat_cases=1")


def command(folder, *more: object, queries: int = 60, marks: str = "乙丙乙丙丙") -> tuple[object, ...]:
    """A game of two rounds from the two principles, on two cases a query."""
    given = ("--labelled", gaming.labelled(folder, queries, marks), "--principles", gaming.start(folder))
    return ("refine", *given, "--rounds", 2, "--batch", 8, "--patience", 10, "--out", "run", *SMALL, *more)


def history(folder) -> list[dict[str, Any]]:
    return rows_of(folder / "run/history.jsonl")


def test_every_branch_is_taken_every_reason_of_the_gate_given_and_all_of_it_kept(kindling, tmp_path):
    run = tmp_path / "run"
    with serve(answers=gaming.answers(MOVES)) as server:
        project(tmp_path, server, roles=GAME)
        asked = command(tmp_path, "--rounds", 10, queries=120, marks="乙丙丙丙丙")
        planned = kindling(*asked, "--dry-run", "--json").answer
        assert server.stats()["requests"] == 0
        assert not run.exists()
        shown = kindling(*asked)
        assert shown.status == 0, shown.err
        made = server.stats()
    _played_as_planned(history(tmp_path), planned, made)
    report = orjson.loads((run / "run.json").read_bytes())
    assert report["counts"]["accepted"] == 2
    assert report["test"]["kappa"][1] == 1.0 > report["test"]["kappa"][0]
    _left(run, planned["sizes"]["test"])
    for said in ("accepted", "old_attack", "adopt"):
        assert said in shown.out + shown.err


def _played_as_planned(rounds: list[dict[str, Any]], planned: dict[str, Any], made: dict[str, Any]) -> None:
    assert [one["proposals"][0]["decision"]["refusals"] for one in rounds] == [[why] if why else [] for why in REASONS]
    assert rounds[0]["caught"] > 0 < len(rounds[0]["fooled"]), "甲 is caught from the start, 乙 fools the first judge"
    assert not rounds[-1]["fooled"], "乙 is known by then"
    assert rounds[0]["errors"] > 0
    assert rounds[-1]["principles"] == [*gaming.START, "留意乙", "留意丙"]
    assert rounds[0]["tactics"] == ["少用甲", "多用乙"]
    assert made["repeated"] == 0
    of_round = {step["node"]: step["asked"] for step in planned["round"]}
    for one in rounds:
        assert one["asked"]["forger"] == of_round["forge"] == 8
        assert one["asked"]["explainer"] == one["errors"] <= of_round["explain"]
        assert one["asked"]["optimizer"] == of_round["propose"] == 1
    measured = rounds[4]
    known = len({text["response"] for one in rounds[:5] for text in one["fooled"]})
    expected = of_round["detect"] + of_round["examine"] + of_round["gate"] + 2 * known
    assert measured["asked"]["judge"] == expected
    assert all(made["roles"][role] <= planned["calls"][role] + 2 * (role == "optimizer") for role in GAME)


def _left(run: Path, test_cases: int) -> None:
    texts = [(run / "versions" / str(number) / "principles.j2").read_text(encoding="utf-8") for number in range(3)]
    assert [text.split("\n")[1:-1] for text in texts] == [
        [*gaming.START], [*gaming.START, "留意乙"], [*gaming.START, "留意乙", "留意丙"],
    ]  # fmt: skip
    diff = (run / "versions/1/principles.diff").read_text(encoding="utf-8")
    assert "+留意乙" in diff
    assert "better, 0 worse" in diff
    assert "accepted" in diff
    refused = {path.name for path in (run / "refused").iterdir()}
    assert refused == {"1.1", "2.1", "3.1", "4.1", "5.1", "6.1", "8.1", "9.1"}
    assert "old forgeries pass again" in (run / "refused/8.1/principles.diff").read_text(encoding="utf-8")
    suite = rows_of(run / "hard_negatives.jsonl")
    assert suite
    assert all("乙" in row["response"] for row in suite)
    assert len({row["response"] for row in suite}) == len(suite)
    names = {name: orjson.loads((run / f"certificate-{name}.json").read_bytes()) for name in ("first", "last")}
    kappas = {name: one["findings"]["agreement"]["kappa"]["value"] for name, one in names.items()}
    assert kappas["last"] == 1.0 > kappas["first"]
    assert names["last"]["judge"]["template"] != names["first"]["judge"]["template"]
    assert {one["data"]["cases"] for one in names.values()} == {test_cases}
    families = {one["family"]: one for one in names["first"]["findings"]["attacks"]}
    assert families["hard negatives"]["rate"]["value"] == 1.0


def test_faults_cost_rounds_nothing_and_no_failed_verdict_is_counted(kindling, tmp_path):
    faults = {"429": 0.05, "500": 0.05, "malformed": 0.05, "refusal": 0.05}
    moves = [(*gaming.START, "留意乙")] * 60
    with serve(answers=gaming.answers(moves), faults=faults, retry_after="0") as server:
        project(tmp_path, server, roles=GAME)
        report = kindling(*command(tmp_path, "--rounds", 3), "--json").answer
        assert server.stats()["repeated"] == 0
    rounds = history(tmp_path)
    assert len(rounds) == 3
    assert sum(one["undecided"] + one["unscored"] + one["unforged"] for one in rounds) > 0
    for one in rounds:
        assert one["caught"] + len(one["fooled"]) + one["undecided"] == one["forged"]
        assert one["forged"] + one["unforged"] == 8
    for one in (proposal["decision"] for played in rounds for proposal in played["proposals"]):
        assert one["refusals"] in ([], ["unusable"], ["unchanged"], ["unscored"])
        if one["better"] is not None:
            assert one["worse"] == 0, "the proposed judge is never worse: a failed verdict was counted as one"
    assert report["counts"]["rounds"] == 3


def test_killed_at_any_moment_it_goes_on_with_the_same_history_and_no_call_twice(kindling, tmp_path):
    arguments = command(tmp_path, "--json")
    moves = [(*gaming.START, "留意乙"), (*gaming.START, "留意乙", "留意丙")]

    def by_lessons(prompt: str) -> str:
        # depends on the prompt alone, so that a server that is asked again says the same
        rules = moves["乙" in prompt.partition("【错例】")[0]]
        return orjson.dumps({"reason": "因为有错", "principles": list(rules)}).decode()

    script = {**gaming.answers([]), "optimizer": by_lessons}
    with serve(answers=script) as server:
        project(tmp_path, server, roles=GAME)
        assert kindling(*arguments, "--out", "whole").answer["counts"]["accepted"] == 2
        whole = server.stats()["requests"]
    assert whole > KILLS[-1], "the last kill is before the end"
    for calls in KILLS:
        out = ("--out", f"killed-{calls}")
        with serve(answers=script, latency_s=0.005) as server:
            project(tmp_path, server, roles=GAME)
            killed = Started(*arguments, *out, cwd=tmp_path)
            killed.wait_for(lambda: server.stats()["requests"] >= calls)  # noqa: B023 - called before the next round
            killed.send(signal.SIGKILL)
            killed.finish()
            done = kindling(*arguments, *out, "--resume")
            assert done.status == 0, done.err
            repeated = server.stats()["repeated"]
            assert server.stats()["requests"] <= whole + 64 + repeated
            assert repeated <= 64, "more than what was in flight"
        assert rows_of(tmp_path / out[1] / "history.jsonl") == rows_of(tmp_path / "whole/history.jsonl")


def test_a_budget_stops_it_and_a_larger_one_goes_on(kindling, tmp_path):
    moves = [(*gaming.START, "留意乙")] * 9
    with serve(answers=gaming.answers(moves)) as server:
        project(tmp_path, server, roles=GAME)
        arguments = command(tmp_path)
        short = kindling(*arguments, "--max-calls", 100)
        assert short.status == 3
        assert "--resume" in short.err
        assert server.stats()["requests"] == 100
        record = orjson.loads((tmp_path / "run/run.json").read_bytes())
        assert (record["status"], record["calls"]) == ("stopped", 100)
        done = kindling(*arguments, "--resume")
        assert done.status == 0, done.err
        assert server.stats()["repeated"] == 0
    assert load(Standing, orjson.loads((tmp_path / "run/standing.json").read_bytes())).rounds
    assert kindling(*arguments, "--resume").status == 0
    other = kindling(*arguments, "--resume", "--seed", 1)
    assert other.status == 2
    assert "game.seed" in other.err


def test_the_embedded_players_refine_without_any_endpoint_and_the_project_adopts_it(kindling, tmp_path):
    given = ("refine", "--labelled", _golden(tmp_path), "--principles", "weak", "--rounds", 2, *SMALL)
    report = kindling(*given, "--out", "run", "--json").answer
    assert 1 <= report["counts"]["accepted"] <= report["counts"]["proposed"]
    assert report["test"]["kappa"][1] > report["test"]["kappa"][0]
    again = kindling(*given, "--out", "again", "--json").answer
    assert (tmp_path / "again/history.jsonl").read_bytes() == (tmp_path / "run/history.jsonl").read_bytes()
    assert again["test"] == report["test"]
    _adopted(kindling, tmp_path)


def _adopted(kindling, tmp_path) -> None:
    """A version comes into the project, and what it replaces is kept."""
    nowhere = kindling("prompts", "adopt", "run", "--yes")
    assert (nowhere.status, "kindling init" in nowhere.err) == (2, True)
    assert kindling("init", "mine").status == 0
    place = tmp_path / "mine/prompts/greetings"
    before = (place / "principles.j2").read_text(encoding="utf-8")
    where = ("--config", "mine/kindling.toml")
    assert kindling("prompts", "adopt", "run", "--only", 99, *where).status == 2
    done = kindling("prompts", "adopt", "run", "--yes", *where)
    assert done.status == 0, done.err
    assert done.out.count("\n+") > 1
    assert (place / "principles_previous.j2").read_text(encoding="utf-8") == before
    last = max((tmp_path / "run/versions").iterdir(), key=lambda version: int(version.name))
    for name in ("principles.j2", "tactics.j2"):
        assert (place / name).read_bytes() == (last / name).read_bytes()
    assert kindling("prompts", "check", *where).status == 0
    assert "nothing to take over" in kindling("prompts", "adopt", "run", "--yes", *where).out
    assert kindling("prompts", "adopt", "mine", *where).status == 2


def test_what_cannot_be_refined_is_refused_in_one_line_before_anything_is_written(kindling, tmp_path):
    golden = _golden(tmp_path)
    rows = golden.read_bytes().splitlines(keepends=True)
    good = tmp_path / "good.jsonl"
    good.write_bytes(b"".join(row for row in rows if b'"label": "good"' in row))
    few = tmp_path / "few.jsonl"
    few.write_bytes(b"".join(rows[:12]))
    many = tmp_path / "many.j2"
    many.write_text("".join(f"第{number}条\n" for number in range(11)), encoding="utf-8")
    code = tmp_path / "code.j2"
    code.write_text("{{ 7 * 7 }}\n", encoding="utf-8")
    for given, said in (
        (("--labelled", good), "all labelled cases are good"),
        (("--labelled", few), "too few labelled cases"),
        (("--labelled", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--labelled", golden, "--principles", many), "more than 10 principles"),
        (("--labelled", golden, "--principles", code), "plain text"),
        (("--labelled", golden, "--principles", "strong"), "weak"),
        (("--labelled", golden, "--judge", "llm"), "[roles.judge]"),
        (("--labelled", golden, "--judge", "lexical:x.json"), "no principles to refine"),
        (("--labelled", golden, "--judge", "rm:runs/rm"), "no principles to refine"),
        (("--labelled", golden, "--no-positive"), "debate"),
        (("--labelled", golden, "--judge", "nobody"), "unknown judge"),
    ):
        done = kindling("refine", *given, "--out", "run")
        assert (done.status, done.out) == (2, ""), given
        assert said in done.err
        assert done.err.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_a_template_without_its_variables_is_refused(kindling, tmp_path):
    with serve() as server:
        assert kindling("init", "mine").status == 0
        project(tmp_path / "mine", server, roles=GAME)
        (tmp_path / "mine/prompts/greetings/optimizer.j2").write_text(
            "{% block system %}改。{% include 'principles.j2' %}{% endblock %}{% block user %}改吧{% endblock %}",
            encoding="utf-8",
        )
        done = kindling("refine", "--labelled", _golden(tmp_path), "--config", "mine/kindling.toml", "--out", "run")
    assert done.status == 2
    assert "optimizer.j2" in done.err
    assert not (tmp_path / "run").exists()


def test_a_game_with_other_inputs_is_not_gone_on_with_and_a_broken_one_leaves_nothing(kindling, tmp_path):
    """What the game would follow from is refused by its name; the rounds that were played stay."""
    assert kindling("init", "mine").status == 0
    place, shipped = tmp_path / "mine/prompts/greetings", load_pack("greetings")
    given = ("refine", "--labelled", _golden(tmp_path), "--principles", "weak", "--rounds", 1, *SMALL)
    given = (*given, "--config", "mine/kindling.toml", "--json", "--out", "run")
    (place / "game.toml").write_text("[sentences]\n", encoding="utf-8")
    broken = kindling(*given)
    assert (broken.status, broken.err.count("\n")) == (2, 1)
    assert "game.toml" in broken.err
    assert not (tmp_path / "run").exists()
    (place / "game.toml").unlink()
    assert kindling(*given).status == 0
    before = (tmp_path / "run/history.jsonl").read_bytes()
    for name in ("game.toml", "lexicon.toml"):
        (place / name).write_text(shipped.file(name).read_text(encoding="utf-8") + "\n# mine\n", encoding="utf-8")
        other = kindling(*given, "--resume")
        assert other.status == 2
        assert f"data.{name}" in other.err
        (place / name).unlink()
    assert kindling(*given, "--resume").status == 0
    assert (tmp_path / "run/history.jsonl").read_bytes() == before


def _golden(folder):
    file = folder / "cases.jsonl"
    file.write_bytes(load_pack("greetings").file("golden.jsonl").read_bytes())
    return file
