"""What there is to label: the distinct cases of a file or a run, and the order in which somebody meets them.

    a file of cases       rows with query and response
    a run of curate       records.jsonl: every candidate of every query, whatever became of it
    a run of eval         records.jsonl: every whole text of every model

A case is known by its texts, so that answers stay with it when rows are added, moved or taken out. What else the file
says of it (verdict, label, flaw) never gets here, apart from what an export repeats: the labeller is blind by
construction.

The order is that of a hash of annotator and case: as good as random, different for every annotator, the same after
every restart, and unmoved by new rows. So the effects of order and of a labeller who gets tired fall on different
cases for different people.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kindling.errors import InputError
from kindling.records import Outcome, load, text_id
from kindling.tables import read_rows

REPEATED = ("occasion", "recipient", "source")
RECORDS = "records.jsonl"  # of a run


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
    """Read the cases of a file or a run folder. Raises `InputError` that names the row and what is wrong with it."""
    file = path / RECORDS if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise InputError(f"{path}: no {RECORDS} in this folder; name a run of kindling curate or eval, or a file")
    rows = read_rows(file, ("query",))
    distinct: dict[str, Item] = {}
    for number, row in enumerate(rows, 1):
        where = f"{file}: row {number}"
        for case in _cases(row, where):
            item = _item(case, where)
            distinct.setdefault(item.id, item)
    if not distinct:
        raise InputError(f"{file}: no text to label in its {len(rows)} records")
    return Items(tuple(distinct.values()), len(rows))


def _cases(row: dict[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """The cases of a row: itself, all candidates of a record of curate, or the text of one of eval, if it is whole."""
    if "judgements" in row:
        outcome = load(Outcome, row, where)
        for candidate in (one.candidate for one in outcome.judgements):
            yield {"query": outcome.query.text, "response": candidate.text, "source": candidate.source}
    elif "verdicts" in row and "failure" in row:
        if row["failure"] is None:
            yield {**row, "source": row.get("model")}
    else:
        yield row


def _item(row: dict[str, Any], where: str) -> Item:
    for name in ("query", "response"):
        if name not in row:
            raise InputError(f"{where}: no column {name!r} (there: {', '.join(sorted(map(str, row)))})")
        if not isinstance(row[name], str) or not row[name].strip():
            raise InputError(f"{where}: {name}: no text; a case that is labelled has both")
    about = {name: row[name] for name in REPEATED if isinstance(row.get(name), str) and row[name]}
    return Item(row["query"], row["response"], about)
