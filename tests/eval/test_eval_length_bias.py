"""Length bias: the numbers are those worked out by hand."""

import pytest

from kindling.eval.length_bias import length_bias, wilson


def test_share_ties_and_means_by_hand():
    """Longer, shorter, equal: (1 + 1/2) / 3 = .5; mean lengths (3 + 1 + 2) / 3 and (1 + 2 + 2) / 3."""
    bias = length_bias([("aaa", "b"), ("a", "bb"), ("aa", "bb")])
    assert bias is not None
    assert bias.longer_chosen == pytest.approx(0.5)
    assert bias.equal == 1
    assert (bias.mean_chosen, bias.mean_rejected) == pytest.approx((2, 5 / 3))
    assert bias.acceptable


def test_wilson_by_hand():
    """With k = 9 of 10: centre (0.9 + z²/20)/(1 + z²/10) = 0.7889, half width 0.1932."""
    assert wilson(0.9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)


def test_wilson_agrees_with_scipy():
    scipy = pytest.importorskip("scipy.stats")
    for k, n in ((0, 5), (3, 7), (50, 61), (200, 200)):
        expected = scipy.binomtest(k, n).proportion_ci(method="wilson")
        assert wilson(k / n, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_a_dataset_that_length_decides_is_not_acceptable_in_either_direction():
    assert not length_bias([("long", "s")] * 97 + [("s", "long")] * 3).acceptable
    assert not length_bias([("s", "long")] * 97 + [("long", "s")] * 3).acceptable
    assert length_bias([]) is None
