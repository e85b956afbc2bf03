"""Keeping the lengths of texts out of what a policy is rewarded for.

Judges like long texts, and a policy learns that first. GRPO learns from the standardised reward z = (r − r̄) / σ of an
answer in its group. With n the characters of the answer, b is the slope of the regression of z on n over all groups of
a batch,

    b = Σ (n − n̄) z / Σ (n − n̄)²           n̄, r̄, σ of the answer's group; without groups whose σ is 0 (1e-6)
    r ← r − strength · (b + h / s) · σ · (n − n̄)          h = hold · d, at most `most` to either side

so that in the batch at hand a longer answer has on average no more advantage than a shorter one to the same query: the
gradient has no reason to lengthen texts, nor to shorten them. Outliers stay outliers, since only the trend is taken.

That is neutral to the first order and no more: the noise of the updates alone ends texts early, a little every step
(measured: 10 to 17 % shorter after 100 steps, whatever the judge). So the second term is a proportional controller: d
is how far the batch is from the lengths before training, as the logarithm of the mean of length over what is usual for
such a query, less that before training, and s the standard deviation of n within groups. Texts that have become 5 %
shorter make a standard deviation of length worth `hold` · 0.05 standard deviations of reward. It is bounded, since the
few queries of one batch are off by a tenth by chance, and the policy answers a push only some steps later.

The slope is of z, not of r: where all answers of a group are equally bad, what a common slope in r takes from them
would be all that tells them apart, and standardised anew would teach nothing but to be short (measured: texts a third
shorter after 50 steps). The result may leave [0, 1] a little, since a bound would not be neutral either.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import fmean, pstdev
from typing import NamedTuple

EQUAL = 1e-6  # rewards that differ by less teach nothing
HOLD = 4.0
MOST = 0.4  # standard deviations of reward


async def _unknown(query: str) -> float | None:
    return None


@dataclass(frozen=True, slots=True)
class Lengths:
    """How firmly, and to what, lengths are held.

    `strength` is 1 for all of it and 0 for nothing. `usual` gives the usual length (characters) of good answers to a
    query; `before` is the `log_ratio` of the policy before training, without which there is nothing to hold to.
    """

    strength: float = 1.0
    usual: Callable[[str], Awaitable[float | None]] = _unknown
    before: float | None = None


class Rated(NamedTuple):
    """The characters and the reward of an answer to `query`, and the usual characters of answers to it."""

    query: str
    length: int
    reward: float
    usual: float | None = None


class LengthControl:
    """What length explains in one batch: `slope` is b, standard deviations a character; 0 where lengths are equal.

    `drift` is d; 0 where nothing is known of the lengths before training.
    """

    def __init__(self, batch: Sequence[Rated], strength: float = 1.0, before: float | None = None) -> None:
        groups: dict[str, list[Rated]] = defaultdict(list)
        for one in batch:
            groups[one.query].append(one)
        self._lengths = {query: fmean(one.length for one in group) for query, group in groups.items()}
        self._spread = {query: pstdev(one.reward for one in group) for query, group in groups.items()}
        means = {query: fmean(one.reward for one in group) for query, group in groups.items()}
        teaching = [one for one in batch if self._spread[one.query] > EQUAL]
        squares = sum(self._apart(one) ** 2 for one in teaching)
        common = sum(self._apart(one) * (one.reward - means[one.query]) / self._spread[one.query] for one in teaching)
        self.slope = common / squares if squares else 0.0
        now = log_ratio((one.length, one.usual) for one in batch)
        self.drift = now - before if now is not None and before is not None else 0.0
        held = max(-MOST, min(MOST, HOLD * self.drift))
        back = held / sqrt(squares / len(teaching)) if squares else 0.0
        self._taken = strength * (self.slope + back)

    def __call__(self, one: Rated) -> float:
        """The reward of an answer of the batch without what its length is to be worth."""
        return one.reward - self._taken * self._spread[one.query] * self._apart(one)

    def _apart(self, one: Rated) -> float:
        return one.length - self._lengths[one.query]


def log_ratio(lengths: Iterable[tuple[int, float | None]]) -> float | None:
    """The logarithm of the mean of length over usual length, where that is known; none where it never is.

    Not the mean of logarithms: that rises where texts of a few characters become rarer, and held where it was it would
    shorten all others for it.
    """
    ratios = [max(length, 1) / usual for length, usual in lengths if usual]
    return log(fmean(ratios)) if ratios else None
