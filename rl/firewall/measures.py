"""Numbers of many steps with their noise.

Completions of one query are alike, so they count as one observation: the *cluster mean* of a query at a step. A mean of
n clusters has the standard error s / √n, and two means differ for certain if they do so by several standard errors of
their difference (B. L. Welch, Biometrika 1947).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import fmean, variance

from kindling.rl.firewall.report import Sample, StepReport


@dataclass(frozen=True, slots=True)
class Change:
    """A mean now and at the reference; `errors` is their difference in standard errors, positive for a rise."""

    now: float
    then: float
    errors: float

    @property
    def relative(self) -> float:
        """The rise relative to the reference; 0 where that is 0."""
        return self.now / self.then - 1 if self.then else 0.0

    @property
    def absolute(self) -> float:
        """The rise."""
        return self.now - self.then


def change(then: Sequence[float], now: Sequence[float]) -> Change | None:
    """Compare two sets of observations; None where one is empty. A single observation takes the other's variance."""
    if not then or not now:
        return None
    spread = [variance(values) if len(values) > 1 else None for values in (then, now)]
    known = [value for value in spread if value is not None]
    filled = [max(known, default=0.0) if value is None else value for value in spread]
    error = sqrt(filled[0] / len(then) + filled[1] / len(now))
    difference = fmean(now) - fmean(then)
    errors = difference / error if error else (0.0 if not difference else inf if difference > 0 else -inf)
    return Change(fmean(now), fmean(then), errors)


def clusters(reports: Iterable[StepReport], value: Callable[[Sample], float | None]) -> list[float]:
    """The mean of `value` over the completions of each query at each step, those left out where it is None."""
    means = []
    for report in reports:
        found: dict[str, list[float]] = defaultdict(list)
        for sample in report.samples:
            one = value(sample)
            if one is not None:
                found[sample.query].append(one)
        means += [fmean(values) for values in found.values()]
    return means


def logged(reports: Iterable[StepReport], value: Callable[[StepReport], float | None]) -> list[float]:
    """One number a step, those left out where it is None."""
    return [one for report in reports if (one := value(report)) is not None]
