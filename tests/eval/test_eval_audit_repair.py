"""Repair: the copy holds every row but the certainly wrong, in order and format; bad targets are refused at once."""

import csv
import hashlib

import orjson
import pyarrow.parquet as pq
import pytest

from kindling.errors import InputError
from kindling.eval.audit.dataset import read_dataset
from kindling.eval.audit.repair import repair, targets
from kindling.eval.audit.report import audit
from kindling.tables import read_rows, write_jsonl, write_parquet

ROWS = [
    {"query": "甲", "chosen": "山高水长", "rejected": "风清月白", "kept": "1"},
    {"query": "乙", "chosen": "致[姓名]", "rejected": "风清月白", "kept": "2"},
    {"query": "丙", "chosen": "同一句话", "rejected": "同一句话", "kept": "3"},
    {"query": "丁", "chosen": "春暖, 花开", "rejected": "致[姓名]\n安", "kept": "4"},
    {"query": "甲", "chosen": "山高水长", "rejected": "风清月白", "kept": "5"},
]


def write(path, rows):
    if path.suffix == ".jsonl":
        write_jsonl(path, rows)
    elif path.suffix == ".parquet":
        write_parquet(path, rows)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def fixed(path, out):
    result = audit([path])
    return repair(result.datasets[0], result.hits[str(path)], out)


@pytest.mark.parametrize("kind", [".jsonl", ".csv", ".parquet"])
def test_the_copy_keeps_format_order_and_fields(tmp_path, kind):
    path = write(tmp_path / f"p{kind}", ROWS)
    before = hashlib.sha256(path.read_bytes()).digest()
    done = fixed(path, out := tmp_path / f"clean{kind}")
    assert read_rows(out, ()) == [ROWS[0], ROWS[3]]
    assert (done.kept, done.of) == (2, 5)
    assert done.why == {"placeholder": 1, "equal_pair": 1, "duplicate": 1}
    assert hashlib.sha256(path.read_bytes()).digest() == before
    gone = [orjson.loads(line) for line in (tmp_path / "clean.removed.jsonl").read_bytes().splitlines()]
    assert [(row["row"], row["why"]) for row in gone] == [(2, ["placeholder"]), (3, ["equal_pair"]), (5, ["duplicate"])]
    assert [row["was"] for row in gone] == [ROWS[1], ROWS[2], ROWS[4]]


def test_a_second_repair_finds_nothing(tmp_path):
    path = write(tmp_path / "p.jsonl", ROWS)
    fixed(path, once := tmp_path / "once.jsonl")
    done = fixed(once, tmp_path / "twice.jsonl")
    assert done.why == {}
    assert (tmp_path / "twice.jsonl").read_bytes() == once.read_bytes()


def test_every_row_may_go_and_parquet_keeps_its_columns(tmp_path):
    path = write(tmp_path / "p.parquet", [ROWS[2]])
    assert fixed(path, out := tmp_path / "q.parquet").kept == 0
    assert pq.read_table(out).num_rows == 0
    assert pq.read_table(out).column_names == list(ROWS[2])


def test_likely_wrong_labels_and_near_copies_never_go(tmp_path):
    rows = [
        {"query": f"q{at}", "chosen": f"吉祥如意，步步高升第{at}回", "rejected": f"马马虎虎的第{at}回"}
        for at in range(30)
    ]
    rows[4] = {"query": "q4", "chosen": rows[4]["rejected"], "rejected": rows[4]["chosen"]}
    path = write(tmp_path / "p.jsonl", rows)
    result = audit([path])
    wrong = next(finding for finding in result.findings if finding.check == "likely_wrong_label")
    assert 5 in wrong.rows
    assert repair(result.datasets[0], result.hits[str(path)], tmp_path / "o.jsonl").kept == 30


def test_targets(tmp_path):
    one, other = tmp_path / "a.jsonl", tmp_path / "b.csv"
    assert targets([one], tmp_path / "c.jsonl") == [tmp_path / "c.jsonl"]
    assert targets([one, other], tmp_path / "out") == [tmp_path / "out/a.jsonl", tmp_path / "out/b.csv"]
    with pytest.raises(InputError, match=r"has the format of its file; name it with \.jsonl"):
        targets([one], tmp_path / "c.csv")
    with pytest.raises(InputError, match="two of the files have this name"):
        targets([one, tmp_path / "x" / "a.jsonl"], tmp_path / "out")
    one.touch()
    with pytest.raises(InputError, match="exists already"):
        targets([one], one)
    (tmp_path / "d.removed.jsonl").touch()
    with pytest.raises(InputError, match="exists already"):
        targets([one], tmp_path / "d.jsonl")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "x"}, "needs query, chosen, rejected"),
        ({"query": "x", "response": None}, "needs the texts"),
        ({"query": "x", "response": "y", "label": "maybe"}, "label"),
        ({"messages": []}, "needs the texts"),
        ({"prompt": "x", "chosen": "y", "rejected": 3}, "rejected"),
    ],
)
def test_files_that_cannot_be_understood(tmp_path, row, message):
    with pytest.raises(InputError, match=message):
        read_dataset(write(tmp_path / "f.jsonl", [row]))


def test_conversations_are_read(tmp_path):
    turns = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a"},
    ]
    data = read_dataset(write(tmp_path / "f.jsonl", [{"messages": turns}]))
    assert (data.kind, data.texts[0].query, data.texts[0].text) == ("rows", "u", "a")
    pair = {"prompt": turns[1:2], "chosen": turns[2:], "rejected": [{"role": "assistant", "content": "b"}]}
    data = read_dataset(write(tmp_path / "g.jsonl", [pair]))
    assert [(text.query, text.text, text.label) for text in data.texts] == [("u", "a", "good"), ("u", "b", "bad")]
