"""What a report is made of: chapters of sections of blocks. `form` names the macro of page/blocks.html.j2 for it.

All strings are plain text; only drawings, which escape their own, are `Markup`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from markupsafe import Markup

from kindling.eval.report.browsing import Records

Tone = Literal["", "good", "bad", "none", "alarm", "quiet", "accent"]


@dataclass(frozen=True, slots=True)
class Tag:
    """A few words that are set off; `tone` is a class of the style sheet."""

    words: str
    tone: Tone = ""


Cell = str | int | float | None | Tag


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that matters, what it is, and what to know of it."""

    value: str
    name: str
    note: str = ""
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph."""

    form: ClassVar[str] = "words"
    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that must not be overlooked, with further lines."""

    form: ClassVar[str] = "notice"
    title: str
    lines: tuple[str, ...] = ()
    tone: Tone = "alarm"


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing under its title; `unit` says what the axis measures, `note` how to read it."""

    form: ClassVar[str] = "chart"
    title: str
    unit: str
    svg: Markup
    note: str = ""


@dataclass(frozen=True, slots=True)
class Charts:
    """Small drawings side by side, as many as there is room for."""

    form: ClassVar[str] = "charts"
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their heads; numbers are set to the right. `swatches` are tones shown before the rows."""

    form: ClassVar[str] = "table"
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    swatches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A value with its interval: `svg` on its table's axis, `wants` the limit in words, `tag` whether it holds."""

    name: str
    svg: Markup
    value: str
    interval: str
    wants: str = ""
    tag: Tag | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Rows on one axis; `ruler` draws the axis."""

    form: ClassVar[str] = "intervals"
    head: str
    rows: tuple[Row, ...]
    ruler: Markup
    caption: str = ""


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """A value and its interval in words; `tone` says who is ahead, where that can be said."""

    value: str
    note: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Matrix:
    """Everybody against everybody: a row and a column for each name, None on the diagonal."""

    form: ClassVar[str] = "matrix"
    names: tuple[str, ...]
    cells: tuple[tuple[MatrixCell | None, ...], ...]
    caption: str


@dataclass(frozen=True, slots=True)
class Point:
    """A sentence that is set off by its tag."""

    tag: Tag
    text: str


@dataclass(frozen=True, slots=True)
class Points:
    """Sentences, one under the other."""

    form: ClassVar[str] = "points"
    items: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with their values."""

    form: ClassVar[str] = "facts"
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines as somebody would type them, or read them in a list where `numbered`."""

    form: ClassVar[str] = "lines"
    lines: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A line of a difference: `sign` is +, − or a space, `parts` its text in (words, whether they changed)."""

    sign: str
    parts: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What a proposal changes, what became of it and why, and its measured effect."""

    form: ClassVar[str] = "difference"
    title: str
    tag: Tag
    why: str
    effect: tuple[tuple[str, str], ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found in data: how grave, by which check, in words, with examples and row numbers."""

    form: ClassVar[str] = "finding"
    tag: Tag
    check: str
    text: str
    examples: tuple[str, ...] = ()
    rows: str = ""


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks that are there for who wants them."""

    form: ClassVar[str] = "folded"
    title: str
    blocks: "tuple[Block, ...]"


Block = (
    Words | Notice | Chart | Charts | Table | Intervals | Matrix | Points | Facts | Lines | Difference | Finding
    | Folded | Records
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under a title; `name` is unique in its chapter and stands in addresses."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A run: what it is, how it ended, its numbers at a glance, and its sections.

    `kind` is the command that made it, `lead` one sentence; `facts` are a few short ones about when and how long;
    `made` is when it was started (ISO 8601), which orders chapters; `language` is that of its texts.
    """

    kind: str
    title: str
    status: Tag
    lead: str
    facts: tuple[str, ...]
    figures: tuple[Figure, ...]
    sections: tuple[Section, ...]
    notice: Notice | None = None
    made: str = ""
    language: str = ""
