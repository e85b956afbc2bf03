"""Elements of a drawing, and their serialisation for HTML."""

from collections.abc import Iterable
from xml.etree.ElementTree import Element, tostring

from markupsafe import Markup

from kindling.eval.report.words import visible

Value = str | float


def node(tag: str, inside: "Iterable[Element] | str" = (), **attributes: Value | None) -> Element:
    """Make an element: `class_` is class, `text_anchor` is text-anchor; numbers are rounded, None is left out."""
    given = {_name(name): _value(value) for name, value in attributes.items() if value is not None}
    made = Element(tag, given)
    if isinstance(inside, str):
        made.text = visible(inside)
    else:
        made.extend(inside)
    return made


def drawing(title: str, words: str, height: float, inside: Iterable[Element], kind: str) -> Markup:
    """Make a whole drawing as wide as its place and `height` pixels high; `words` describe it to who cannot see it."""
    told = (node("title", title), node("desc", words))
    made = node("svg", (*told, *inside), class_=kind, width="100%", height=height, role="img")
    return Markup(tostring(made, encoding="unicode", short_empty_elements=False))  # noqa: S704 - escaped by ElementTree


def label(x: float, y: float, text: str, kind: str, anchor: str = "start", shift: float | None = None) -> Element:
    """Text at `x` percent and `y` pixels, moved sideways by `shift` pixels."""
    return node("text", text, x=f"{x:.2f}%", y=y, dx=shift, class_=kind, text_anchor=anchor)


def across(left: float, right: float, y: float, kind: str) -> Element:
    """A level line."""
    return node("line", x1=f"{left:.2f}%", x2=f"{right:.2f}%", y1=y, y2=y, class_=kind)


def upright(x: float, top: float, bottom: float, kind: str) -> Element:
    """A vertical line."""
    return node("line", x1=f"{x:.2f}%", x2=f"{x:.2f}%", y1=top, y2=bottom, class_=kind)


def block(left: float, right: float, top: float, bottom: float, kind: str) -> Element:
    """A filled rectangle from `left` to `right` percent."""
    width, height = max(0.0, right - left), max(0.0, bottom - top)
    return node("rect", x=f"{left:.2f}%", y=top, width=f"{width:.2f}%", height=height, class_=kind)


def dot(x: float, y: float, radius: float, kind: str) -> Element:
    """A filled circle."""
    return node("circle", cx=f"{x:.2f}%", cy=y, r=radius, class_=kind)


def _name(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _value(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
