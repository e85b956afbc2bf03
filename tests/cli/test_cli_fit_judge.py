"""`kindling fit-judge` as a user runs it: every kind of file, what it prints, and one line for bad input."""

import sys

import orjson
import pytest

from kindling.agents.lexical.judge import LexicalJudge
from kindling.cli import main
from kindling.records import Case
from kindling.tables import write_jsonl
from tests.lexical_data import pairs

ROWS = pairs(60, seed=1, longer=0.8)
CONVERSATIONS = [
    {
        "prompt": [{"role": "user", "content": row["query"]}],
        "chosen": [{"role": "assistant", "content": row["chosen"]}],
        "rejected": [{"role": "assistant", "content": row["rejected"]}],
    }
    for row in ROWS
]
LABELLED = [
    {"query": row["query"], "response": row[side], "label": label}
    for row in ROWS
    for side, label in (("chosen", 1), ("rejected", 0))
]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["kindling", "fit-judge", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def test_the_same_cases_in_any_format_give_the_same_judge(run, tmp_path):
    digests = []
    for name, rows in (("pairs", ROWS), ("trl", CONVERSATIONS), ("labelled", LABELLED)):
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
        status, out, _ = run(f"{name}.jsonl", "--out", f"{name}.npz", "--seed", 4, "--json")
        assert status == 0
        digests.append(orjson.loads(out)["sha256"])
        assert LexicalJudge.open(tmp_path / f"{name}.npz").template == digests[-1]
    assert len(set(digests)) == 1


def test_it_says_what_it_learned_from_and_what_length_alone_reaches(run, tmp_path):
    repeated = [*ROWS, ROWS[0], {"query": "同", "chosen": "一样", "rejected": "一样"}]
    write_jsonl(tmp_path / "pairs.jsonl", repeated)
    status, out, _ = run("pairs.jsonl", "--out", "judge.npz", "--json")
    answer = orjson.loads(out)
    assert status == 0
    assert (answer["cases"], answer["good"]) == (120, 60)
    assert answer["dropped"] == {"repeated": 2, "called good and bad": 2}
    assert answer["auc_length_alone"] > 0.65
    assert abs(answer["auc_matched_length_alone"] - 0.5) < 0.1
    assert answer["auc_matched"] > 0.9
    row = pairs(1, seed=8)[0]
    judge = LexicalJudge.open(tmp_path / "judge.npz")
    good, bad = judge.score_many([Case(row["query"], row[side]) for side in ("chosen", "rejected")])
    assert good > 0.5 >= bad


def test_people_get_a_table_and_the_name_to_use(run, tmp_path):
    write_jsonl(tmp_path / "pairs.jsonl", ROWS)
    status, out, err = run("pairs.jsonl", "--out", "judge.npz")
    assert status == 0
    assert "length alone" in out
    assert "of matched length" in out
    assert "--judge lexical:judge.npz" in err


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"query": "a", "response": "b"}], "neither pairs"),
        ([row for row in LABELLED if row["label"] == 1], "0 usable bad texts"),
        (ROWS[:5], "5 usable good texts"),
        ([{**row, "label": "fine"} for row in LABELLED], "label 'fine'"),
        ([{**ROWS[0], "chosen": None}], "chosen"),
        (
            [{"query": str(n), "chosen": f"很长的话{n}" * 9, "rejected": f"短{n}"} for n in range(60)],
            "nothing but length",
        ),
        ([], "empty"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(run, tmp_path, rows, says):
    write_jsonl(tmp_path / "data.jsonl", rows)
    status, out, err = run("data.jsonl", "--out", "judge.npz")
    assert (status, out) == (2, "")
    assert says in err
    assert "data.jsonl" in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_a_file_that_is_there_or_a_folder_that_is_not_is_refused_before_any_work(run, tmp_path):
    (tmp_path / "judge.npz").write_text("mine")
    for out, says in (("judge.npz", "exists already"), ("nowhere/judge.npz", "no such folder")):
        status, _, err = run("missing.jsonl", "--out", out)
        assert status == 2
        assert says in err
    assert (tmp_path / "judge.npz").read_text() == "mine"
    assert "no such file" in run("missing.jsonl", "--out", "new.npz")[2]
