"""Numbers with their 95 % intervals.

Two ways, for two kinds of number:

    resampled   a statistic of many cases (kappa, AUC, ...): percentile bootstrap over *clusters*. Cases of one query
                are alike, so whole queries are drawn, with replacement (B. Efron and R. Tibshirani, An Introduction to
                the Bootstrap, 1993, ch. 13; A. Davison and D. Hinkley, Bootstrap Methods, 1997, section 3.8).
    share       a share of trials: Wilson's score interval (E. B. Wilson, JASA 1927) with the effective number of
                clusters as the number of trials, (Σ size)² / Σ size² (L. Kish, Survey Sampling, 1965): as if all
                trials of a cluster were one, so that it is too wide rather than too narrow. It says something about a
                share of 0 or 1 too, where every resample is the same.

The bootstrap is too narrow where nearly everything is right and queries are few: an AUC of .98 is inside its interval
half of the time with 10 queries, .84 with 40, .93 with 192; a value of 1 has an interval of no width.

A resample is a row of weights (how often each case was drawn), so that one matrix product gives a statistic of all
resamples at once. Row 0 weighs every case once: its statistic is the value itself.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from kindling.eval.length_bias import wilson

Floats = NDArray[np.float64]
ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval; all three are None where the value is not defined (no case to count)."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    value: float | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """`.87 [.82, .91]`, or a dash."""
        if self.value is None or self.low is None or self.high is None:
            return "–"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def resample(clusters: Sequence[str], seed: int, rounds: int = ROUNDS) -> Floats:
    """Weights of shape (1 + rounds, cases): all ones first, then how often each case's cluster was drawn."""
    names, cluster_of = np.unique(np.asarray(clusters), return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=rounds)
    return np.vstack([np.ones(len(clusters)), draws[:, cluster_of]])


def resampled(values: Floats) -> Estimate:
    """Make the estimate from a statistic of every row of `resample`; NaN where a row leaves it undefined.

    Resamples without a value are left out; where the value itself is undefined, so is the estimate.
    """
    if np.isnan(values[0]):
        return Estimate()
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Estimate(float(values[0]), float(low), float(high))


def share(hits: float, clusters: Sequence[str]) -> Estimate:
    """Estimate the share of `hits` (halves allowed) among trials; `clusters` names the cluster of each trial."""
    if not clusters:
        return Estimate()
    value = hits / len(clusters)
    effective = len(clusters) ** 2 / sum(size * size for size in Counter(clusters).values())
    return Estimate(value, *wilson(value, effective))
