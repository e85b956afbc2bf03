"""What an audit says: one `Finding` a check and file, with numbers to act on.

Severities: `severe` makes the labels or an evaluation on them meaningless or teaches something certainly wrong;
`warning` should be looked at; `note` is a fact without alarm, so that a clean dataset shows what was checked.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["severe", "warning", "note"]

_EXAMPLES = 5
_CLIP = 48


@dataclass(frozen=True, slots=True)
class Finding:
    """`count` of `of` rows (or texts) of `file` show what `check` looks for; `summary` says it in words.

    `rows` are all row numbers from 1, `examples` the first few with their texts, `figures` named measurements; `other`
    is the second file of a finding about two.
    """

    check: str
    severity: Severity
    file: str
    summary: str
    count: int = 0
    of: int = 0
    rows: tuple[int, ...] = ()
    examples: tuple[str, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)
    other: str = ""


def examples(found: Iterable[tuple[int, str]]) -> tuple[str, ...]:
    """Show the first few of (row, text), each on one line and clipped."""
    shown: list[str] = []
    for row, text in found:
        if len(shown) == _EXAMPLES:
            break
        line = " ".join(text.split())
        shown.append(f"row {row}: {line[:_CLIP]}{'…' if len(line) > _CLIP else ''}")
    return tuple(shown)


def graded(value: float, warning: float, severe: float) -> Severity:
    """Grade `value` against two limits; reaching a limit counts."""
    return "severe" if value >= severe else "warning" if value >= warning else "note"
