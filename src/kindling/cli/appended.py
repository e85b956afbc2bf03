"""A file of JSON lines that only grows, and survives a kill: what an evaluation has so far.

A line is appended with one write. A process that is killed tears at most its last line, which the next opening cuts
off; whoever opens the file holds the lock of the run folder, so there is one writer.
"""

from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from kindling.errors import InputError, RunFolderError
from kindling.records import load

T = TypeVar("T")


class Appended(Generic[T]):
    """Records of one kind, in the order they came. Raises `InputError` for a line of another kind or version."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self.path = path
        try:
            self._file = path.open("a+b", buffering=0)
            self._file.seek(0)
            *lines, torn = self._file.readall().split(b"\n")
            self._end = sum(len(line) + 1 for line in lines)
            if torn:
                self._file.truncate(self._end)
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be written: {error.strerror or error}") from error
        try:
            self.records = [load(kind, _data(line), f"{path}: line {number}") for number, line in enumerate(lines, 1)]
        except InputError:
            self.close()
            raise

    def add(self, record: T) -> None:
        """Append a record. Raises `RunFolderError` if the disk refuses it; the file is then as it was."""
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        try:
            written = self._file.write(line)
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be written: {error.strerror or error}") from error
        if written != len(line):
            self._file.truncate(self._end)
            raise RunFolderError(f"{self.path}: the disk is full")
        self._end += len(line)
        self.records.append(record)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _data(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None  # refused as a record, with its line
