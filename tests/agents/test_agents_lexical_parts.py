"""The three parts by themselves: the numbers by hand, the gradients against differences."""

import math

import numpy as np
import pytest

from kindling.agents.lexical import ending, request, wording
from kindling.agents.lexical.model import platt
from kindling.agents.lexical.ngrams import END, framed
from kindling.agents.lexical.request import SHARPNESS, DualEncoder


def test_overlap_weights_balance_every_length():
    """Two bins. Short: 1 good, 2 bad, share of good 1/3: the good weighs 2/3, each bad 1/3.

    Long: 2 good, 1 bad: each good weighs 1/3, the bad 2/3. Sum 8/3 over 6 texts, mean 4/9; divided by it: 3/2 and 3/4.
    """
    lengths, good = np.array([1, 1, 1, 9, 9, 9]), np.array([True, False, False, True, True, False])
    weights = wording.overlap_weights(lengths, good, bins=2)
    assert weights == pytest.approx([1.5, 0.75, 0.75, 0.75, 0.75, 1.5])


def test_overlap_weights_make_length_worthless():
    rng = np.random.default_rng(0)
    good = rng.random(4000) < 0.5
    lengths = (rng.normal(30, 10, 4000) + 12 * good).astype(int)
    weights = wording.overlap_weights(lengths, good)
    means = [np.average(lengths[side], weights=weights[side]) for side in (good, ~good)]
    assert abs(lengths[good].mean() - lengths[~good].mean()) > 10
    assert abs(means[0] - means[1]) < 0.7


def test_lengths_of_one_label_alone_weigh_nothing():
    assert not wording.overlap_weights(np.array([1, 2, 80, 90]), np.array([False, False, True, True]), bins=2).any()


def test_the_effective_size_counts_equal_weights():
    """(3 + 1)² / (9 + 1) = 1.6; four equal ones count as four."""
    assert wording.effective_size(np.array([3.0, 1.0])) == pytest.approx(1.6)
    assert wording.effective_size(np.full(4, 0.3)) == pytest.approx(4)
    assert wording.effective_size(np.zeros(4)) == 0


def test_the_fit_is_a_log_ratio_to_other_requests():
    """Request and text (1, 0), others (1, 0) and (0, 1): 8 - ln((e^8 + e^0) / 2) = ln 2 - ln(1 + e^-8)."""
    encoder = DualEncoder(np.eye(2), np.eye(2), np.eye(2, dtype=np.float32))
    one = np.array([[1.0, 0.0]], dtype=np.float32)
    assert SHARPNESS == 8
    assert encoder.fit(one, one) == pytest.approx([math.log(2) - math.log1p(math.exp(-8))], abs=1e-6)


def test_the_fit_has_the_gradient_it_names():
    rng = np.random.default_rng(1)
    encoder = DualEncoder(np.eye(3), np.eye(3), rng.normal(size=(5, 3)))
    asked, said = rng.normal(size=(2, 3))
    numeric = [
        (encoder.fit(asked[None], (said + step)[None])[0] - encoder.fit(asked[None], (said - step)[None])[0]) / 2e-5
        for step in 1e-5 * np.eye(3)
    ]
    assert encoder.gradient(asked, said) == pytest.approx(numeric, rel=1e-4)


def test_the_contrastive_loss_has_the_gradient_that_is_used():
    rng = np.random.default_rng(2)
    asked, said = rng.normal(size=(2, 4, 3))
    same = np.array([0, 1, 2, 0])  # the first and the last are one request: no contrast to each other

    def loss(first, second):
        u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second))
        logits = SHARPNESS * u @ v.T
        logits[0, 3] = logits[3, 0] = -1e9
        own = np.diag(logits)
        by_text, by_request = (np.log(np.exp(logits).sum(axis=axis)) for axis in (0, 1))
        return ((by_text - own) + (by_request - own)).mean() / 2

    gradients = request._gradients(asked, said, same)
    for row in range(4):
        for column in range(3):
            step = np.zeros((4, 3))
            step[row, column] = 1e-6
            by_asked = (loss(asked + step, said) - loss(asked - step, said)) / 2e-6
            by_said = (loss(asked, said + step) - loss(asked, said - step)) / 2e-6
            assert gradients[0][row, column] == pytest.approx(by_asked, abs=1e-5)
            assert gradients[1][row, column] == pytest.approx(by_said, abs=1e-5)


def test_a_cut_is_never_the_whole_text():
    rng = np.random.default_rng(3)
    whole = framed("一二三四五六七")
    tails = {tuple(ending.cut_off(whole, rng)) for _ in range(200)}
    assert tuple(ending.tail(whole)) == ("五", "六", "七", END)
    assert tuple(ending.tail(whole)) not in tails
    assert len(tails) == 6


def test_calibration_finds_the_probabilities_and_never_turns_round():
    rng = np.random.default_rng(4)
    raw = rng.normal(0, 2, 20000)
    good = rng.random(20000) < 1 / (1 + np.exp(-(1.5 * raw - 0.5)))
    slope, intercept = platt(raw, good)
    assert slope == pytest.approx(1.5, abs=0.1)
    assert intercept == pytest.approx(-0.5, abs=0.1)
    assert platt(raw, ~good)[0] == 0
