"""What a term of the reward is: something that gives every completion of a batch a value in [0, 1], or fails on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from kindling.records import Case, Label


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion under reward. `case` has its measured facts; `group`, the place of its prompt in the batch.

    Answers of one group are answers to the same query. `elsewhere` are the (query, response) pairs of all other queries
    of the batch, in all processes of the run.
    """

    query: str
    response: str
    case: Case
    group: int
    elsewhere: tuple[tuple[str, str], ...] = ()


class Score(NamedTuple):
    """A value in [0, 1] with its reason, or no value and why. `label` is a judge's, where one stands behind it."""

    value: float | None
    reason: str = ""
    label: Label | None = None


class Term(Protocol):
    """One part of the reward; `name` is its column in the record and its metric.

    An answer that cannot be scored gets a `Score` without value. An exception fails the term for the whole batch;
    `UsageError` and `BudgetSpent` say that no later batch can be scored either.
    """

    name: str

    async def score(self, answers: Sequence[Answer]) -> list[Score]:
        """One score for each answer, in their order."""
        ...


class Weighted(NamedTuple):
    """A quality with its weight (above 0) in the mean of all qualities."""

    term: Term
    weight: float = 1.0


class Gate(NamedTuple):
    """A term that multiplies the reward by 1 − strength · (1 − value); strength in [0, 1], 1 lets it bring it to 0."""

    term: Term
    strength: float = 1.0
