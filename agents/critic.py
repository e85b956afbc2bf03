"""The critics: one side lists every merit of a text, the other every flaw, each with a reason."""

from typing import Protocol

from kindling.records import Case, Critique, Side


class Critic(Protocol):
    """Argues one side. An empty list of points is a finding; a failure is not, and raises `Unscored`."""

    name: str
    side: Side

    async def criticise(self, case: Case) -> Critique:
        """All points of this critic's side. Raises `Unscored` if the answer could not be had or read."""
        ...
