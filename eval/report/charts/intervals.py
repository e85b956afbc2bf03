"""Values with their intervals on a common axis: a dot, a whisker, and the limit that it has to keep."""

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from markupsafe import Markup

from kindling.eval.intervals import Estimate
from kindling.eval.report.charts.scale import Scale, scale
from kindling.eval.report.charts.svg import across, block, dot, drawing, label, node, upright

LEFT, RIGHT, HEIGHT = 3.0, 97.0, 22.0
WIDE = 0.3  # a share whose name fits under it on a telephone


def axis_of(values: Iterable[float | None], least: Iterable[float] = (0.0, 1.0)) -> Scale:
    """A scale that holds all of `values`, and `least` whatever they are."""
    return scale((*(value for value in values if value is not None), *least), LEFT, RIGHT, 5)


def whisker(title: str, estimate: Estimate, axis: Scale, tone: str, limit: float | None = None) -> Markup:
    """Draw a row: the estimate as a dot with its interval, the limit as an upright bar."""
    middle = HEIGHT / 2
    parts = [upright(axis(tick), 0, HEIGHT, "grid") for tick in axis.ticks]
    if limit is not None:
        parts.append(upright(axis(limit), 2, HEIGHT - 2, "limit"))
    if estimate.low is not None and estimate.high is not None:
        parts.append(across(axis(estimate.low), axis(estimate.high), middle, f"whisker {tone}"))
    if estimate.value is not None:
        parts.append(dot(axis(estimate.value), middle, 4.5, f"dot {tone}"))
    said = f"{estimate}" + ("" if limit is None else f"; the limit is {limit:g}")
    return drawing(title, said, HEIGHT, parts, "whiskers")


def ruler(axis: Scale, name: str) -> Markup:
    """Draw the axis that the rows above share; `name` is what it measures."""
    parts: list[Element] = [across(LEFT, RIGHT, 0.5, "axis")]
    for tick in axis.ticks:
        at = axis(tick)
        parts += [upright(at, 0, 4, "axis"), label(at, 16, axis.words(tick), "tick", "middle")]
    return drawing(name, f"from {axis.words(axis.low)} to {axis.words(axis.high)}", 20, parts, "whiskers")


def shares(title: str, words: str, parts: Sequence[tuple[str, float, str]]) -> Markup:
    """Draw one bar of (name, share, tone) in order; the first, the last and what is wide enough carry their names."""
    drawn: list[Element] = []
    at = 0.0
    for place, (name, share, tone) in enumerate(parts):
        end = at + 100 * share
        drawn.append(node("g", (node("title", f"{name}: {share:.1%}"), block(at, end - 0.2, 0, 30, f"part {tone}"))))
        last = place > 0 and place == len(parts) - 1
        if last or share >= WIDE:
            drawn.append(label(end if last else at, 46, f"{name} {share:.0%}", "tick", "end" if last else "start"))
        at = end
    return drawing(title, words, 52, drawn, "shares")
