"""Rates and corrected rates: numbers by hand, and simulations in which the intervals must hold the planted truth."""

from math import sqrt

import numpy as np
import pytest

from kindling.eval.length_bias import wilson
from kindling.eval.scorecard.card import Accuracy
from kindling.eval.scorecard.rates import cluster_variance, corrected, rate, trials

ROUNDS = 2000


def errors(good, true_good, bad, true_bad):
    return Accuracy("cert.json", True, good, true_good, good, bad, true_bad, bad)


def names(clusters, size):
    return [f"q{number}" for number in range(clusters) for _ in range(size)]


def clustered(rng, clusters, size, mean, alike):
    """Outcomes of `clusters` queries whose own rates are beta-distributed; `alike` is the correlation in a query."""
    scale = (1 - alike) / alike if alike else 0
    own = rng.beta(mean * scale, (1 - mean) * scale, clusters) if alike else np.full(clusters, mean)
    return (rng.random((clusters, size)) < own[:, None]).astype(float).ravel()


def test_a_query_of_one_text_is_a_trial():
    values = np.array([1.0] * 30 + [0.0] * 10)
    found = rate(values, names(40, 1))
    assert (found.low, found.high) == pytest.approx(wilson(0.75, 40))


def test_the_variance_of_clusters_by_hand():
    """Means 1, 1, 0 of two texts each, about 2/3: pulls 2/3, 2/3, -4/3; 3/2 · (4+4+16)/9 / 36 = 1/9.

    So the six texts count as (2/3 · 1/3) / (1/9) = 2 trials, fewer than the queries: then as many as these, 36/12 = 3.
    """
    values, clusters = np.array([1, 1, 1, 1, 0, 0.0]), names(3, 2)
    assert cluster_variance(values - values.mean(), clusters) == pytest.approx(1 / 9)
    assert trials(values, clusters) == pytest.approx(3)


def test_texts_that_have_nothing_to_do_with_their_query_count_each():
    rng = np.random.default_rng(0)
    many = trials((rng.random(4000) < 0.5).astype(float), names(1000, 4))
    assert 3500 < many <= 4000


def test_nothing_is_no_rate_and_all_is_no_certainty():
    assert rate([], []).value is None
    found = rate([1.0] * 20, names(10, 2))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(wilson(1.0, 10)[0])


@pytest.mark.parametrize(
    ("clusters", "size", "mean", "alike"),
    [(500, 1, 0.95, 0), (100, 1, 0.97, 0), (128, 2, 0.8, 0.3), (200, 4, 0.95, 0.5), (60, 4, 0.5, 0.2)],
)
def test_a_rate_covers_at_its_nominal_level(clusters, size, mean, alike):
    rng, of = np.random.default_rng(1), names(clusters, size)
    found = [rate(clustered(rng, clusters, size, mean, alike), of) for _ in range(ROUNDS)]
    assert 0.935 <= np.mean([one.low <= mean <= one.high for one in found]) <= 0.975


def test_counting_texts_as_trials_would_be_far_too_sure():
    rng, of = np.random.default_rng(1), names(60, 4)
    shares = [clustered(rng, 60, 4, 0.5, 0.5).mean() for _ in range(ROUNDS)]
    naive = np.mean([low <= 0.5 <= high for low, high in (wilson(share, len(of)) for share in shares)])
    assert naive < 0.9


def test_the_correction_by_hand():
    """TPR .9 and TNR .8: of a share θ = .6 of good texts, .6 · .9 + .4 · .2 = .62 are called good."""
    found = corrected(0.62, 1e9, errors(10**9, 9 * 10**8, 10**9, 8 * 10**8))
    assert found.value == pytest.approx(0.6)
    assert (found.low, found.high) == pytest.approx((0.6, 0.6), abs=1e-3)


@pytest.mark.parametrize(
    ("texts", "cases", "tpr", "tnr", "truth"),
    [
        (500, 192, 0.9, 0.8, 0.6),
        (500, 192, 0.9, 0.8, 0.95),
        (500, 192, 0.9, 0.8, 0.05),
        (200, 100, 0.8, 0.7, 0.9),
        (500, 192, 0.97, 0.95, 0.99),
        (128, 192, 0.75, 0.75, 0.5),
        (200, 50, 0.7, 0.6, 0.5),
    ],
)
def test_the_corrected_rate_recovers_a_planted_truth(texts, cases, tpr, tnr, truth):
    """Each round draws the judge's certificate anew: its errors are estimates, and the interval must know that."""
    rng = np.random.default_rng(2)
    called = rng.binomial(texts, truth * tpr + (1 - truth) * (1 - tnr), ROUNDS) / texts
    right, wrong = rng.binomial(cases, tpr, ROUNDS), rng.binomial(cases, tnr, ROUNDS)
    pairs = zip(called, right, wrong, strict=True)
    found = [corrected(share, texts, errors(cases, int(yes), cases, int(no))) for share, yes, no in pairs]
    found = [one for one in found if one.value is not None]
    assert len(found) > 0.99 * ROUNDS
    assert 0.935 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.975
    assert np.mean([one.value for one in found]) == pytest.approx(truth, abs=0.02)


def test_an_interval_that_takes_the_certificate_for_the_truth_is_too_narrow():
    rng, truth = np.random.default_rng(2), 0.6
    hits = []
    for share in rng.binomial(500, 0.62, ROUNDS) / 500:
        tpr, tnr = rng.binomial(192, 0.9) / 192, rng.binomial(192, 0.8) / 192
        theta, half = (share + tnr - 1) / (tpr + tnr - 1), 1.96 * sqrt(share * (1 - share) / 500) / (tpr + tnr - 1)
        hits.append(theta - half <= truth <= theta + half)
    assert np.mean(hits) < 0.9


def test_a_judge_that_is_no_better_than_chance_corrects_nothing():
    assert corrected(0.5, 500, errors(100, 50, 100, 50)).value is None
    assert corrected(0.5, 500, errors(100, 30, 100, 60)).value is None


def test_a_judge_that_is_hardly_better_than_chance_leaves_everything_possible():
    found = corrected(0.5, 500, errors(20, 12, 20, 11))
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_ends_stay_in_their_range_and_about_the_value():
    rng = np.random.default_rng(3)
    for _ in range(500):
        good, bad = rng.integers(1, 60, 2).tolist()
        accuracy = errors(good, int(rng.integers(0, good + 1)), bad, int(rng.integers(0, bad + 1)))
        found = corrected(float(rng.random()), float(rng.integers(1, 300)), accuracy)
        if found.value is not None:
            assert 0 <= found.low <= found.value <= found.high <= 1
