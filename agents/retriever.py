"""The retriever: good examples near a query, for whoever writes or criticises."""

from typing import Protocol

from kindling.records import Example, Query


class Retriever(Protocol):
    """Finds examples. At most k come back, best first, each at or above the minimum similarity; none is not an error.

    An implementation never returns the query's own answer (the same query after normalisation), and popularity may
    re-rank among similar examples but never replaces similarity. It makes no paid call.
    """

    async def retrieve(self, query: Query) -> tuple[Example, ...]:
        """Examples for `query`, best first."""
        ...
