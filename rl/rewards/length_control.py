"""Taking from a reward what the length of the texts explains of it.

Judges like long texts, and a policy learns that first. GRPO learns from the standardised reward z = (r − r̄) / σ of an
answer in its group. With n the characters of the answer, b is the slope of the regression of z on n over all groups of
a batch,

    b = Σ (n − n̄) z / Σ (n − n̄)²           n̄, r̄, σ of the answer's group; without groups whose σ is 0 (1e-6)
    r ← r − strength · b · σ · (n − n̄)

so that in the batch at hand a longer answer has on average no more advantage than a shorter one to the same query: the
gradient has no reason to lengthen texts, nor to shorten them. Outliers stay outliers, since only the trend is taken.

The slope is of z, not of r: where all answers of a group are equally bad, what a common slope in r takes from them
would be all that tells them apart, and standardised anew would teach nothing but to be short (measured: texts a third
shorter after 50 steps). The result may leave [0, 1] a little, since a bound would not be neutral either.
"""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import NamedTuple

EQUAL = 1e-6  # rewards that differ by less teach nothing


class Rated(NamedTuple):
    """The characters and the reward of an answer to `query`."""

    query: str
    length: int
    reward: float


class LengthControl:
    """What length explains in one batch: `slope` is b, standard deviations a character; 0 where lengths are equal."""

    def __init__(self, batch: Sequence[Rated], strength: float = 1.0) -> None:
        groups: dict[str, list[Rated]] = defaultdict(list)
        for one in batch:
            groups[one.query].append(one)
        self._strength = strength
        self._lengths = {query: fmean(one.length for one in group) for query, group in groups.items()}
        self._spread = {query: pstdev(one.reward for one in group) for query, group in groups.items()}
        means = {query: fmean(one.reward for one in group) for query, group in groups.items()}
        teaching = [one for one in batch if self._spread[one.query] > EQUAL]
        squares = sum(self._apart(one) ** 2 for one in teaching)
        common = sum(self._apart(one) * (one.reward - means[one.query]) / self._spread[one.query] for one in teaching)
        self.slope = common / squares if squares else 0.0

    def __call__(self, one: Rated) -> float:
        """The reward of an answer of the batch without what its length explains."""
        return one.reward - self._strength * self.slope * self._spread[one.query] * self._apart(one)

    def _apart(self, one: Rated) -> float:
        return one.length - self._lengths[one.query]
