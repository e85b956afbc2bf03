"""What there is to label: the distinct cases of a file, and the order in which somebody meets them.

A case is known by its texts, so that answers stay with it when rows are added, moved or taken out. What else the file
says of it (source, label, flaw) never gets here, apart from what an export repeats: the labeller is blind by
construction.

The order is that of a hash of annotator and case: as good as random, different for every annotator, the same after
every restart, and unmoved by new rows. So the effects of order and of a labeller who gets tired fall on different
cases for different people.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kindling.errors import InputError
from kindling.records import text_id
from kindling.tables import read_rows

REPEATED = ("occasion", "recipient", "source")


@dataclass(frozen=True, slots=True)
class Item:
    """One case; `about` holds what an export repeats and no labeller sees."""

    query: str
    response: str
    about: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Depends on the two texts alone."""
        return text_id(self.query, self.response)


@dataclass(frozen=True, slots=True)
class Items:
    """The distinct cases of a file in its order, and how many of its `rows` they came from."""

    cases: tuple[Item, ...]
    rows: int

    def order(self, annotator: str) -> list[Item]:
        """The cases in the order in which `annotator` meets them."""
        return sorted(self.cases, key=lambda item: text_id(annotator, item.id))


def read_items(path: Path) -> Items:
    """Read the cases of `path`: columns query and response. Raises `InputError` that names the row and the column."""
    rows = read_rows(path, ("query", "response"))
    distinct: dict[str, Item] = {}
    for number, row in enumerate(rows, 1):
        item = _item(row, f"{path}: row {number}")
        distinct.setdefault(item.id, item)
    return Items(tuple(distinct.values()), len(rows))


def _item(row: dict[str, Any], where: str) -> Item:
    for name in ("query", "response"):
        if not isinstance(row[name], str) or not row[name].strip():
            raise InputError(f"{where}: {name}: no text; a case that is labelled has both")
    about = {name: row[name] for name in REPEATED if isinstance(row.get(name), str) and row[name]}
    return Item(row["query"], row["response"], about)
