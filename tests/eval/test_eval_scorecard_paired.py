"""Two models on the same queries: by hand, by simulation, and the paper's own comparison, which tells nothing."""

from math import comb

import numpy as np
import pytest
from scipy.stats import norm

from kindling.eval.scorecard import power
from kindling.eval.scorecard.paired import compare, holm, outcome, preferred, two_sided
from kindling.eval.scorecard.strengths import strengths


def strong(scores, of, band=0.1):
    """Strengths of models from their scores."""
    places = range(len(scores))
    won = {(i, j): outcome(scores[i], scores[j], band) for i in places for j in places if i < j}
    return strengths(won, len(scores), of, 0)


def queries(count, size=1):
    return [f"q{number:05}" for number in range(count) for _ in range(size)]


def shuffled(rng, good, total):
    return rng.permutation(np.r_[np.ones(good), np.zeros(total - good)])


def test_mcnemar_by_hand():
    """Seven queries only the first gets, one only the other: P(B ≥ 7 or ≤ 1) of 8 fair coins is 2 · 9/256."""
    one = np.array([1.0] * 7 + [0.0] + [1.0] * 12)
    other = np.array([0.0] * 7 + [1.0] + [1.0] * 12)
    found = compare(one, other, queries(20))
    assert found.p == pytest.approx(2 * (comb(8, 7) + 1) / 2**8)
    assert found.difference.value == pytest.approx(6 / 20)
    assert (found.wins, found.ties, found.losses, found.pairs, found.queries) == (7, 12, 1, 20, 20)
    assert found.win_rate.value == pytest.approx((7 + 12 / 2) / 20)


def test_the_test_is_the_same_in_both_orders():
    rng = np.random.default_rng(0)
    one, other = (rng.random(60) < 0.6).astype(float), (rng.random(60) < 0.5).astype(float)
    there, back = compare(one, other, queries(30, 2)), compare(other, one, queries(30, 2))
    assert there.p == back.p
    assert there.difference.value == -back.difference.value
    assert (there.difference.low, there.difference.high) == pytest.approx((-back.difference.high, -back.difference.low))
    assert there.win_rate.value + back.win_rate.value == pytest.approx(1)
    assert (there.wins, there.losses) == (back.losses, back.wins)


def test_a_text_without_a_score_leaves_its_pair_out_and_counts_for_nobody():
    one, other = np.array([1, np.nan, 0.0, 1]), np.array([np.nan, 1, 1, 1.0])
    found = compare(one, other, queries(4))
    assert (found.pairs, found.queries, found.difference.value) == (2, 2, -0.5)
    assert compare(np.array([np.nan]), np.array([1.0]), queries(1)) is None


def test_models_that_never_differ_are_not_equal_for_certain():
    found = compare(np.ones(50), np.ones(50), queries(50))
    assert found.p == 1.0
    assert found.difference.value == 0
    assert found.difference.low < -0.01
    assert found.difference.high > 0.01


def test_scores_within_the_band_are_a_tie():
    found = compare(np.array([0.9, 0.9, 0.2]), np.array([0.85, 0.7, 0.4]), queries(3), band=0.1)
    assert (found.wins, found.ties, found.losses) == (1, 1, 1)


@pytest.mark.parametrize("overlap", ["apart", "random", "nested"])
def test_the_papers_comparison_cannot_be_told_apart(overlap):
    """95.0 against 94.6 of 500: 475 and 473 good texts, however the bad ones of both fall together."""
    rng = np.random.default_rng(4)
    one = np.r_[np.zeros(25), np.ones(475)]
    other = {
        "apart": np.r_[np.ones(473), np.zeros(27)],
        "random": shuffled(rng, 473, 500),
        "nested": np.r_[np.zeros(27), np.ones(473)],
    }[overlap]
    found = compare(one, other, queries(500))
    assert found.difference.value == pytest.approx(0.004)
    assert found.difference.low < 0 < found.difference.high
    assert found.p >= 0.5
    assert power.detectable([found.spread], 500) > 2 * 0.004


@pytest.mark.parametrize(
    ("count", "size", "first", "second", "alike"),
    [(500, 1, 0.95, 0.946, 0.5), (128, 2, 0.8, 0.7, 0.5), (60, 2, 0.9, 0.9, 0.3), (200, 1, 0.6, 0.5, 0.0)],
)
def test_the_interval_of_a_difference_covers_and_the_test_keeps_its_level(count, size, first, second, alike):
    rng, of = np.random.default_rng(5), queries(count, size)
    hits, refused = [], []
    for _ in range(250):
        shared = rng.normal(size=(count, 1)) * alike**0.5
        one, other = (
            (shared + rng.normal(size=(count, size)) * (1 - alike) ** 0.5 < norm.ppf(mean)).astype(float).ravel()
            for mean in (first, second)
        )
        found = compare(one, other, of)
        hits.append(found.difference.low <= first - second <= found.difference.high)
        refused.append(found.p < 0.05)
    assert np.mean(hits) >= 0.92
    if first == second:
        assert np.mean(refused) <= 0.07


def test_the_power_statement_holds():
    """A difference of just the size that is said to be found in 80 % of evaluations is found in about 80 %."""
    rng, of = np.random.default_rng(6), queries(200)
    found = [compare(*((rng.random(200) < mean).astype(float) for mean in (0.6, 0.47)), of) for _ in range(200)]
    said = np.mean([power.detectable([one.spread], 200) for one in found])
    assert said == pytest.approx(0.138, abs=0.005)  # (1.96 + .84) · √(.24 + .249) / √200
    exact = [
        compare((rng.random(200) < 0.6).astype(float), (rng.random(200) < 0.6 - said).astype(float), of).p < 0.05
        for _ in range(200)
    ]
    assert 0.7 <= np.mean(exact) <= 0.9


def test_more_pairs_of_models_can_tell_less():
    assert power.detectable([0.5] * 15, 200) > power.detectable([0.5], 200)
    assert power.needed([0.5])["5"] == pytest.approx((2.8016 * 0.5 / 0.05) ** 2, abs=1)


@pytest.mark.parametrize(("pairs", "count"), [(1, 20), (1, 200), (15, 60)])
def test_no_power_is_claimed_that_the_exact_test_cannot_have(pairs, count):
    """Models that never differed: even if one only ever gains, so many queries must speak for it."""
    spread = compare(np.ones(count), np.ones(count), queries(count)).spread
    said, level = power.detectable([spread] * pairs, count), power.ALPHA / pairs
    least = power.fewest(pairs)
    assert two_sided(np.ones(least)) < level <= two_sided(np.ones(least - 1))
    rng = np.random.default_rng(8)
    gained = rng.random((2000, count)) < said
    found = [two_sided(one) < level for one in gained]
    assert np.mean(found) >= power.POWER - 0.03
    assert power.detectable([spread] * pairs, least - 1) == 1.0


def test_as_many_queries_as_are_needed_detect_that_much():
    for spread in (0.05, 0.5):
        for points, count in power.needed([spread] * 3).items():
            assert power.detectable([spread] * 3, count) <= int(points) / 100 + 1e-9
            assert power.detectable([spread] * 3, count - 1) > int(points) / 100


def test_who_was_compared_with_nobody_has_no_strength():
    found = strong([np.ones(20), np.zeros(20), np.full(20, np.nan)], queries(20))
    assert found[0].value > found[1].value
    assert found[2].value is None


def test_holm_by_hand():
    """Sorted .01 .02 .04: times 3, 2, 1, and never less than the one before."""
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_gains_and_losses_of_one_size_cancel():
    assert two_sided(np.array([1, -1, 0])) == 1.0
    assert two_sided(np.array([2, 2, 2, 2, 2, 2])) == pytest.approx(2 / 64)


def test_strengths_are_log_odds_of_winning():
    """The first wins 30 of 40 against the second: with the tie that is added, 30.5 to 10.5, and half the log apart."""
    one, other = np.r_[np.ones(30), np.zeros(10)], np.r_[np.zeros(30), np.ones(10)]
    first, second = strong([one, other], queries(40))
    assert first.value == pytest.approx(np.log(30.5 / 10.5) / 2, abs=1e-3)
    assert second.value == pytest.approx(-first.value)
    assert first.low > 0 > second.high


def test_a_model_that_always_wins_has_a_finite_strength():
    found = strong([np.ones(20), np.zeros(20), np.zeros(20)], queries(20))
    assert all(np.isfinite([one.value, one.low, one.high]).all() for one in found)
    assert found[0].low > found[1].high
    assert found[1].value == pytest.approx(found[2].value)


def test_strengths_recover_planted_ones():
    rng = np.random.default_rng(7)
    planted, of = np.array([0.8, 0.0, -0.8]), queries(600)
    scores = [planted[model] + rng.gumbel(size=600) for model in range(3)]  # Luce's choice: exactly Bradley-Terry
    low, high = np.min(scores), np.max(scores)
    found = strong([(one - low) / (high - low) for one in scores], of, 0.0)
    assert [one.value for one in found] == pytest.approx(planted, abs=0.2)
    assert all(one.low <= true <= one.high for one, true in zip(found, planted, strict=True))


def test_preferences_are_tested_by_their_wins_and_losses():
    """Eight preferred, two not, three ties, one without an answer: P(B ≥ 8 or ≤ 2) of 10 fair coins is 2 · 56/1024."""
    won = np.r_[np.ones(8), np.zeros(2), np.full(3, 0.5), np.nan]
    found = preferred(won, queries(14))
    assert (found.wins, found.ties, found.losses, found.pairs) == (8, 3, 2, 13)
    assert found.p == pytest.approx(2 * 56 / 1024)
    assert found.win_rate.value == pytest.approx(9.5 / 13)
    assert found.difference.value is None
    assert preferred(np.array([np.nan]), queries(1)) is None
