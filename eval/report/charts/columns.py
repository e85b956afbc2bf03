"""Counts as columns: a histogram, or the stacked outcomes of rounds; and values before and after, round by round."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from markupsafe import Markup

from kindling.eval.report.charts.lines import BOTTOM, HEIGHT, LEFT, RIGHT, TOP
from kindling.eval.report.charts.scale import Scale, scale
from kindling.eval.report.charts.svg import across, block, dot, drawing, label, node, upright
from kindling.eval.report.words import number


@dataclass(frozen=True, slots=True)
class Column:
    """A column of (name, count, tone), from the bottom; `name` stands under it where it is not empty."""

    name: str
    parts: tuple[tuple[str, int, str], ...]

    @property
    def total(self) -> int:
        """Its height."""
        return sum(count for _, count, _ in self.parts)


@dataclass(frozen=True, slots=True)
class Change:
    """A value before and after a proposal of the round `name`; `low` and `high` are the interval of `after`."""

    name: str
    before: float
    after: float
    low: float | None
    high: float | None
    accepted: bool


def columns(title: str, words: str, of: Sequence[Column], x_name: str, gap: float = 0.25) -> Markup:
    """Draw stacked columns; `gap` is the share of a column's place that stays empty."""
    y = scale((0, max(1, *(column.total for column in of))), BOTTOM, TOP, 4)
    width = (RIGHT - LEFT) / len(of)
    parts = [*_levels(y)]
    for place, column in enumerate(of):
        left = LEFT + width * (place + gap / 2)
        bottom = 0
        for name, count, tone in column.parts:
            if count:
                said = node("title", f"{column.name} {name}: {count:,}".strip())
                shape = block(left, left + width * (1 - gap), y(bottom + count), y(bottom), f"part {tone}")
                parts.append(node("g", (said, shape)))
                bottom += count
    return drawing(title, words, HEIGHT, [*parts, *_names([one.name for one in of], x_name)], "columns")


def changes(title: str, words: str, rounds: Sequence[str], of: Sequence[Change], x_name: str) -> Markup:
    """Draw each change as an arrow from a hollow to a filled dot, above the round that it belongs to."""
    known = [value for one in of for value in (one.before, one.after, one.low, one.high) if value is not None]
    y = scale((0.0, *known), BOTTOM, TOP, 4)
    width = (RIGHT - LEFT) / len(rounds)
    parts = [*_levels(y)]
    for one in of:
        siblings = [other for other in of if other.name == one.name]
        place = rounds.index(one.name) + (siblings.index(one) + 1) / (len(siblings) + 1)
        at, tone = LEFT + width * place, "accepted" if one.accepted else "refused"
        if one.low is not None and one.high is not None:
            parts.append(upright(at, y(one.high), y(one.low), f"whisker {tone}"))
        parts += [upright(at, y(one.before), y(one.after), f"shift {tone}"), dot(at, y(one.before), 3.5, "hollow")]
        parts += [dot(at, y(one.after), 4.5, f"dot {tone}"), _value(at, y, one)]
    return drawing(title, words, HEIGHT, [*parts, *_names(list(rounds), x_name)], "columns")


def _value(at: float, y: Scale, one: Change) -> Element:
    return label(at, y(one.after) + 4, number(one.after), "tick", "start", 8)


def _levels(y: Scale) -> list[Element]:
    parts = []
    for tick in y.ticks:
        parts += [across(LEFT, RIGHT, y(tick), "grid"), label(LEFT, y(tick) + 4, y.words(tick), "tick", "end", -6)]
    return parts


def _names(names: Sequence[str], x_name: str) -> list[Element]:
    width = (RIGHT - LEFT) / len(names)
    under = [
        label(LEFT + width * (place + 0.5), BOTTOM + 17, name, "tick", "middle") for place, name in enumerate(names)
    ]
    return [*under, label(LEFT, BOTTOM + 17, x_name, "name", "end", -6)]
