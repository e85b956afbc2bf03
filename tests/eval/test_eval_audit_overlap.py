"""Copies within and between files, topics and shifts: the numbers are those counted by hand."""

import math

import orjson
import pytest

from kindling.eval.audit.balance import balance, by_pieces, effective_number
from kindling.eval.audit.dataset import read_dataset
from kindling.eval.audit.overlap import overlap


def dataset(path, rows):
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return read_dataset(path)


LONG = "风从山那边来带着松针的气味我把它折进信里寄给你"


@pytest.fixture
def files(tmp_path):
    pairs = [{"query": f"q{at}", "chosen": f"好的文字第{at}号", "rejected": f"差的文字第{at}号"} for at in range(8)]
    pairs.append({"query": "q8", "chosen": LONG, "rejected": "无"})
    dev = [{"query": f"q{at}", "response": f"好的文字第{at}号", "label": 1} for at in range(6)]
    dev += [{"query": f"z{at}", "response": f"另外的话{at}{at}{at}", "label": 0} for at in range(3)]
    dev += [{"query": "z9", "response": LONG + "！", "label": 0}]
    sft = [{"query": f"s{at}", "response": f"好的文字第{at}号"} for at in range(4)]
    return [
        dataset(tmp_path / "pairs.jsonl", pairs),
        dataset(tmp_path / "dev.jsonl", dev),
        dataset(tmp_path / "sft.jsonl", sft),
    ]


def test_leaks_are_counted_by_label_and_graded(files):
    found = {(f.check, f.file.split("/")[-1], f.other.split("/")[-1]): f for f in overlap(files)}
    texts = found["shared_texts", "dev.jsonl", "pairs.jsonl"]
    assert texts.severity == "severe"
    assert texts.rows == (1, 2, 3, 4, 5, 6)
    assert texts.figures == {"verbatim": 6, "near": 1, "verbatim_good": 6}
    assert "6 of 6 good and 0 of 4 bad stand verbatim" in texts.summary
    assert "0 of 6 good and 1 of 4 bad nearly" in texts.summary
    queries = found["shared_queries", "dev.jsonl", "pairs.jsonl"]
    assert queries.figures == {"shared": 6, "shared_good": 6, "accuracy": 1.0, "auc": 1.0}
    # the smaller unlabelled file lies in the larger one, and that is no evaluation
    assert found["shared_texts", "sft.jsonl", "pairs.jsonl"].severity == "warning"
    assert found["shared_queries", "sft.jsonl", "pairs.jsonl"].count == 0
    assert found["shared_texts", "dev.jsonl", "sft.jsonl"].count == 4


def test_files_with_nothing_in_common_say_so_once(tmp_path, files):
    other = dataset(tmp_path / "other.jsonl", [{"query": "x", "response": "毫不相干的一句话", "label": 1}])
    (finding,) = overlap([files[2], other])
    assert (finding.severity, finding.count) == ("note", 0)
    assert "no text and no query in common with sft.jsonl" in finding.summary


def test_a_copy_with_the_other_label_is_a_conflict(files):
    found = [f for f in overlap(files) if f.check == "both_labels"]
    assert [(f.file.split("/")[-1], f.rows, f.severity) for f in found] == [("dev.jsonl", (10,), "warning")]


def test_a_conflict_under_the_same_query_is_severe(tmp_path):
    rows = [
        {"query": "a", "response": LONG, "label": 1},
        {"query": "a", "response": LONG + "🎉", "label": 0},
        {"query": "b", "response": "全然不同的另一句话", "label": 0},
    ]
    (conflict,) = [f for f in overlap([dataset(tmp_path / "l.jsonl", rows)]) if f.check == "both_labels"]
    assert (conflict.severity, conflict.rows) == ("severe", (1, 2))


def test_an_equal_pair_is_no_conflict_with_itself(tmp_path):
    rows = [{"query": f"q{at}", "chosen": f"{at}{LONG}{at}", "rejected": f"{at}{LONG}{at}"} for at in range(3)]
    rows = [rows[0], {"query": "x", "chosen": "别的话", "rejected": "不同的话"}]
    assert [f.check for f in overlap([dataset(tmp_path / "p.jsonl", rows)])] == []


def test_repeated_texts_name_the_later_rows(tmp_path):
    rows = [{"query": f"q{at}", "response": text} for at, text in enumerate(["甲乙丙", "丁戊己", "甲乙丙", " 甲乙丙"])]
    (finding,) = overlap([dataset(tmp_path / "r.jsonl", rows)])
    assert (finding.check, finding.count, finding.rows) == ("repeated_text", 2, (3, 4))


def test_effective_number_by_hand():
    """Four even topics: e^(ln 4) = 4. Shares 1/2, 1/4, 1/4: H = 1.5 ln 2, so 2^1.5. One topic, zeros ignored: 1."""
    assert effective_number([5, 5, 5, 5]) == pytest.approx(4)
    assert effective_number([2, 1, 1]) == pytest.approx(2**1.5)
    assert effective_number([7, 0]) == pytest.approx(1)


def test_pieces_take_what_is_frequent_and_skip_what_is_everywhere():
    queries = [f"写一句{end}晚霞" for end in "甲乙丙丁戊己庚辛壬癸"] + [
        f"写一句{end}海浪" for end in "甲乙丙丁戊己庚辛"
    ]
    topic_of = by_pieces([*queries, "写一句星空", "写一句雪山", "写一句草地"])
    assert (topic_of("晚霞来了"), topic_of("海浪来了")) == ("晚霞", "海浪")
    assert topic_of("写一句") is None
    assert topic_of("星空") is None


def test_shift_and_shares_by_hand(tmp_path):
    """3/4 a, 1/4 b against 1/4 a, 3/4 b: half the mass of one would have to move."""
    one = dataset(tmp_path / "a.jsonl", [{"query": q, "response": "r"} for q in "aaab"])
    other = dataset(tmp_path / "b.jsonl", [{"query": q, "response": "r"} for q in "abbb"])
    found = balance([one, other], lambda query: query)
    shift = next(f for f in found if f.check == "topic_shift")
    assert shift.figures["distance"] == pytest.approx(0.5)
    assert shift.severity == "warning"
    topics = next(f for f in found if f.check == "topics")
    assert topics.figures["share.a"] == pytest.approx(0.75)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert topics.figures["effective"] == pytest.approx(math.exp(entropy))


def test_a_topic_with_one_label_is_named(tmp_path):
    rows = [{"query": "sea", "response": "r", "label": 1}] * 25
    rows += [{"query": "sky", "response": "r", "label": at % 2} for at in range(40)]
    found = balance([dataset(tmp_path / "l.jsonl", rows)], lambda query: query)
    lopsided = next(f for f in found if f.check == "topic_labels")
    assert "sea (25 good, 0 bad)" in lopsided.summary
    assert "sky" not in lopsided.summary
    labels = next(f for f in found if f.check == "labels")
    assert labels.figures["good"] == pytest.approx(45 / 65)
