"""Shares of a model's texts, with intervals that know that texts of one query are alike; and a judge's rate corrected.

`rate` is Wilson's score interval (E. B. Wilson, JASA 1927) with as many trials as the texts are worth: m (1 - m) / V
for a mean m whose variance over clusters is V (L. Kish's design effect, Survey Sampling, 1965; for proportions, E. Korn
and B. Graubard, Survey Methodology 1998). It is at least what it would be if all texts of a query were one, and at most
their number; of 0 or 1, where V says nothing, it is the least.

`corrected` undoes a judge's errors. A judge with true positive rate q₁ and true negative rate q₀ calls the share
p = θ q₁ + (1 - θ) (1 - q₀) good where θ is good, so

    θ = (p + q₀ - 1) / (q₀ + q₁ - 1)          W. J. Rogan and B. Gladen, Am. J. Epidemiol. 1978

with an interval for the uncertainty of all three shares, as C. Lee et al. ask for (arXiv 2511.21140). Theirs is by the
delta method; here it is the set of all θ that a test at 5 % does not refuse (E. C. Fieller, J. R. Stat. Soc. B 1954),

    (p + q₀ - 1 - θ J)²  ≤  z² [ p (1 - p) / n + (1 - θ)² q₀ (1 - q₀) / m₀ + θ² q₁ (1 - q₁) / m₁ ],    J = q₀ + q₁ - 1

clipped to [0, 1], which is wide where J is hardly known, and everything where J may be 0. Before, shares are drawn a
little to the middle, p by z² further trials and the q by two, so that a share of 0 or 1 is not taken for certain. It
holds as far as the judge errs on these texts as it did on those of its certificate, which no interval knows.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindling.eval.intervals import Estimate, Floats
from kindling.eval.length_bias import wilson
from kindling.eval.scorecard.card import Accuracy

Z = 1.959964


def trials(values: Floats, clusters: Sequence[str]) -> float:
    """As how many independent trials the `values` in [0, 1] count, whose clusters (queries) are named."""
    sizes = np.array(list(Counter(clusters).values()))
    least = float(sizes.sum() ** 2 / (sizes**2).sum())
    mean = float(values.mean())
    spread = cluster_variance(values - mean, clusters)
    if len(sizes) < 2 or spread <= 0:
        return least
    return float(np.clip(mean * (1 - mean) / spread, least, len(values)))


def cluster_variance(deviations: Floats, clusters: Sequence[str]) -> float:
    """The variance of a mean whose `deviations` (values less their mean) are independent between clusters only."""
    names, of = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        return 0.0
    pulls = np.bincount(of, deviations)
    return float(len(names) / (len(names) - 1) * (pulls**2).sum() / len(deviations) ** 2)


def rate(values: NDArray[Any] | Sequence[float], clusters: Sequence[str]) -> Estimate:
    """Estimate the mean of `values` in [0, 1]; nothing where there are none."""
    array = np.asarray(values, dtype=float)
    if not len(array):
        return Estimate()
    value = float(array.mean())
    low, high = wilson(value, trials(array, clusters))
    return Estimate(value, min(low, value), max(high, value))  # rounding may leave the ends of 0 and 1 short of them


def corrected(value: float, size: float, accuracy: Accuracy) -> Estimate:
    """Correct the share `value`, of `size` trials, by the judge's certified errors.

    Nothing where these leave no information: a judge that calls bad texts good as often as good ones.
    """
    gap = accuracy.tpr + accuracy.tnr - 1
    p = (value * size + Z * Z / 2) / (size + Z * Z)
    q1, m1 = (accuracy.tpr * accuracy.trials_good + 1) / (accuracy.trials_good + 2), accuracy.trials_good + 2
    q0, m0 = (accuracy.tnr * accuracy.trials_bad + 1) / (accuracy.trials_bad + 2), accuracy.trials_bad + 2
    drawn = q0 + q1 - 1
    if gap <= 0 or drawn <= 0:
        return Estimate()
    good, bad = q1 * (1 - q1) / m1, q0 * (1 - q0) / m0
    middle, variance = p + q0 - 1, p * (1 - p) / (size + Z * Z)
    # a θ² - 2 b θ + c ≤ 0
    a = drawn**2 - Z * Z * (bad + good)
    b = middle * drawn - Z * Z * bad
    c = middle**2 - Z * Z * (variance + bad)
    point = min(1.0, max(0.0, (value + accuracy.tnr - 1) / gap))
    if a <= 0 or b * b < a * c:
        return Estimate(point, 0.0, 1.0)
    half = (b * b - a * c) ** 0.5
    # the ends belong to shares that are drawn to the middle; the point is never shown outside of them
    return Estimate(point, max(0.0, min((b - half) / a, point)), min(1.0, max((b + half) / a, point)))
