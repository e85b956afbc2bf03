"""Intake: raw queries in, distinct usable queries out, each dropped row with its reason.

The rules know nothing about the task: they drop what no writer could answer (empty, no letters, a link, garbled bytes,
one character over and over, another script than the task's language) and what was asked before. Whether a query is *on
topic* is left to the judge, which sees it beside every response. The first of several equal queries stands for all and
carries their count, which is the popularity that examples may be re-ranked by.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from kindling.errors import InputError
from kindling.records import Outcome, Query, request_key
from kindling.tables import read_rows

_LINK = re.compile(r"https?://|www\.|\b[\w.-]+@[\w-]+\.\w|\b[\w-]+\.(?:com|cn|net|org)\b", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_EDGES = " \t,，.。;；:：、|/\\`-—_~·"  # quotes stay: they may belong to a form that the query asks for
MIN_LETTERS = 2
MAX_SAME_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Intake:
    """What came in: `queries` to work on, in file order, and an `Outcome` for every dropped row."""

    queries: tuple[Query, ...]
    dropped: tuple[Outcome, ...]


def normalise(text: str) -> str:
    """One line in NFC without invisible characters, with single spaces and no punctuation at either end.

    Full-width digits and letters become ASCII; Chinese punctuation stays as it is. A closing question or exclamation
    mark is the user's wording and stays too.
    """
    visible = "".join(
        unicodedata.normalize("NFKC", char) if "\uff10" <= char <= "\uff5a" and char.isalnum() else char
        for char in unicodedata.normalize("NFC", text)
        if unicodedata.category(char) != "Cf"
    )
    return _SPACE.sub(" ", visible).strip(_EDGES)


def junk(text: str, language: str, max_chars: int) -> str | None:
    """Why the normalised `text` is no query, as a short code; None if it may be one."""
    if not text:
        return "empty"
    if any(unicodedata.category(char) in ("Cc", "Co", "Cn") or char == "\ufffd" for char in text):
        return "garbled"
    if _LINK.search(text):
        return "link"
    letters = [char for char in text if char.isalpha()]
    if len(letters) < MIN_LETTERS:
        return "too_few_letters"
    if len(text) > max_chars:
        return "too_long"
    if len(letters) >= 5 and Counter(letters).most_common(1)[0][1] > MAX_SAME_SHARE * len(letters):
        return "repeated_character"
    if sum(_script_fits(char, language) for char in letters) <= len(letters) / 2:
        return "other_script"
    return None


def _script_fits(char: str, language: str) -> bool:
    name = unicodedata.name(char, "")
    return name.startswith("LATIN") or (language == "zh" and name.startswith("CJK"))


def take_in(texts: Iterable[str], language: str, max_chars: int) -> Intake:
    """Sort the raw rows into queries and drops; their numbers add up to the rows that came in."""
    first: dict[str, Query] = {}
    dropped: list[Outcome] = []
    for row, raw in enumerate(texts):
        query = Query(normalise(raw), row)
        why = junk(query.text, language, max_chars)
        key = request_key(query.text)
        if why:
            dropped.append(Outcome(replace(query, text=raw), "dropped", why))
        elif key in first:
            earlier = first[key]
            first[key] = replace(earlier, count=earlier.count + 1)
            detail = f"asked first in row {earlier.row + 1}: {earlier.text}"
            dropped.append(Outcome(query, "dropped", "duplicate", detail))
        else:
            first[key] = query
    return Intake(tuple(first.values()), tuple(dropped))


def read_queries(
    file: Path, language: str, max_chars: int, *, column: str = "query", limit: int | None = None
) -> Intake:
    """Take in the `column` of `file`, or of its first `limit` rows. Raises `InputError` if no usable query is left."""
    rows = read_rows(file, (column,), text_column=column)[:limit]
    found = take_in(("" if row[column] is None else str(row[column]) for row in rows), language, max_chars)
    if not found.queries:
        reasons = ", ".join(sorted({outcome.reason for outcome in found.dropped}))
        raise InputError(f"{file}: none of its {len(rows)} rows is a usable query ({reasons})")
    return found
