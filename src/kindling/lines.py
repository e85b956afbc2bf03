"""A file of JSON lines that only grows, and survives a kill: what a run has so far, each line on disk as it comes.

A line is appended with one write. A process that is killed tears at most its last line, which the next opening cuts
off; a write that the disk cut short leaves nothing behind. (Nothing is flushed to the disk itself: a power cut may cost
the last lines.) Whoever opens the file holds the lock of its run folder, so there is one writer.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from kindling.errors import RunFolderError

BLOCK = 1 << 16  # bytes in which the end of the last whole line is looked for at once


class Lines:
    """The file at `path`, made if it is not there. Raises `RunFolderError` if it cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("a+b", buffering=0)
            self._end = _whole(self._file)
            self._file.truncate(self._end)
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be written: {error.strerror or error}") from error

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Every line with the place at which it starts, in the order they came."""
        place = 0
        with self.path.open("rb") as file:
            for line in file:
                yield place, line
                place += len(line)

    def append(self, record: Any) -> int:
        """Append a line; returns where it starts.

        Raises `TypeError` if `record` is no JSON, `RunFolderError` if the disk refuses it; the file is then as it was.
        """
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        try:
            written = self._file.write(line)
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be written: {error.strerror or error}") from error
        if written != len(line):
            self._file.truncate(self._end)  # or the next line would start inside this one
            raise RunFolderError(f"{self.path}: the disk is full")
        place, self._end = self._end, self._end + len(line)
        return place

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _whole(file: IO[bytes]) -> int:
    """Where the last whole line ends."""
    end = file.seek(0, 2)
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
