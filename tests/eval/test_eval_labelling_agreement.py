"""Agreement between annotators: published examples derived by hand, intervals that cover, exports that count."""

import numpy as np
import pytest

from kindling.errors import InputError
from kindling.eval.intervals import resample, resampled
from kindling.eval.labelling.answers import Answer
from kindling.eval.labelling.export import export
from kindling.eval.labelling.items import Item
from kindling.eval.labelling.reliability import about, alpha, reliability

# Krippendorff 2011, example C: four observers, twelve units, values 1 to 5, 0 where none was given
OBSERVERS = ("123321412000", "123322412503", "033323422510", "123324412510")
COUNTS = np.array([[unit.count(value) for value in "12345"] for unit in zip(*OBSERVERS, strict=True)], dtype=float)
ONCE = np.ones((1, len(COUNTS)))


def labels(text, annotator, items):
    kinds = {"g": "good", "b": "bad", "?": "cannot tell"}
    return {
        item.id: Answer(item.id, annotator, "plain", kinds[char], "t")
        for item, char in zip(items, text, strict=True)
        if char != " "
    }


def cases(count, queries=None):
    return [Item(f"q{n % (queries or count)}", f"r{n}") for n in range(count)]


def test_nominal_alpha_by_hand():
    """Unit 12 has one value and drops out; the others hold n = 40 values: 9 1s, 13 2s, 10 3s, 5 4s and 3 5s.

    Pairs that differ, over m - 1: unit 2 (2 2 3 2) 3/3, unit 6 (1 2 3 4) 6/3, unit 8 (1 1 2 1) 3/3: 4 in all. Expected:
    (40² - 81 - 169 - 100 - 25 - 9) / 2 = 608. alpha = 1 - 39 · 4/608 = .743, as printed there.
    """
    assert alpha(COUNTS, 1 - np.eye(5), ONCE) == pytest.approx(1 - 39 * 4 / 608)
    assert round(float(alpha(COUNTS, 1 - np.eye(5), ONCE)[0]), 3) == 0.743


def test_interval_alpha_by_hand():
    """Squared differences: unit 2 3/3, unit 6 (1 + 4 + 9 + 1 + 4 + 1)/3, unit 8 3/3: 26/3.

    Expected: 9·13 + 9·10·4 + 9·5·9 + 9·3·16 + 13·10 + 13·5·4 + 13·3·9 + 10·5 + 10·3·4 + 5·3 = 2240.
    alpha = 1 - 39 · (26/3)/2240 = .849, as printed there.
    """
    values = np.arange(1.0, 6)
    found = alpha(COUNTS, (values[:, None] - values) ** 2, ONCE)
    assert found == pytest.approx(1 - 39 * (26 / 3) / 2240)
    assert round(float(found[0]), 3) == 0.849


def test_two_observers_with_two_values_by_hand():
    """Krippendorff 2011, example A: 0100000010 and 1110010000. Four units differ; 14 0s, 6 1s: 1 - 19 · 4/84 = .095."""
    counts = np.array([[pair.count(value) for value in "01"] for pair in zip("0100000010", "1110010000", strict=True)])
    assert alpha(counts.astype(float), 1 - np.eye(2), np.ones((1, 10)))[0] == pytest.approx(1 - 76 / 84)


def test_a_weight_is_a_repetition():
    weights = np.array([[1, 2, 0, 3, 1, 1, 0, 2, 1, 1, 1, 1.0]])
    repeated = np.repeat(COUNTS, weights[0].astype(int), axis=0)
    assert alpha(COUNTS, 1 - np.eye(5), weights) == pytest.approx(alpha(repeated, 1 - np.eye(5), np.ones((1, 14))))


def test_alpha_without_variety_or_without_overlap_is_undefined():
    assert np.isnan(alpha(np.array([[2.0, 0], [3, 0]]), 1 - np.eye(2), np.ones((1, 2)))).all()
    assert np.isnan(alpha(np.array([[1.0, 0], [0, 1]]), 1 - np.eye(2), np.ones((1, 2)))).all()


def test_kappa_same_and_missing_values_by_hand():
    """Of ten cases both told eight, six of them alike. anna: 5 good of 8, ben: 5 of 8.

    Chance is (25 + 9)/64, so kappa = (6/8 - 34/64)/(1 - 34/64) = 14/30.
    """
    items = cases(10)
    stands = {
        "anna": labels("gggggbbb?g", "anna", items),
        "ben": labels("ggggbgbbg?", "ben", items),
    }
    found = reliability(items, about(items, stands), 0)
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.cases, found.shared) == ("anna", "ben", 8, 8)
    assert pair.same.value == pytest.approx(6 / 8)
    assert pair.kappa.value == pytest.approx(14 / 30)
    assert [(one.good, one.bad, one.cannot_tell) for one in found.annotators] == [(6, 3, 1), (6, 3, 1)]


def test_scores_have_an_alpha_a_dimension():
    items = cases(4)
    scores = {"anna": (1, 2, 3, 3), "ben": (1, 2, 3, 1)}
    stands = {
        name: {
            item.id: Answer(item.id, name, "five-x", "good", "t", {"wit": score})
            for item, score in zip(items, given, strict=True)
        }
        for name, given in scores.items()
    }
    found = reliability(items, stands, 0).dimensions
    # values 1 1 2 2 3 3 3 1: expected 3·2·1 + 3·3·4 + 2·3·1 = 48, observed 4
    assert found["wit"].value == pytest.approx(1 - 7 * 4 / 48)


def test_what_is_about_other_cases_is_left_out():
    items = cases(3)
    stands = {"anna": labels("gbg", "anna", items), "ben": labels("bb", "ben", cases(5)[3:])}
    assert list(about(items, stands)) == ["anna"]


def test_intervals_are_clustered_and_cover():
    """Three annotators with 15 % slips on 120 cases of 40 queries, whose quality is the query's alone.

    Slips are independent of everything, half of the cases are good: two labels of a case agree with .85² + .15² =
    .745, two of any cases with .5, so alpha is 1 - .255/.5 = .49.
    """
    rng = np.random.default_rng(7)
    hits = 0
    for trial in range(60):
        truth = np.repeat(rng.random(40) < 0.5, 3)
        given = truth[:, None] ^ (rng.random((120, 3)) < 0.15)
        counts = np.stack([3 - given.sum(axis=1), given.sum(axis=1)], axis=1).astype(float)
        weights = resample(np.repeat(np.arange(40), 3).astype(str), trial, 200)
        found = resampled(alpha(counts, 1 - np.eye(2), weights))
        hits += found.low <= 0.49 <= found.high
    assert 52 <= hits <= 60


def test_the_majority_has_no_ties_and_no_shrugs():
    items = cases(6)
    stands = {
        "anna": labels("gggb? ", "anna", items),
        "ben": labels("gbgb? ", "ben", items),
        "eve": labels("b ?g  ", "eve", items),
    }
    found = export(items, stands)
    assert [(row["response"], row["label"]) for row in found.rows] == [("r0", "good"), ("r2", "good"), ("r3", "bad")]
    assert (found.tied, found.cannot_tell, found.open) == (1, 1, 1)
    assert (found.rows[0]["votes_good"], found.rows[0]["votes_bad"]) == (2, 1)
    alone = export(items, stands, "eve")
    assert [row["label"] for row in alone.rows] == ["bad", "good"]
    assert (alone.tied, alone.cannot_tell, alone.open) == (0, 1, 3)


def test_an_export_of_nobody_or_nothing_is_refused():
    items = cases(2)
    stands = {"anna": labels("??", "anna", items)}
    with pytest.raises(InputError, match=r"--by zoe.*anna"):
        export(items, stands, "zoe")
    with pytest.raises(InputError, match="nothing to export"):
        export(items, stands)
