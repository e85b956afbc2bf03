"""Numbers of many steps with their noise.

Completions of one query are alike, so they count as one observation: the *cluster mean* of a query at a step. Two means
of such observations are compared by Welch's t-test (B. L. Welch, Biometrika 1947): their spreads may differ, and one
that was seen in few observations is itself uncertain.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean

import numpy as np

from kindling.rl.firewall.report import Sample, StepReport


@dataclass(frozen=True, slots=True)
class Change:
    """A mean now and at the reference. `doubt` is the one-sided p-value of a change in the direction that it took."""

    now: float
    then: float
    doubt: float

    @property
    def relative(self) -> float:
        """The rise relative to the reference; 0 where that is 0."""
        return self.now / self.then - 1 if self.then else 0.0

    @property
    def absolute(self) -> float:
        """The rise."""
        return self.now - self.then


def change(then: Sequence[float], now: Sequence[float]) -> Change | None:
    """Compare two sets of observations; None where one has fewer than two."""
    from scipy.special import stdtr

    if min(len(then), len(now)) < 2:
        return None
    old, new = fmean(then), fmean(now)
    errors = [float(np.var(values, ddof=1)) / len(values) for values in (then, now)]
    if not sum(errors):
        return Change(new, old, 0.0 if new != old else 0.5)
    freedom = sum(errors) ** 2 / sum(
        error**2 / (len(values) - 1) for error, values in zip(errors, (then, now), strict=True)
    )
    return Change(new, old, float(stdtr(freedom, -abs(new - old) / sqrt(sum(errors)))))


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


def adjusted(reference: Sequence[Sample]) -> Callable[[Sample], float]:
    """A function that gives the characters of a completion, less what is explained by the kind of its query.

    Lengths differ by what was asked for, which is noise here. How far the policy follows the usual length x of good
    answers (`Sample.typical`) is seen in the reference: θ = cov(x, y) / var(x) of the logarithms, and y − θ (x − x̄)
    has the mean of y and the least variance (a control variate; A. Deng, Y. Xu, R. Kohavi and T. Walker, WSDM 2013). A
    policy that follows it not at all has θ = 0.

    What is compared are the lengths themselves, exp(y − θ (x − x̄)): of their logarithms the mean rises as soon as a
    policy stops writing texts of a few characters, which is no growth.
    """
    known = [(log(sample.typical), _log_length(sample)) for sample in reference if sample.typical]
    usual, lengths = np.array(known).reshape(-1, 2).T
    spread = float(usual.var()) if len(usual) > 1 else 0.0
    slope = float(np.mean((usual - usual.mean()) * (lengths - lengths.mean()))) / spread if spread else 0.0
    middle = float(usual.mean()) if len(usual) else 0.0

    def value(sample: Sample) -> float:
        explained = slope * (log(sample.typical) - middle) if sample.typical else 0.0
        return len(sample.response) * exp(-explained)

    return value


def _log_length(sample: Sample) -> float:
    return log(max(len(sample.response), 1))


def logged(reports: Iterable[StepReport], value: Callable[[StepReport], float | None]) -> list[float]:
    """One number a step, those left out where it is None."""
    return [one for report in reports if (one := value(report)) is not None]
