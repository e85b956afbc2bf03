"""The reader of labelled files and pairs: every spelling of a label, and one clear line for every mistake."""

import csv

import orjson
import pytest

from kindling.errors import InputError
from kindling.eval.labelled import Pair, read_label, read_labelled, read_pairs
from kindling.records import LabelledCase
from kindling.tables import write_jsonl, write_parquet


@pytest.mark.parametrize("value", [1, True, 1.0, "1", "good", "Good", " GOOD ", "true", "TRUE"])
def test_spellings_of_good(value):
    assert read_label(value, "row") == "good"


@pytest.mark.parametrize("value", [0, False, 0.0, "0", "bad", "Bad", "false", "False"])
def test_spellings_of_bad(value):
    assert read_label(value, "row") == "bad"


@pytest.mark.parametrize("value", [None, "", 2, -1, 0.5, "yes", "unscored", float("nan"), [1], {"label": 1}])
def test_what_is_no_label_is_refused_and_never_guessed(value):
    with pytest.raises(InputError, match=r"f: row 3: label .*write 0 or 1"):
        read_label(value, "f: row 3")


def test_rows_keep_their_order_and_their_columns(tmp_path):
    rows = [
        {"query": "q1", "response": "a", "label": 1, "occasion": "o", "recipient": "不限", "more": 5},
        {"query": "q1", "response": "", "label": "bad", "flaw": "empty", "recipient": "r", "occasion": ""},
    ]
    write_jsonl(tmp_path / "f.jsonl", rows)
    expected = (
        LabelledCase("q1", "a", "good", occasion="o"),
        LabelledCase("q1", "", "bad", flaw="empty", recipient="r"),
    )
    assert read_labelled(tmp_path / "f.jsonl") == expected
    with (tmp_path / "f.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["query", "response", "label", "flaw", "occasion", "recipient"])
        writer.writeheader()
        writer.writerows({key: row[key] for key in row if key != "more"} for row in rows)
    assert read_labelled(tmp_path / "f.csv") == expected
    write_parquet(tmp_path / "f.parquet", [{"query": "q", "response": "r", "label": True}])
    assert read_labelled(tmp_path / "f.parquet") == (LabelledCase("q", "r", "good"),)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query": None, "response": "r", "label": 1}, "row 2: query: not a text but null"),
        ({"query": "q", "response": 3, "label": 1}, "row 2: response: not a text but int"),
        ({"query": "q", "response": "r"}, "row 2: no column 'label'"),
        ({"query": "q", "response": "r", "label": "maybe"}, "row 2: label 'maybe'"),
    ],
)
def test_a_mistake_is_named_with_its_row(tmp_path, row, said):
    write_jsonl(tmp_path / "f.jsonl", [{"query": "q", "response": "r", "label": 0}, row])
    with pytest.raises(InputError, match=said):
        read_labelled(tmp_path / "f.jsonl")


def test_pairs_as_columns_or_as_conversations(tmp_path):
    file = tmp_path / "pairs.jsonl"
    write_jsonl(file, [{"query": "q", "chosen": "c", "rejected": "r", "more": 1}])
    assert read_pairs(file) == (Pair("q", "c", "r"),)
    conversation = {
        "prompt": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "q1"},
            {"role": "assistant", "content": "a1"},
            {"role": "user", "content": "q2"},
        ],
        "chosen": [{"role": "assistant", "content": "c"}],
        "rejected": [{"role": "assistant", "content": "r"}],
    }
    file.write_bytes(orjson.dumps(conversation))
    assert read_pairs(file) == (Pair("q2", "c", "r"),)
    write_jsonl(file, [{"prompt": "q", "chosen": "c", "rejected": "c"}])
    assert read_pairs(file) == (Pair("q", "c", "c"),)


def test_pairs_without_a_side_are_refused(tmp_path):
    file = tmp_path / "pairs.jsonl"
    write_jsonl(file, [{"chosen": "c", "rejected": "r"}])
    with pytest.raises(InputError, match="no column 'query' or 'prompt'"):
        read_pairs(file)
    write_jsonl(file, [{"prompt": [{"role": "user", "content": "q"}], "chosen": [], "rejected": "r"}])
    with pytest.raises(InputError, match="row 1: chosen: no message of role 'assistant'"):
        read_pairs(file)
    write_jsonl(file, [{"query": "q", "chosen": None, "rejected": "r"}])
    with pytest.raises(InputError, match="row 1: chosen: not a text but null"):
        read_pairs(file)
