"""The generator: one response to one query."""

from typing import Protocol

from kindling.records import Candidate, Example, Query


class Generator(Protocol):
    """Writes responses. The same query and index give the same call, so a resumed run pays for none twice."""

    name: str

    async def generate(self, query: Query, examples: tuple[Example, ...], index: int) -> Candidate:
        """The candidate at place `index` of the row. Raises `CallError` if none could be had."""
        ...
