"""A measure over the steps of a run: every step a dot, the mean of the latest few a line, and the range it may be in.

What lies outside the allowed range is shaded, so that nearness to it can be seen; where a run was stopped for this
measure, its last point is ringed and says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from xml.etree.ElementTree import Element

from markupsafe import Markup

from kindling.eval.report.charts.scale import Scale, scale
from kindling.eval.report.charts.svg import across, block, dot, drawing, label, node, upright
from kindling.eval.report.words import number

LEFT, RIGHT, TOP, BOTTOM, HEIGHT = 13.0, 98.0, 14.0, 142.0, 164.0
ROOM = 0.07  # of the height, beyond what is drawn
MOST_DOTS = 400
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Allowed:
    """The range that a measure has to keep; None is open."""

    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> tuple[float, ...]:
        """The ends that there are."""
        return tuple(end for end in (self.low, self.high) if end is not None)

    def __str__(self) -> str:
        """`at most 0.5`, `0.2 to 0.6`."""
        if self.low is None or self.high is None:
            return f"at most {number(self.high)}" if self.low is None else f"at least {number(self.low)}"
        return f"{number(self.low)} to {number(self.high)}"


@dataclass(frozen=True, slots=True)
class Curve:
    """What is drawn: `points` are (step, value); the line is the mean of the latest `window` of them.

    `within` are values, and `first` a step, that the axes hold whatever the points are.
    """

    title: str
    points: Points
    window: int = 1
    allowed: Allowed = Allowed()
    within: tuple[float, ...] = ()
    first: float | None = None
    breached: bool = False
    steps: str = "step"


def lines(curve: Curve) -> Markup:
    """Draw a curve; it must have a point."""
    xs = [x for x, _ in curve.points] + ([] if curve.first is None else [curve.first])
    values = [y for _, y in curve.points]
    x = scale(xs, LEFT, RIGHT, 4, exact=True)
    y = _height((*values, *curve.allowed.ends, *curve.within))
    parts = [*_range(curve.allowed, y), *_axes(x, y, curve), *_data(curve, x, y)]
    return drawing(curve.title, _told(curve), HEIGHT, parts, "lines")


def _height(values: Sequence[float]) -> Scale:
    """A scale with some room above and below, none below 0 for what is never negative."""
    low, high = min(values), max(values)
    room = ROOM * (high - low)
    return scale((low - room if low < 0 or low > 2 * room else min(low, 0.0), high + room), BOTTOM, TOP, 4, exact=True)


def smoothed(points: Points, window: int) -> list[tuple[float, float]]:
    """The mean of each value and those before it, `window` in all; the first ones of as many as there are."""
    values = [value for _, value in points]
    return [(x, fmean(values[max(0, place - window + 1) : place + 1])) for place, (x, _) in enumerate(points)]


def _range(allowed: Allowed, y: Scale) -> list[Element]:
    parts = []
    for end, edge in ((allowed.high, TOP), (allowed.low, BOTTOM)):
        if end is not None:
            top, bottom = sorted((y(end), edge))
            parts += [block(LEFT, RIGHT, top, bottom, "outside"), across(LEFT, RIGHT, y(end), "limit")]
            parts.append(label(LEFT, y(end) + (-4 if edge == TOP else 12), f"limit {number(end)}", "limit", "start", 4))
    return parts


def _axes(x: Scale, y: Scale, curve: Curve) -> list[Element]:
    parts = []
    for tick in y.ticks:
        parts.append(across(LEFT, RIGHT, y(tick), "grid"))
        parts.append(label(LEFT, y(tick) + 4, y.words(tick), "tick", "end", -6))
    shown = [tick for tick in x.ticks if tick == round(tick)]
    for tick in shown:
        parts.append(upright(x(tick), BOTTOM, BOTTOM + 4, "axis"))
        parts.append(label(x(tick), BOTTOM + 17, x.words(tick), "tick", "middle"))
    return [*parts, label(LEFT, BOTTOM + 17, curve.steps, "name", "end", -6)]


def _data(curve: Curve, x: Scale, y: Scale) -> list[Element]:
    points = thinned(curve.points)
    parts = [dot(x(at), y(value), 1.7, "point") for at, value in points] if curve.window > 1 or len(points) < 3 else []
    line = smoothed(curve.points, curve.window)
    if len(line) > 1:
        parts.append(_path(line, x, y))
    at, last = line[-1]
    parts.append(dot(x(at), y(last), 3.2, "end"))
    if curve.breached:
        parts += [dot(x(at), y(last), 8, "ring"), upright(x(at), TOP, BOTTOM, "breach")]
        parts.append(label(x(at), TOP - 3, f"stopped at {curve.steps} {at:,.0f}", "breach", "end"))
    return parts


def _path(points: Points, x: Scale, y: Scale) -> Element:
    """The line, in a drawing of its own whose width is stretched."""
    width = 1000.0
    across_ = Scale(x.low, x.high, 0, width, x.step)
    drawn = " ".join(f"{across_(at):.1f},{y(value) - TOP:.1f}" for at, value in points)
    line = node("polyline", points=drawn, class_="line", vector_effect="non-scaling-stroke")
    box = f"0 0 {width:.0f} {BOTTOM - TOP:.0f}"
    return node(
        "svg", (line,), x=f"{LEFT}%", y=TOP, width=f"{RIGHT - LEFT}%", height=BOTTOM - TOP, viewBox=box,
        preserveAspectRatio="none", class_="stretched",
    )  # fmt: skip


def thinned(points: Points) -> Points:
    """At most `MOST_DOTS` of the points, evenly spread, the last one among them."""
    every = -(-len(points) // MOST_DOTS)
    return points[::-1][::every][::-1]


def _told(curve: Curve) -> str:
    """The chart in words."""
    (first, start), (last, end) = curve.points[0], curve.points[-1]
    values = [value for _, value in curve.points]
    said = [
        f"{number(start)} at {curve.steps} {first:,.0f}, {number(end)} at {curve.steps} {last:,.0f};",
        f"between {number(min(values))} and {number(max(values))}.",
    ]
    if curve.allowed.ends:
        said.append(f"Allowed: {curve.allowed}.")
    if curve.breached:
        said.append(f"The run was stopped here at {curve.steps} {last:,.0f}.")
    return " ".join(said)
