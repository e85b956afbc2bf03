"""Baselines never see the case they score, and the length-matched subset gives length nothing to say."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from kindling.errors import InputError
from kindling.eval.baselines import baselines, folds, length_matched
from kindling.records import LabelledCase


def case(query, length, label, letter="x"):
    return LabelledCase(f"q{query}", letter * length, label)


def by_length(count=200, shift=10):
    """Good texts are longer by `shift` on average; two cases a query."""
    rng = np.random.default_rng(1)
    return [
        case(i // 2, max(5, round(rng.normal(50 + shift * (i % 2), 10))), "good" if i % 2 else "bad")
        for i in range(count)
    ]


def test_the_cases_of_a_query_stand_in_one_fold_and_every_case_in_one_test_fold():
    cases = by_length()
    tested = []
    for train, test in folds(cases, 0):
        assert not {cases[i].query for i in train} & {cases[i].query for i in test}
        tested += test.tolist()
    assert sorted(tested) == list(range(len(cases)))


def test_length_finds_length_in_either_direction_and_majority_finds_nothing():
    for shift in (30, -30):
        cases = by_length(shift=shift)
        good = np.array([one.label == "good" for one in cases])
        majority, length, _ = baselines(cases, 0)
        assert ((length.scores > 0.5) == good).mean() > 0.85
        assert roc_auc_score(good, length.ranking) > 0.9
        assert roc_auc_score(good, majority.ranking) == 0.5


def test_no_baseline_has_seen_what_it_scores():
    """Labels without any pattern, texts that tell every case apart: only whoever has seen a case is right about it."""
    rng = np.random.default_rng(0)
    cases = [
        LabelledCase(f"q{i}", "".join(rng.choice(list("abcdefghijklmnop"), 40)), "good" if i % 2 else "bad")
        for i in range(300)
    ]
    good = np.array([one.label == "good" for one in cases])
    for one in baselines(cases, 0):
        assert 0.4 <= ((one.scores > 0.5) == good).mean() <= 0.6, one.name


def test_letters_find_style():
    cases = [case(i // 2, 20, "good" if i % 2 else "bad", "愿" if i % 2 else "祝") for i in range(60)]
    letters = baselines(cases, 0)[2]
    assert all((score > 0.5) == (one.label == "good") for score, one in zip(letters.scores, cases, strict=True))


@pytest.mark.parametrize("shift", [0, 5, 15, -15])
def test_on_the_matched_subset_length_says_nothing(shift):
    cases = by_length(600, shift)
    chosen = length_matched(cases, 0)
    kept = [cases[i] for i in chosen]
    assert len(kept) >= 150
    assert len(set(chosen)) == len(chosen)
    assert sum(one.label == "good" for one in kept) * 2 == len(kept)
    area = roc_auc_score([one.label == "good" for one in kept], [len(one.response) for one in kept])
    assert area == pytest.approx(0.5, abs=0.02)


def test_matched_lengths_are_within_the_tolerance():
    """Good 100 has bad 91 within ten percent (of 100) but not 89; with longer good texts only, no pair stays.

    With a second pair on the other side (good 50, bad 52) one of each side stays.
    """
    assert length_matched([case(0, 100, "good"), case(1, 89, "bad")], 0) == ()
    assert length_matched([case(0, 100, "good"), case(1, 91, "bad")], 0) == ()
    pairs = [case(0, 100, "good"), case(1, 91, "bad"), case(2, 50, "good"), case(3, 52, "bad")]
    assert length_matched(pairs, 0) == (0, 1, 2, 3)
    assert length_matched([case(0, 40, "good"), case(1, 40, "bad")], 0) == (0, 1)


def test_draws_depend_on_the_seed_alone():
    cases = by_length()
    assert length_matched(cases, 1) == length_matched(cases, 1)
    for one, again in zip(baselines(cases, 1), baselines(cases, 1), strict=True):
        assert (one.scores == again.scores).all()


def test_too_few_queries_are_refused_in_one_line():
    with pytest.raises(InputError, match="bad cases for 0 queries; it takes 5"):
        folds([case(i, 9, "good") for i in range(9)], 0)
