"""What people read while and after a command works: one progress line, plain tables, money and durations.

Everything here goes to standard error except results; with `--json` standard output holds one JSON document and nothing
else. What users, files and endpoints wrote is shown as it is: strings are never markup (styles come as `Text`), and
characters that command a terminal are replaced.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from kindling.runs import duration as duration

# rich measures by display width, so Chinese cells align
# a line outside a table is never folded: it may hold a path that somebody copies
out = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
err = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)

_COMMANDS = dict.fromkeys(
    (*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"
)


def plain(text: str) -> str:
    """`text` without characters that move the cursor, change colours or turn the direction of writing."""
    return text.translate(_COMMANDS)


class Advance(Protocol):
    """Shows `done` of the total, and a few words about rate and cost."""

    def __call__(self, done: int, words: str = "") -> None:
        """Update the line."""
        ...


@contextmanager
def progress(title: str, total: int, *, quiet: bool = False) -> Iterator[Advance]:
    """A progress line on standard error while the block runs; none where standard error is no terminal."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, disable=quiet or not err.is_terminal) as bar:
        task = bar.add_task(title, total=total, words="")
        yield lambda done, words="": bar.update(task, completed=done, words=words)


def table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """A table on standard output; none if it has no rows.

    Columns whose cells are all numbers are right-aligned, `Text` keeps its style. Only the last column is folded where
    the terminal is narrow, so what is left of it must be short.
    """
    if not rows:
        return
    out.print(plain(title), style="bold")
    made = Table(show_edge=False, pad_edge=False)
    for index, name in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in rows)
        last = index == len(columns) - 1
        made.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=not last)
    for row in rows:
        made.add_row(*map(_cell, row))
    out.print(made, soft_wrap=False)
    out.print()


def _cell(value: Any) -> str | Text:
    if isinstance(value, Text):
        return value
    return f"{value:,}" if isinstance(value, int) else plain(str(value))


def note(text: str) -> None:
    """One line for people, on standard error."""
    err.print(plain(text))


def answer(data: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n")
