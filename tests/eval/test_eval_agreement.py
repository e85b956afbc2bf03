"""Measures of agreement: numbers derived by hand, scikit-learn's on random data, and intervals that cover."""

import numpy as np
import pytest
from sklearn import metrics

from kindling.eval.agreement import agreement, auc, clustered_auc
from kindling.eval.intervals import Estimate, resample, resampled, share
from kindling.eval.length_bias import wilson

LABELS = np.array([True, True, True, True, False, False])
SCORES = np.array([0.9, 0.8, 0.6, 0.3, 0.7, 0.2])
MEASURES = ("accuracy", "precision", "recall", "specificity", "f1", "kappa", "auc", "brier", "ece")


def once(labels, scores, ranking=None):
    found = agreement(labels, scores, resample([str(i) for i in range(len(labels))], 0, 50), ranking)
    return {name: getattr(found, name).value for name in MEASURES}


def test_the_numbers_by_hand():
    """Called good: .9 .8 .6 .7, so tp 3, fp 1, fn 1, tn 1.

    accuracy 4/6, precision 3/4, recall 3/4, specificity 1/2, f1 6/8. Chance: (4·4 + 2·2)/36 = 20/36, so kappa is
    (24 - 20)/(36 - 20) = 1/4. AUC: of 4·2 pairs, .9 and .8 beat .7, all four beat .2: 6/8.
    Brier: (.01 + .04 + .16 + .49 + .49 + .04)/6 = 1.23/6. Every score has a bin of its own, so the calibration error is
    the mean distance: (.1 + .2 + .4 + .7 + .7 + .2)/6 = 2.3/6.
    """
    found = once(LABELS, SCORES)
    expected = (4 / 6, 3 / 4, 3 / 4, 1 / 2, 3 / 4, 1 / 4, 6 / 8, 1.23 / 6, 2.3 / 6)
    assert found == pytest.approx(dict(zip(MEASURES, expected, strict=True)))


def test_equal_scores_are_half_right_for_auc():
    """Good at .5 and .8, bad at .5: one pair won, one tied: 1.5/2."""
    assert once(np.array([True, True, False]), np.array([0.5, 0.8, 0.5]))["auc"] == pytest.approx(0.75)


def test_calibration_pools_a_bin_before_it_takes_the_distance():
    """Four cases at .55, two good: the mean score .55 against a share of .5, though each is .45 or .55 away."""
    labels = np.array([True, False, True, False])
    assert once(labels, np.full(4, 0.55))["ece"] == pytest.approx(0.05)
    assert once(labels, np.full(4, 1.0))["ece"] == pytest.approx(0.5)  # the last bin holds 1.0


@pytest.mark.parametrize("seed", range(5))
def test_weighted_measures_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(80) < 0.6
    scores = np.round(np.clip(labels * 0.3 + rng.random(80) * 0.7, 0, 1), 1)  # many ties
    weights = resample([f"q{i // 2}" for i in range(80)], seed, 20)
    called = scores > 0.5
    for row in weights:
        found = agreement(labels, scores, row[None])
        theirs = {
            "accuracy": metrics.accuracy_score(labels, called, sample_weight=row),
            "precision": metrics.precision_score(labels, called, sample_weight=row),
            "recall": metrics.recall_score(labels, called, sample_weight=row),
            "specificity": metrics.recall_score(labels, called, pos_label=False, sample_weight=row),
            "f1": metrics.f1_score(labels, called, sample_weight=row),
            "kappa": metrics.cohen_kappa_score(labels, called, sample_weight=row),
            "auc": metrics.roc_auc_score(labels, scores, sample_weight=row),
            "brier": metrics.brier_score_loss(labels, scores, sample_weight=row),
        }
        assert {name: getattr(found, name).value for name in theirs} == pytest.approx(theirs)


def test_what_is_undefined_stays_undefined():
    never = once(LABELS, np.full(6, 0.1))
    assert never["precision"] is None
    assert never["kappa"] == pytest.approx(0)
    assert never["auc"] == pytest.approx(0.5)
    one_label = once(np.ones(4, bool), np.full(4, 0.9))
    assert one_label["auc"] is None
    assert one_label["specificity"] is None
    nothing = agreement(np.zeros(0, bool), np.zeros(0), np.ones((5, 0)))
    assert nothing.cases == 0
    assert all(getattr(nothing, name) == Estimate() for name in MEASURES)


def test_resamples_draw_whole_clusters_and_depend_on_the_seed_alone():
    clusters = ["a", "a", "b", "c", "c"]
    weights = resample(clusters, 3, 200)
    assert weights[0].tolist() == [1] * 5
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[1:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert (weights == resample(clusters, 3, 200)).all()
    assert (weights != resample(clusters, 4, 200)).any()


def test_a_share_counts_clusters_as_trials():
    """Four hits of four trials in two clusters: Wilson at n = 2 is 2/(2 + 1.96²) = .342 at the lower end."""
    assert share(4, ["a", "a", "b", "b"]).low == pytest.approx(2 / (2 + 1.959964**2))
    assert share(0, []) == Estimate()
    assert share(1.5, ["a", "b", "c"]).value == 0.5


def coverage(simulate, truth, runs=300):
    """The share of simulated intervals that hold the truth; a run's draws come from its number."""
    hits = 0
    for run in range(runs):
        found = simulate(np.random.default_rng(run), run)
        hits += found.low <= truth <= found.high
    return hits / runs


def test_clustered_intervals_cover_and_unclustered_ones_would_not():
    """Forty queries of four cases that are all right or all wrong: true accuracy .8, but only forty trials."""

    def accuracy(rng, run, clustered):
        right = np.repeat(rng.random(40) < 0.8, 4)
        clusters = [f"q{i // 4}" if clustered else str(i) for i in range(160)]
        weights = resample(clusters, run, 300)
        return resampled(weights @ right / weights.sum(axis=1))

    assert coverage(lambda rng, run: accuracy(rng, run, True), 0.8) >= 0.90
    assert coverage(lambda rng, run: accuracy(rng, run, False), 0.8) <= 0.75


def test_intervals_of_auc_and_kappa_cover():
    """Normal scores one s.d. apart: AUC Φ(1/√2) = .7602. Labels right with p = .8 on both sides: kappa 2p - 1 = .6."""

    def area(rng, run):
        labels = np.repeat([True, False], 60)
        return resampled(auc(labels, rng.normal(size=120) + labels, resample([str(i) for i in range(120)], run, 300)))

    def kappa(rng, run):
        labels = rng.random(150) < 0.5
        called = labels ^ (rng.random(150) >= 0.8)
        return agreement(labels, called * 1.0, resample([str(i) for i in range(150)], run, 300)).kappa

    assert 0.90 <= coverage(area, 0.7602) <= 0.99
    assert 0.90 <= coverage(kappa, 0.6, 150) <= 0.99


def test_few_large_clusters_count_for_what_they_are():
    """Sizes 3 and 1: 4²/(9 + 1) = 1.6 clusters of equal size. Of 18 single cases and two queries of 20, all alike in a
    query, .5 is covered; with 20 trials assumed it would be in half of the runs.
    """
    assert share(0, ["a", "a", "a", "b"]).high == pytest.approx(1.959964**2 / (1.6 + 1.959964**2))
    clusters = [str(i) for i in range(18)] + ["x"] * 20 + ["y"] * 20
    sizes = np.array([1] * 18 + [20, 20])

    def simulate(rng, run):
        return share(float((rng.random(20) < 0.5) @ sizes), clusters)

    assert coverage(simulate, 0.5, 1000) >= 0.90


def test_the_area_without_resampling_is_the_same_and_covers_clusters():
    """Scores of a query share a part that favours nobody: of two good or two bad texts a query, AUC Φ(1/√2) = .7602."""
    assert clustered_auc(LABELS, SCORES, list("abcdef")).value == pytest.approx(6 / 8)
    tied = clustered_auc(np.array([True, True, False]), np.array([0.5, 0.8, 0.5]), list("aaa"))
    assert (tied.value, tied.low, tied.high) == (pytest.approx(0.75), 0, 1)
    labels = np.repeat([True, False], 60)

    def area(rng, clustered):
        scores = np.repeat(rng.normal(size=60), 2) + labels
        return clustered_auc(labels, scores, [str(i // 2 if clustered else i) for i in range(120)])

    assert coverage(lambda rng, run: area(rng, True), 0.7602) >= 0.90
    assert coverage(lambda rng, run: area(rng, False), 0.7602) <= 0.88


@pytest.mark.parametrize("truth", [0.02, 0.5, 0.95])
def test_intervals_of_shares_cover_even_near_the_ends(truth):
    hits = np.random.default_rng(0).binomial(100, truth, 2000)
    inside = [low <= truth <= high for low, high in (wilson(hit / 100, 100) for hit in hits)]
    assert np.mean(inside) >= 0.92
