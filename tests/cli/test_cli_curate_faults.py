"""Faults of every kind under `kindling curate`: no crash, no row lost, no missing verdict taken for a bad one.

The endpoint wants a key, and everything that the run leaves is searched for it.
"""

from collections import Counter

import orjson
import pytest

from tests.cli.running import project, queries, rows_of, serve
from tests.scripted_server import FAULTS, Script

ROWS, CANDIDATES = 30, 3
KEY = "sk-planted-0123456789abcdef"
ENDPOINT = ("timeout_s = 0.4", "retries = 1", 'api_key_env = "KINDLING_TEST_KEY"')


@pytest.fixture
def faulty(kindling, tmp_path, monkeypatch):
    """A run in which a fifth of all requests fails, all kinds alike: (server, command, how it ended, its folder)."""
    monkeypatch.setenv("KINDLING_TEST_KEY", KEY)
    with serve(faults=dict.fromkeys(FAULTS, 0.2 / len(FAULTS)), retry_after="0.01", hang_s=1.0, key=KEY) as server:
        project(tmp_path, server, *ENDPOINT)
        command = ("curate", queries(tmp_path, ROWS), "--candidates", CANDIDATES, "--out", "run", "--pairing", "all")
        yield server, command, kindling(*command, "--json"), tmp_path / "run"


def test_faults_of_every_kind(kindling, faulty):
    server, command, done, run = faulty
    assert set(FAULTS) <= set(server.kinds), "not every fault was met"
    every_row_is_accounted_for(done.answer, run)
    no_missing_verdict_is_taken_for_a_bad_one(done.answer, run)
    no_secret_is_told(done, run)
    server.script = Script(key=KEY)
    again = kindling(*command, "--resume", "--retry", "--json")
    # what failed is tried again, and what was answered is not: of its rows some are unscored for good
    every_row_is_accounted_for(again.answer, run)
    no_missing_verdict_is_taken_for_a_bad_one(again.answer, run)
    assert again.answer["rows"].get("failed", 0) == 0
    assert again.answer["rows"].get("unscored", 0) <= done.answer["rows"]["unscored"]
    no_secret_is_told(again, run)


def every_row_is_accounted_for(report, run):
    records = rows_of(run / "records.jsonl")
    assert [one["query"]["row"] for one in records] == list(range(ROWS))
    assert Counter(one["status"] for one in records) == report["rows"]
    for record in records:
        judgements = record["judgements"]
        # a candidate that could not be written is named in the detail
        written = {one["candidate"]["index"] for one in judgements}
        for index in set(range(CANDIDATES)) - written:
            assert f"candidate {index} (generator_" in record["detail"]
        if record["status"] == "failed":
            assert record["reason"] == "no_candidates"


def no_missing_verdict_is_taken_for_a_bad_one(report, run):
    records, pairs, sft = (rows_of(run / f"{name}.jsonl") for name in ("records", "pairs", "sft"))
    unscored = Counter()
    for record in records:
        labels = [one["verdict"]["label"] for one in record["judgements"]]
        for one in record["judgements"]:
            verdict = one["verdict"]
            unscored[verdict["unscored"] is not None] += 1
            if verdict["unscored"] is None:
                assert verdict["label"] in ("good", "bad")
                assert len(one["critiques"]) == 2, "a verdict after half a debate"
            else:
                assert (verdict["label"], verdict["score"], verdict["reason"]) == (None, None, "")
                assert len(verdict["unscored"]) > 10
                assert verdict["unscored"] in record["detail"]
        if record["status"] == "rejected":
            assert None not in labels
        if record["status"] == "unscored":
            assert None in labels
            assert not record["pairs"]
        texts = {one["candidate"]["text"]: one["verdict"]["label"] for one in record["judgements"]}
        for pair in record["pairs"]:
            assert (texts[pair["chosen"]], texts[pair["rejected"]]) == ("good", "bad")
    assert report["verdicts"].get("unscored", 0) == unscored[True] > 0
    verdicts = {
        (row["query"]["text"], one["candidate"]["text"]): one["verdict"] for row in records for one in row["judgements"]
    }
    for row in pairs:
        query = row["prompt"][0]["content"]
        assert verdicts[query, row["chosen"][0]["content"]]["label"] == "good"
        assert verdicts[query, row["rejected"][0]["content"]]["label"] == "bad"
    for row in sft:
        assert verdicts[row["messages"][0]["content"], row["messages"][1]["content"]]["label"] == "good"


def no_secret_is_told(done, run):
    told = [done.out.encode(), done.err.encode(), *(file.read_bytes() for file in run.rglob("*") if file.is_file())]
    assert len(told) > 8
    for text in told:
        assert KEY.encode() not in text
        assert KEY[3:].encode() not in text
    assert b"KINDLING_TEST_KEY" in (run / "run.json").read_bytes(), "the variable's name is no secret"


@pytest.mark.parametrize("kind", ["429", "500", "hang", "cut", "malformed", "empty_choices", "refusal", "length"])
def test_a_judge_that_always_fails_makes_every_row_unscored(kindling, tmp_path, kind):
    with serve(faults={kind: 1.0}, retry_after="0.01", hang_s=1.0) as server:
        lines = ("timeout_s = 0.2", "retries = 1")
        project(tmp_path, server, *lines, roles=("judge",))
        done = kindling("curate", queries(tmp_path, 2), "--candidates", 2, "--out", "run", "--json")
    records = rows_of(tmp_path / "run/records.jsonl")
    assert done.answer["rows"] == {"unscored": 2}
    assert done.answer["pairs"] == done.answer["sft"] == 0
    assert {one["verdict"]["label"] for record in records for one in record["judgements"]} == {None}
    assert all("judge" in record["detail"] or "unscored" in record["detail"] for record in records)
    assert not list((tmp_path / "run").glob("*.parquet"))


def test_a_server_that_goes_away_costs_rows_and_no_crash(kindling, tmp_path):
    file = queries(tmp_path, 6)
    with serve() as server:
        project(tmp_path, server, "retries = 0")
        command = ("curate", file, "--candidates", 2, "--out", "run", "--json", "--set", "curate.in_flight=2")
        kindling(*command, "--max-calls", 12)
    done = kindling(*command, "--resume")
    # nothing reaches it from the first call on: the user is told, and what was paid stays
    assert done.status == 2
    assert "is the server up?" in done.err
    assert orjson.loads((tmp_path / "run/run.json").read_bytes())["status"] == "failed"
    assert (tmp_path / "run/ledger.sqlite").exists()
