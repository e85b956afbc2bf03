"""Records of one kind in a file that only grows (`kindling.lines`): what an evaluation has so far."""

from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from kindling.errors import InputError
from kindling.lines import Lines
from kindling.records import load

T = TypeVar("T")


class Appended(Generic[T]):
    """The records, in the order they came. Raises `InputError` for a line of another kind or version."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self._lines = Lines(path)
        try:
            self.records = [
                load(kind, _data(line), f"{path}: line {number}") for number, (_, line) in enumerate(self._lines, 1)
            ]
        except InputError:
            self.close()
            raise

    def add(self, record: T) -> None:
        """Append a record. Raises `RunFolderError` if the disk refuses it; the file is then as it was."""
        self._lines.append(record)
        self.records.append(record)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def _data(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None  # refused as a record, with its line
