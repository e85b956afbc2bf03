"""Limits of a run: calls, money and minutes, checked before a call is made and never after.

A request reserves one call and its expected cost before it is sent, so that any number of tasks that race cannot pass
the limit together. When it comes back the reservation becomes a fact (`settle`), or is given back (`refund`) if the
endpoint answered with an error status, for which nobody is charged; a time-out or a cut connection may have been
charged, so it stays. Answers from the ledger never come here: they cost nothing.

The cost of a run may pass `max_cost` by the error of the estimates of the calls in flight, and by no more.
"""

import time

from kindling.config import Budget as Limits
from kindling.errors import BudgetSpent


class Budget:
    """What may be spent. `calls` and `cost` count what a resumed run has spent before; minutes start anew."""

    def __init__(self, limits: Limits, calls: int = 0, cost: float = 0.0) -> None:
        self.limits = limits
        self.calls = calls
        self.cost = cost
        self._in_flight = 0
        self._expected = 0.0
        self._started = time.monotonic()

    def seconds_left(self) -> float | None:
        """Seconds until `max_minutes` is over, never negative; none without that limit."""
        if self.limits.max_minutes is None:
            return None
        return max(0.0, self._started + 60 * self.limits.max_minutes - time.monotonic())

    def check(self) -> None:
        """Raise `BudgetSpent` if no further call may be made."""
        self._check(0.0)

    def _check(self, expected: float) -> None:
        limits = self.limits
        if limits.max_calls is not None and self.calls + self._in_flight >= limits.max_calls:
            raise BudgetSpent(f"max_calls = {limits.max_calls} is used up")
        if limits.max_cost is not None:
            committed = self.cost + self._expected
            if committed + expected > limits.max_cost or committed >= limits.max_cost > 0:
                raise BudgetSpent(f"max_cost = {limits.max_cost:g} is used up: {self.cost:.4f} spent")
        if self.seconds_left() == 0.0:
            raise BudgetSpent(f"max_minutes = {limits.max_minutes:g} are over")

    def reserve(self, expected: float) -> None:
        """Set one call and its expected cost aside. Raises `BudgetSpent` if that would pass a limit."""
        self._check(expected)
        self._in_flight += 1
        self._expected += expected

    def settle(self, expected: float, cost: float) -> None:
        """Turn a reservation into a call that cost `cost`."""
        self.refund(expected)
        self.calls += 1
        self.cost += cost

    def refund(self, expected: float) -> None:
        """Give a reservation back."""
        self._in_flight -= 1
        # with nothing in flight nothing is expected: rounding errors end here
        self._expected = self._expected - expected if self._in_flight else 0.0
