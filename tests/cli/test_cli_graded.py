"""Graded verdicts in a whole run: what reaches the records, what the summary says, and what older runs may do."""

import orjson
import pytest

from tests.cli.running import project, queries, rows_of, serve
from tests.scripted_logprobs import graded


def scores(run):
    """Score and votes of every verdict of the judge, the reflector's aside."""
    verdicts = [(one["first"] or one["verdict"]) for row in rows_of(run / "records.jsonl") for one in row["judgements"]]
    return [(verdict["score"], len(verdict["votes"])) for verdict in verdicts]


@pytest.mark.parametrize(
    ("script", "setting", "probable"),
    [
        ({"logprobs": graded}, "auto", True),
        ({"logprobs": graded}, "votes", False),
        ({}, "auto", False),
        ({"rejects": ("logprobs",)}, "auto", False),
    ],
    ids=["given", "not asked", "ignored", "refused"],
)
def test_a_run_is_graded_where_the_endpoint_gives_probabilities_and_says_where_not(
    kindling, tmp_path, script, setting, probable
):
    with serve(**script) as server:
        project(tmp_path, server)
        settings = ("--set", f"roles.judge.graded={setting}", "--set", "roles.judge.votes=2")
        command = ("curate", queries(tmp_path, 3), "--candidates", 2, "--out", "run", *settings)
        report = kindling(*command, "--json").answer
        found = scores(tmp_path / "run")
        assert found
        assert all(votes == 2 for _, votes in found)
        assert all((score not in (0, 0.5, 1)) == probable for score, _ in found)
        notes = report["this_process"]["notes"]
        assert bool(notes) == (setting == "auto" and not probable)
        asked = server.stats()["requests"]
        before = (tmp_path / "run/records.jsonl").read_bytes()
        for lost in ("journal.jsonl", "records.jsonl"):
            (tmp_path / "run" / lost).unlink()
        assert kindling(*command, "--resume").status == 0
        assert server.stats()["requests"] == asked
        assert (tmp_path / "run/records.jsonl").read_bytes() == before


def test_a_run_from_before_there_were_grades_goes_on_with_votes_and_with_nothing_else(kindling, tmp_path):
    with serve(logprobs=graded) as server:
        project(tmp_path, server)
        command = ("curate", queries(tmp_path, 2), "--candidates", 2, "--out", "run")
        assert kindling(*command, "--set", "roles.judge.graded=votes").status == 0
        settings = orjson.loads((tmp_path / "run/run.json").read_bytes())["settings"]
        assert not any("graded" in role for role in settings["roles"].values()), "as it stood in older runs"
        asked = server.stats()["requests"]
        (tmp_path / "run/journal.jsonl").unlink()
        done = kindling(*command, "--resume")
        assert done.status == 2
        assert "roles.judge.graded" in done.err
        assert kindling(*command, "--resume", "--set", "roles.judge.graded=votes").status == 0
        assert server.stats()["requests"] == asked


def test_who_insists_is_told_in_one_line(kindling, tmp_path):
    with serve(rejects=("logprobs",)) as server:
        project(tmp_path, server)
        insists = ("--set", "roles.judge.graded=logprobs")
        done = kindling("curate", queries(tmp_path, 2), "--judge", "llm", "--out", "run", *insists)
        assert done.status == 2
        assert len(done.err.splitlines()) == 1
        assert 'judge: refuses log-probabilities; set roles.judge.graded = "auto" or "votes"' in done.err
        wrong = kindling("curate", queries(tmp_path, 2), "--out", "other", "--set", "roles.positive.graded=votes")
        assert wrong.status == 2
        assert "roles.positive: graded is the judge's alone" in wrong.err
