"""Texts with everything that was said of them, as data for the page's script, which shows them a page at a time.

An `Entry` is a row of the input: what was asked, what became of it, and its `Reading`s, the texts. `select` takes as
many as a page can carry, round robin over the groups that entries belong to, so that what is rare is never left out for
what is frequent; the page says how many of how many it shows and where the rest is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import orjson

from kindling.eval.report.words import visible

MOST_BYTES = 4_000_000  # of the records of one run


@dataclass(frozen=True, slots=True)
class Reading:
    """A text. `tags` are (words, tone), `said` is (who, what), `facts` (asked, measured, met), `numbers` (name, value).

    `sides` are (name, points) with points of (aspect, reason), as they were said; those of one aspect are put together.
    """

    text: str
    source: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    said: tuple[tuple[str, str], ...] = ()
    facts: tuple[tuple[str, str, bool], ...] = ()
    sides: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    numbers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A row. `facets` are what it can be filtered by, as `Records.facets` names them; of each `group` some are kept."""

    title: str
    tags: tuple[tuple[str, str], ...]
    facets: tuple[str, ...]
    readings: tuple[Reading, ...]
    group: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Records:
    """Entries to browse. `total` is how many there are in the file `rest`; `facets` names what they differ by."""

    form: ClassVar[str] = "records"
    name: str
    noun: str
    facets: tuple[str, ...]
    entries: tuple[Entry, ...]
    total: int
    rest: str
    options: tuple[tuple[tuple[str, int], ...], ...] = field(default=())

    @classmethod
    def of(
        cls, name: str, noun: str, facets: tuple[str, ...], entries: Sequence[Entry], rest: str, most: int = MOST_BYTES
    ) -> "Records":
        """The records of all `entries`, with as many of them as fit into `most` bytes."""
        return cls(name, noun, facets, tuple(entries), len(entries), rest).within(most)

    def within(self, most: int) -> "Records":
        """The same with as many of the entries as fit into `most` bytes."""
        kept = tuple(select(self.entries, most))
        options = tuple(_counted(entry.facets[place] for entry in kept) for place in range(len(self.facets)))
        return replace(self, entries=kept, options=options)

    @property
    def data(self) -> str:
        """Everything as JSON for a script element; names are short, since there are many."""
        return safe({"facets": self.facets, "entries": [_plain(entry) for entry in self.entries]})


def safe(data: Any) -> str:
    """JSON that may stand in a script element: no text can end it or begin a comment."""
    said = orjson.dumps(data).decode()
    return said.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def select(entries: Sequence[Entry], most: int) -> Iterable[Entry]:
    """As many entries as fit into `most` bytes, in turns from every group; in their order."""
    groups: dict[str, list[int]] = {}
    for place, entry in enumerate(entries):
        groups.setdefault(entry.group, []).append(place)
    turns = sorted((turn, place) for places in groups.values() for turn, place in enumerate(places))
    kept: list[int] = []
    size = 0
    for _, place in turns:
        size += len(orjson.dumps(_plain(entries[place])))
        if size > most and kept:
            break
        kept.append(place)
    return (entries[place] for place in sorted(kept))


def _counted(values: Iterable[str]) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return tuple(counts.items())


def _plain(entry: Entry) -> dict[str, Any]:
    made = {
        "h": visible(entry.title), "g": entry.tags, "f": entry.facets, "n": visible(entry.note),
        "x": [_reading(one) for one in entry.readings],
    }  # fmt: skip
    return {name: value for name, value in made.items() if value}


def _reading(one: Reading) -> dict[str, Any]:
    made = {
        "t": visible(one.text),
        "s": visible(one.source),
        "g": one.tags,
        "w": [(who, visible(what)) for who, what in one.said if what],
        "c": [(visible(asked), visible(measured), met) for asked, measured, met in one.facts],
        "p": [(side, _by_aspect(points)) for side, points in one.sides],
        "m": one.numbers,
    }
    return {name: value for name, value in made.items() if value or name == "t"}


def _by_aspect(points: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Each aspect once, with its reasons, each once."""
    found: dict[str, list[str]] = {}
    for aspect, reason in points:
        reasons = found.setdefault(visible(aspect), [])
        if visible(reason) not in reasons:
            reasons.append(visible(reason))
    return list(found.items())
