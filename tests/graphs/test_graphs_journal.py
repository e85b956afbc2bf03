"""The row journal: what survives, what does not count, and what stays out of memory."""

import resource
import tracemalloc
from dataclasses import replace

import orjson
import pytest

from kindling.errors import RunFolderError
from kindling.graphs.journal import RowJournal
from kindling.records import Candidate, Judgement, Outcome, Query, Verdict


def outcome(row, status="accepted", text="好"):
    verdict = Verdict.of(0.7, "reason", "judge", "t")
    return Outcome(Query(f"query {row}", row), status, "why", "", (), (Judgement(Candidate(text, "g"), verdict),))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def fill(path, rows, key="k"):
    with RowJournal(path, key) as journal:
        for row in rows:
            journal.add(outcome(row))


def test_outcomes_come_back_whole_and_in_input_order(path):
    fill(path, [4, 0, 7, 2])
    with RowJournal(path, "k") as journal:
        assert list(journal.outcomes()) == [outcome(row) for row in (0, 2, 4, 7)]
        assert list(journal.outcomes(until=4)) == [outcome(row) for row in (0, 2, 4)]
        entry = journal.entry(Query("query 7", 7))
        assert (entry.status, entry.reason) == ("accepted", "why")
        assert journal.entry(Query("query 1", 1)) is None


def test_a_line_torn_anywhere_costs_its_row_alone(path):
    fill(path, [0, 1])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole), 17):
        path.write_bytes(whole[:cut])
        fill(path, [5])
        with RowJournal(path, "k") as journal:
            assert [one.query.row for one in journal.outcomes()] == [0, 5], f"cut at byte {cut}"


def test_rows_under_other_templates_are_run_again_and_stay_in_the_file(path):
    fill(path, [0, 1], key="old")
    fill(path, [1], key="new")
    for key, rows in (("new", [1]), ("old", [0, 1])):
        with RowJournal(path, key) as journal:
            assert [one.query.row for one in journal.outcomes()] == rows


def test_a_row_about_another_text_does_not_count(path):
    fill(path, [0])
    with RowJournal(path, "k") as journal:
        assert journal.entry(Query("another text", 0)) is None


def test_the_last_line_of_a_row_stands(path):
    with RowJournal(path, "k") as journal:
        journal.add(outcome(3, "unscored"))
        journal.add(outcome(3, "accepted"))
        assert [one.status for one in journal.outcomes()] == ["accepted"]


def test_lines_that_are_not_ours_are_skipped(path):
    fill(path, [0])
    with path.open("ab") as file:
        file.write(b"not json\n[1]\n{}\n\xff\n")
    fill(path, [1])
    with RowJournal(path, "k") as journal:
        assert [one.query.row for one in journal.outcomes()] == [0, 1]


def test_a_record_of_another_version_is_run_again_not_half_understood(path):
    line = orjson.loads(orjson.dumps({"key": "k", "outcome": outcome(0)}))
    line["outcome"]["extra"] = 1
    path.write_bytes(orjson.dumps(line) + b"\n")
    with RowJournal(path, "k") as journal:
        assert len(journal) == 0


def test_what_is_no_json_is_refused_before_anything_is_written(path):
    with RowJournal(path, "k") as journal:
        journal.add(outcome(0))
        with pytest.raises(TypeError):
            journal.add(replace(outcome(1), detail="\ud800"))
        journal.add(outcome(2))
        assert [one.query.row for one in journal.outcomes()] == [0, 2]


def test_an_unwritable_place_is_one_clear_line(tmp_path):
    with pytest.raises(RunFolderError, match="cannot be written"):
        RowJournal(tmp_path / "missing" / "journal.jsonl", "k")


def test_memory_holds_places_not_outcomes(path):
    """2,000 outcomes of 10 kB are 20 MB on disk; their places take less than 1 MB."""
    text = "好" * 3300
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with RowJournal(path, "k") as journal:
            for row in range(2000):
                journal.add(outcome(row, text=text))
            assert sum(len(one.judgements) for one in journal.outcomes()) == 2000
            assert tracemalloc.get_traced_memory()[0] - before < 1e6
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 19e6


def test_forgotten_rows_are_unfinished_until_they_are_added_again(tmp_path):
    with RowJournal(tmp_path / "j.jsonl", "key") as journal:
        for row, status in enumerate(("accepted", "unscored", "failed")):
            journal.add(Outcome(Query(f"q{row}", row), status, "why"))
        assert journal.forget(("unscored", "failed")) == 2
        assert [one.query.row for one in journal.outcomes()] == [0]
        journal.add(Outcome(Query("q1", 1), "rejected", "all_bad"))
    with RowJournal(tmp_path / "j.jsonl", "key") as journal:
        assert [one.status for one in journal.outcomes()] == ["accepted", "rejected", "failed"]


def test_a_full_disk_tears_no_later_row(path):
    """A write that the disk cut short leaves nothing behind, so a row that fits again is read where it stands."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    first, long, later = outcome(0), outcome(1, text="长" * 400), outcome(2)
    with RowJournal(path, "k") as journal:
        journal.add(first)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, hard))
            with pytest.raises(RunFolderError):
                journal.add(long)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        journal.add(later)
        assert list(journal.outcomes()) == [first, later]
    with RowJournal(path, "k") as journal:
        assert list(journal.outcomes()) == [first, later]
