"""What there is to export: pairs, SFT rows and queries, from a run folder of `kindling curate` or from one file.

A run folder gives all that it has. A file gives what its columns say (pairs: chosen and rejected; SFT: messages,
completion or response; else queries), and the queries of its rows. Queries that ask for the same are exported once.

The responses of a file that carries a verdict or a label are not exported for SFT: some of them are bad. Such a file
gives its queries.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kindling.errors import InputError
from kindling.rl import formats
from kindling.rl.rewards.reward import text_of
from kindling.rl.training import data
from kindling.rl.training.data import Data, Row
from kindling.rl.training.settings import STAGES, Stage
from kindling.tables import read_rows

RESPONSES = ("messages", "completion", "response")


@dataclass(frozen=True, slots=True)
class Parts:
    """Rows to export, in the file's order.

    `pairs` have prompt, chosen and rejected, `sft` prompt and completion (lists of messages all), `queries` prompt and
    query (its last user turn). `sources` describes the files: name, SHA-256, rows, what was left out and why.
    """

    pairs: tuple[Row, ...]
    sft: tuple[Row, ...]
    queries: tuple[Row, ...]
    sources: tuple[dict[str, Any], ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each."""
        return {"pairs": len(self.pairs), "sft": len(self.sft), "queries": len(self.queries)}


def read(source: Path, column: str = "query") -> Parts:
    """The parts of `source`. Raises `InputError` if it is no such file or folder, or has no usable row."""
    found = {stage: data.read(stage, source, column) for stage in _stages(source, column)}
    asked = found.get("grpo") or found.get("rm") or found["sft"]
    return Parts(
        pairs=_rows(found.get("rm")),
        sft=_rows(found.get("sft")),
        queries=_distinct(asked.rows),
        sources=tuple(one.card for one in found.values()),
    )


def _stages(source: Path, column: str) -> list[Stage]:
    """The kinds of rows that `source` has, in the words of the training stages that read them."""
    if source.is_dir():
        files = {stage: source / data.IN_RUN[stage] for stage in STAGES}
        there = [stage for stage, file in files.items() if file.is_file() and file.stat().st_size]
        if not there:
            names = ", ".join(file.name for file in files.values())
            raise InputError(f"{source}: none of {names} has a row; name a run of kindling curate, or a file")
        return there
    columns = read_rows(source, (), text_column=column)[0].keys()
    if {"chosen", "rejected"} <= columns:
        return ["rm"]
    if columns & set(RESPONSES) and not columns & set(data.JUDGED):
        return ["sft"]
    return ["grpo"]


def _rows(found: Data | None) -> tuple[Row, ...]:
    return found.rows if found else ()


def _distinct(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Prompt and query of each request, once."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(data.asks(row), {"prompt": row["prompt"], "query": text_of(row["prompt"], "user")})
    return tuple(first.values())


def messages(row: Row) -> list[formats.Message]:
    """The whole conversation of an SFT row."""
    return [*row["prompt"], *row["completion"]]


def hold_out(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows of distinct queries to train on, and about `share` of them, at least one, to validate on.

    Which queries are held out depends on the queries and `seed` alone. Raises `InputError` for fewer than two.
    """
    if len(rows) < 2:
        raise InputError("there is one query only: the trainer needs one to learn from and one to validate with")
    learn, held = data.split_by_query(rows, share, seed)
    return (learn, held) if learn and held else (list(rows[1:]), list(rows[:1]))
