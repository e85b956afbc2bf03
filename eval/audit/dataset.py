"""One data file as an audit sees it: texts, each with its row, its side and its label.

Three kinds, told apart by their columns: pairs (chosen and rejected), labelled cases (a response with a label) and
plain rows (a response that a model shall imitate: query and response, or TRL's messages). `rows` stay as they were
read, so that a repaired copy keeps every field.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from kindling.errors import InputError
from kindling.eval.labelled import read_labelled, read_pairs
from kindling.records import Label
from kindling.tables import read_rows

Kind = Literal["pairs", "labelled", "rows"]
Side = Literal["chosen", "rejected", "response"]


@dataclass(frozen=True, slots=True)
class Text:
    """One text: its row in the file (from 1), which side of the row it is, its query, and its label.

    A chosen text counts as good and a rejected one as bad; a text of a plain row has no label.
    """

    row: int
    side: Side
    query: str
    text: str
    label: Label | None

    @property
    def model(self) -> bool:
        """Whether a model that learns from the file learns to write like this."""
        return self.label != "bad"


@dataclass(frozen=True)
class Dataset:
    """A file: `rows` as read, `texts` in file order (a pair gives two in a row: chosen, rejected)."""

    path: Path
    kind: Kind
    rows: list[dict[str, Any]]
    texts: tuple[Text, ...]

    @property
    def name(self) -> str:
        """The path as the user gave it."""
        return str(self.path)

    @property
    def labelled(self) -> bool:
        """Whether there is anything to predict."""
        return self.kind != "rows"

    @cached_property
    def pairs(self) -> tuple[tuple[Text, Text], ...]:
        """(chosen, rejected) of every row; empty for other kinds."""
        return tuple(zip(self.texts[::2], self.texts[1::2], strict=True)) if self.kind == "pairs" else ()


def read_dataset(path: Path) -> Dataset:
    """Read a file of any kind. Raises `InputError` in one line for what cannot be read or understood."""
    rows = read_rows(path, ())
    columns = set(rows[0])
    if columns >= {"chosen", "rejected"}:
        return Dataset(path, "pairs", rows, tuple(_pairs(path)))
    if columns >= {"query", "response", "label"}:
        cases = enumerate(read_labelled(path), 1)
        texts = (Text(row, "response", case.query, case.response, case.label) for row, case in cases)
        return Dataset(path, "labelled", rows, tuple(texts))
    if columns >= {"query", "response"} or "messages" in columns:
        return Dataset(path, "rows", rows, tuple(_plain(path, number, row) for number, row in enumerate(rows, 1)))
    there = ", ".join(sorted(str(name) for name in columns)) or "none"
    raise InputError(
        f"{path}: row 1: needs query, chosen, rejected; or query, response and label; or messages (there: {there})"
    )


def _pairs(path: Path) -> Iterator[Text]:
    for row, pair in enumerate(read_pairs(path), 1):
        yield Text(row, "chosen", pair.query, pair.chosen, "good")
        yield Text(row, "rejected", pair.query, pair.rejected, "bad")


def _plain(path: Path, number: int, row: dict[str, Any]) -> Text:
    if "messages" in row:
        said = {turn.get("role"): turn.get("content") for turn in row["messages"] or () if isinstance(turn, dict)}
        query, response = said.get("user"), said.get("assistant")
    else:
        query, response = row.get("query"), row.get("response")
    if not isinstance(query, str) or not isinstance(response, str):
        raise InputError(f"{path}: row {number}: needs the texts of a query and of a response")
    return Text(number, "response", query, response, None)
