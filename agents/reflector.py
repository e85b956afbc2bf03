"""The reflector: reads the whole debate and the first verdict, and overturns it only on clear, sufficient grounds."""

from typing import Protocol

from kindling.records import Case, Critique, Verdict


class Reflector(Protocol):
    """Gives the verdict that stands. Like a judge, it never raises for a failed judgement but returns it unscored.

    If it upholds the first verdict, score and votes stay the judge's; if it overturns, the score is mirrored (1 - s), so
    that a shaky verdict overturned stays shaky. A tie of .5 that is overturned to good scores the next share above it.
    """

    name: str

    async def reflect(self, case: Case, critiques: tuple[Critique, ...], first: Verdict) -> Verdict:
        """The verdict that stands, given the judge's scored `first` verdict."""
        ...
