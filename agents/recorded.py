"""Candidates that exist already: a file of responses plays the generator, so that they can be judged and paired."""

from collections import defaultdict
from pathlib import Path

from kindling.errors import CallError, InputError
from kindling.records import Candidate, Example, Query, request_key
from kindling.tables import read_rows


class RecordedGenerator:
    """The responses of a file with columns `query` and `response`, by the query's text, in file order.

    Queries match as requests do everywhere: case, width, spaces and punctuation do not count. Raises `InputError` when
    made, if the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"file:{path.name}"
        self._responses: defaultdict[str, list[str]] = defaultdict(list)
        for number, row in enumerate(read_rows(path, ("query", "response")), 1):
            if not isinstance(row["query"], str) or not isinstance(row["response"], str):
                raise InputError(f"{path}: row {number}: query and response must be text")
            self._responses[request_key(row["query"])].append(row["response"])

    async def generate(self, query: Query, examples: tuple[Example, ...], index: int) -> Candidate:
        """The response at place `index` to this query. Raises `CallError` if the file has fewer, or it is blank."""
        responses = self._responses.get(request_key(query.text), [])
        if index >= len(responses):
            raise CallError(f"{self.name} has {len(responses)} responses to this query")
        if not responses[index].strip():
            raise CallError(f"{self.name}: response {index + 1} to this query is blank")
        return Candidate(responses[index], self.name, index)
