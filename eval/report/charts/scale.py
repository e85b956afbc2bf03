"""Ticks at round numbers, and a linear scale between two ends."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high` onto places from `start` to `end`; `step` is the distance of its ticks."""

    low: float
    high: float
    start: float
    end: float
    step: float

    def __call__(self, value: float) -> float:
        """The place of `value`; what lies outside is put at the end."""
        inside = min(max(value, self.low), self.high)
        return self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> tuple[float, ...]:
        """The round numbers from end to end."""
        first, last = ceil(self.low / self.step - 1e-9), floor(self.high / self.step + 1e-9)
        return tuple(round(number * self.step, 12) for number in range(first, last + 1))

    def words(self, value: float) -> str:
        """A tick as text, with the decimals that its step has."""
        decimals = max(0, -floor(log10(self.step) + 1e-9))
        return f"{value:,.{decimals}f}".replace("-", "−")


def step_of(span: float, most: int) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that divides `span` into at most `most` parts."""
    rough = span / most
    power = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in STEPS if factor * power >= rough * (1 - 1e-9))


def scale(values: Iterable[float], start: float, end: float, most: int = 4, *, exact: bool = False) -> Scale:
    """A scale that holds all finite `values`, its ends at ticks; with `exact` its ends are the values' own."""
    known = [value for value in values if isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    step = step_of(high - low, most)
    if exact:
        return Scale(low, high, start, end, step)
    return Scale(floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step, start, end, step)
