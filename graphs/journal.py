"""The row journal: finished outcomes on disk, in the order they finished, so that a run can be killed and go on.

    {"key": "…", "outcome": {…}}    one line a row

What becomes of the file in a kill says `kindling.lines`; a row whose line was torn or lost is run again, and its calls
are in the ledger.

The key stands for everything that shapes a row: settings, templates, models. Only lines under the present key count, so
a row that was finished under another template is run again; its old line stays in the file. Memory holds the place of
each row's line and no outcome: those are read back from the file when they are asked for.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from kindling.errors import InputError
from kindling.lines import Lines
from kindling.records import Outcome, Query, Status, load


class Entry(NamedTuple):
    """A finished row: where its line starts, what became of it, and which text it was about."""

    offset: int
    status: Status
    reason: str
    text_hash: int


class RowJournal:
    """The finished rows of one run under one `key`. Not for two writers: the run folder's lock keeps others out."""

    def __init__(self, path: Path, key: str) -> None:
        """Open or make the journal at `path`. Raises `RunFolderError` if it cannot be written."""
        self.path = path
        self.key = key
        self._rows: dict[int, Entry] = {}
        self._lines = Lines(path)
        for place, line in self._lines:
            try:
                data = orjson.loads(line)
                if data["key"] == key:
                    self._enter(place, load(Outcome, data["outcome"], str(path)))
            except (orjson.JSONDecodeError, KeyError, TypeError, InputError):
                pass  # garbled, or of another version of the records: its row is run again

    def _enter(self, offset: int, outcome: Outcome) -> None:
        query = outcome.query
        self._rows[query.row] = Entry(offset, outcome.status, outcome.reason, hash(query.text))

    def __len__(self) -> int:
        return len(self._rows)

    def entry(self, query: Query) -> Entry | None:
        """Say what became of `query`; None if it is unfinished, or if its row was about another text."""
        entry = self._rows.get(query.row)
        return entry if entry is not None and entry.text_hash == hash(query.text) else None

    def forget(self, statuses: Collection[Status]) -> int:
        """Take the rows with these statuses for unfinished, so that they are run again; returns how many."""
        again = [row for row, entry in self._rows.items() if entry.status in statuses]
        for row in again:
            del self._rows[row]
        return len(again)

    def add(self, outcome: Outcome) -> None:
        """Append a finished row. Raises `TypeError` if it is no JSON, `RunFolderError` if the disk refuses it."""
        self._enter(self._lines.append({"key": self.key, "outcome": outcome}), outcome)

    def outcomes(self, until: int | None = None) -> Iterator[Outcome]:
        """Read the finished rows one by one in input order, up to and including row `until`."""
        with self.path.open("rb") as file:
            for row in sorted(self._rows):
                if until is not None and row > until:
                    return
                file.seek(self._rows[row].offset)
                yield load(Outcome, orjson.loads(file.readline())["outcome"], str(self.path))

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def __enter__(self) -> "RowJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
