"""Labelled files: cases that people called good or bad, and pairs of which one text is preferred.

One reader for both kinds, so that every command understands the same spellings and refuses the same mistakes in the
same words. Rows keep the file's order and none is dropped: the n-th case is the n-th row. What is *in* the texts
(empty, equal, contradictory) is not judged here; that is the audit's business.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from kindling.errors import InputError
from kindling.records import Label, LabelledCase
from kindling.tables import read_rows

LABELS: dict[str, Label] = {"1": "good", "good": "good", "true": "good", "0": "bad", "bad": "bad", "false": "bad"}
_OPTIONAL = ("flaw", "source", "occasion", "recipient")
# how a file says that it leaves something open
_OPEN = (None, "", "不限", "any")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses to one query, of which `chosen` is preferred."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    query: str
    chosen: str
    rejected: str


def read_labelled(path: Path) -> tuple[LabelledCase, ...]:
    """Read the cases of `path`: columns query, response, label; flaw, source, occasion and recipient where given.

    A label is 0/1, good/bad or true/false, as text (in any case), number or boolean. Raises `InputError` that names the
    row and the column.
    """
    rows = read_rows(path, ("query", "response", "label"))
    return tuple(_case(row, f"{path}: row {number}") for number, row in enumerate(rows, 1))


def _case(row: dict[str, Any], where: str) -> LabelledCase:
    optional = {name: _text(row[name], name, where) for name in _OPTIONAL if row.get(name) not in _OPEN}
    query, response = (_text(row[name], name, where) for name in ("query", "response"))
    return LabelledCase(query, response, read_label(row["label"], where), **optional)


def read_label(value: Any, where: str) -> Label:
    """Understand `value` as a label. Raises `InputError` that starts with `where`."""
    # true and 1.0 are the same label as 1, whatever the file format made of it
    plain = str(int(value)) if isinstance(value, bool | float) and value in (0, 1) else str(value)
    label = LABELS.get(plain.strip().lower())
    if label is None:
        raise InputError(f"{where}: label {value!r}: write 0 or 1, good or bad, true or false")
    return label


def read_pairs(path: Path) -> tuple[Pair, ...]:
    """Read the pairs of `path`: columns query, chosen, rejected, or TRL's prompt, chosen, rejected (text or messages).

    Of a conversation, the last user message is the query, and the last assistant message the response. Raises
    `InputError` that names the row and the column.
    """
    rows = read_rows(path, ("chosen", "rejected"))
    asked = "query" if "query" in rows[0] else "prompt"
    if asked not in rows[0]:
        raise InputError(f"{path}: row 1: no column 'query' or 'prompt' (there: {', '.join(sorted(rows[0]))})")
    pairs = []
    for number, row in enumerate(rows, 1):
        where = f"{path}: row {number}"
        query = _said(row.get(asked), "user", asked, where)
        pairs.append(Pair(query, *(_said(row[name], "assistant", name, where) for name in ("chosen", "rejected"))))
    return tuple(pairs)


def _said(value: Any, role: str, column: str, where: str) -> str:
    """Take a text as it is, or the last message of `role` in a conversation."""
    if not isinstance(value, list):
        return _text(value, column, where)
    for message in reversed(value):
        if isinstance(message, dict) and message.get("role") == role:
            return _text(message.get("content"), column, where)
    raise InputError(f"{where}: {column}: no message of role {role!r}")


def _text(value: Any, column: str, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: {column}: not a text but {'null' if value is None else type(value).__name__}")
    return value
