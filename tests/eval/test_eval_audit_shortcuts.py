"""Shortcuts: found where they were put, absent where they were not, and nothing is won by remembering."""

import random

import orjson
import pytest

from kindling.eval.audit.dataset import read_dataset
from kindling.eval.audit.shortcuts import shortcuts
from kindling.eval.audit.style import styled

LETTERS = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏"


def words(rng: random.Random, size: int) -> str:
    return "".join(rng.choices(LETTERS, k=size))


def write(path, rows):
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def labelled(path, make, count=300):
    """`make(rng, place)` gives (query, response, label)."""
    rng = random.Random(3)
    rows = [dict(zip(("query", "response", "label"), make(rng, place), strict=True)) for place in range(count)]
    return write(path, rows)


def examine(*paths, top=20):
    files, names = styled([read_dataset(path) for path in paths])
    found = shortcuts(files, names, top, seed=0)
    return {(finding.check, finding.file): finding for finding in found}


def test_random_labels_are_predicted_by_nothing(tmp_path):
    """The standard deviation of an AUC of 300 labels without signal is about .033: .4 to .6 is three of them."""
    path = labelled(tmp_path / "a.jsonl", lambda rng, at: (f"q{at}", words(rng, rng.randint(5, 60)), rng.randint(0, 1)))
    found = examine(path)
    for check in ("length", "position", "style"):
        assert 0.4 < found[check, str(path)].figures["auc"] < 0.6, check
        assert found[check, str(path)].severity == "note"
    # what knows nothing must not accuse anybody
    assert found["likely_wrong_label", str(path)].rows == ()


def test_chance_in_a_small_file_is_no_warning(tmp_path):
    """Of twenty texts, length alone has an AUC beyond .6 in one direction nearly half of the time, by chance."""
    beyond = warned = 0
    for run in range(30):
        rng = random.Random(run)
        rows = [{"query": f"q{at}", "response": words(rng, rng.randint(5, 60)), "label": at % 2} for at in range(20)]
        path = write(tmp_path / f"{run}.jsonl", rows)
        length = examine(path)["length", str(path)]
        beyond += not 0.4 < length.figures["auc"] < 0.6
        warned += length.severity != "note"
        assert length.figures["auc_low"] <= length.figures["auc"] <= length.figures["auc_high"]
    assert beyond >= 8
    assert warned <= 5


def test_length_is_found_with_its_threshold(tmp_path):
    """Good texts have 40 to 59 characters, bad ones 10 to 39: the threshold is 40 and it is always right."""

    def make(rng, at):
        good = at % 3 == 0
        return f"q{at}", words(rng, rng.randint(40, 59) if good else rng.randint(10, 39)), int(good)

    length = examine(path := labelled(tmp_path / "a.jsonl", make))["length", str(path)]
    assert length.severity == "severe"
    assert length.figures["auc"] == 1.0
    assert 39 <= length.figures["threshold"] <= 40
    assert length.figures["accuracy"] > 0.98
    assert length.figures["majority"] == pytest.approx(2 / 3)


def test_shorter_is_better_is_found_too(tmp_path):
    path = labelled(tmp_path / "a.jsonl", lambda rng, at: (f"q{at}", words(rng, 50 - 20 * (at % 2)), at % 2))
    length = examine(path)["length", str(path)]
    assert (length.severity, length.figures["auc"]) == ("severe", 0.0)
    assert "fewer than" in length.summary


@pytest.mark.parametrize("rule", [lambda at: at % 2, lambda at: int(at < 150), lambda at: at // 50 % 2])
def test_sorted_and_alternating_files_betray_their_labels_by_position(tmp_path, rule):
    path = labelled(tmp_path / "a.jsonl", lambda rng, at: (f"q{at}", words(rng, 30), rule(at)))
    assert examine(path)["position", str(path)].severity == "severe"


def test_style_is_found_although_lengths_are_equal(tmp_path):
    def make(rng, at):
        return f"q{at}", words(rng, 15) + "吉祥如意" * (at % 2) + "马马虎虎" * (1 - at % 2) + words(rng, 15), at % 2

    style = examine(path := labelled(tmp_path / "a.jsonl", make))["style", str(path)]
    assert style.severity == "severe"
    assert style.figures["auc"] > 0.99
    assert style.figures["auc_length_matched"] > 0.99
    assert any("吉" in example for example in style.examples if example.startswith("good"))


def test_remembering_a_query_wins_nothing(tmp_path):
    """Every query has one text, repeated ten times, and a random label: folds that split a query would score 1."""
    rng = random.Random(5)
    kept = [(f"q{at}", words(rng, 30), rng.randint(0, 1)) for at in range(60)]
    path = labelled(tmp_path / "a.jsonl", lambda _, at: kept[at % 60], count=600)
    assert examine(path)["style", str(path)].figures["auc"] < 0.75


def pair_rows(count, seed, good="吉祥如意", bad="马马虎虎"):
    rng = random.Random(seed)
    return [
        {"query": f"q{seed}-{at}", "chosen": words(rng, 20) + good, "rejected": words(rng, 20) + bad}
        for at in range(count)
    ]


def test_pairs_give_pair_accuracy_and_length_share(tmp_path):
    found = examine(path := write(tmp_path / "p.jsonl", pair_rows(100, 1)))
    style, length = found["style", str(path)], found["length", str(path)]
    assert style.figures["pair_accuracy"] > 0.99
    assert style.figures["pairs_same_length"] == 100
    assert length.figures["longer_chosen"] == 0.5
    assert length.severity == "note"
    assert ("position", str(path)) not in found


def test_one_file_predicts_another_only_by_what_it_does_not_share(tmp_path):
    """The second file holds the first one's texts: once they are left out, nothing is left to learn from."""
    rows = pair_rows(60, 2)
    pairs = write(tmp_path / "p.jsonl", rows)
    other = write(tmp_path / "q.jsonl", pair_rows(60, 3))
    cases = [{"query": f"z{at}", "response": row["chosen"], "label": 1} for at, row in enumerate(rows)]
    cases += [{"query": f"y{at}", "response": row["rejected"], "label": 0} for at, row in enumerate(rows)]
    dev = write(tmp_path / "d.jsonl", cases)
    assert ("style_elsewhere", str(dev)) not in examine(pairs, dev)
    transfer = examine(other, dev)["style_elsewhere", str(dev)]
    assert transfer.figures == {**transfer.figures, "left_out": 0}
    assert transfer.figures["auc"] > 0.99


def test_flipped_labels_are_listed_worst_first(tmp_path):
    rows = pair_rows(200, 4)
    for at in (17, 80):
        rows[at]["chosen"], rows[at]["rejected"] = rows[at]["rejected"], rows[at]["chosen"]
    suspects = examine(path := write(tmp_path / "p.jsonl", rows))["likely_wrong_label", str(path)]
    assert set(suspects.rows) == {18, 81}
    assert suspects.count == 2
    only = examine(path, top=1)["likely_wrong_label", str(path)]
    assert len(only.rows) == 1
    assert only.count == 2


def test_a_small_file_is_said_to_be_too_small(tmp_path):
    path = labelled(tmp_path / "a.jsonl", lambda rng, at: (f"q{at}", words(rng, 9), at % 2), count=12)
    found = examine(path)
    assert list(found) == [("shortcuts", str(path))]
    assert "too few" in found["shortcuts", str(path)].summary


def test_empty_texts_do_not_stop_it(tmp_path):
    path = labelled(tmp_path / "a.jsonl", lambda rng, at: (f"q{at}", "", at % 2), count=60)
    assert examine(path)["style", str(path)].figures["auc"] == pytest.approx(0.5, abs=0.2)
