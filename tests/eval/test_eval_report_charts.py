"""Charts: ticks are round and lie where they say, nothing is outside the drawing, every text is escaped."""

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling.eval.intervals import Estimate
from kindling.eval.report.charts.columns import Change, Column, changes, columns
from kindling.eval.report.charts.intervals import axis_of, ruler, shares, whisker
from kindling.eval.report.charts.lines import MOST_DOTS, Allowed, Curve, lines, smoothed, thinned
from kindling.eval.report.charts.scale import scale
from kindling.eval.report.words import number, visible
from tests.runs_on_disk import HOSTILE

VALUES = st.lists(st.floats(-1e9, 1e9).map(lambda value: round(value, 6)), min_size=1, max_size=20)


def texts(svg):
    return ["".join(one.itertext()) for one in ElementTree.fromstring(svg).iter() if one.tag.endswith("text")]


def percents(svg):
    """Every sideways place of the outer drawing."""
    for one in ElementTree.fromstring(svg).iter():
        for name in ("x", "x1", "x2", "cx"):
            if one.get(name, "").endswith("%"):
                yield float(one.get(name)[:-1])


@settings(max_examples=200)
@given(VALUES, st.integers(2, 8), st.booleans())
def test_ticks_are_round_and_lie_where_they_say(values, most, exact):
    made = scale(values, 0, 100, most, exact=exact)
    mantissa = made.step / 10 ** math.floor(math.log10(made.step) + 1e-9)
    assert round(mantissa, 6) in (1, 2, 5)
    assert len(made.ticks) <= most + 2
    for tick in made.ticks:
        assert math.isclose(tick / made.step, round(tick / made.step), abs_tol=1e-6)
        shown = float(made.words(tick).replace(",", "").replace("−", "-"))
        assert math.isclose(shown, tick, rel_tol=1e-9, abs_tol=made.step * 1e-6)
    for value in values:
        assert -1e-6 <= made(value) <= 100 + 1e-6
    if not exact:
        assert made.ticks[0] <= min(values) + 1e-6 * made.step
        assert made.ticks[-1] >= max(values) - 1e-6 * made.step


@settings(max_examples=100)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(1, 8))
def test_any_curve_is_drawn_inside_its_drawing(values, window):
    svg = lines(Curve("t", [(step + 1.0, value) for step, value in enumerate(values)], window, Allowed(-1.0, 1.0)))
    assert "nan" not in svg
    assert all(-0.01 <= place <= 100.01 for place in percents(svg))
    for dot in ElementTree.fromstring(svg).iter():
        if dot.get("cy"):
            assert 0 <= float(dot.get("cy")) <= 164


def test_the_line_is_the_mean_of_the_latest_and_the_last_point_is_kept():
    points = [(1.0, 1.0), (2.0, 3.0), (3.0, 5.0)]
    assert smoothed(points, 2) == [(1.0, 1.0), (2.0, 2.0), (3.0, 4.0)]
    many = [(float(step), 0.0) for step in range(5 * MOST_DOTS + 3)]
    assert len(thinned(many)) <= MOST_DOTS
    assert thinned(many)[-1] == many[-1]


def test_a_breach_and_its_limit_are_marked_and_told():
    svg = lines(Curve("Length", [(1.0, 0.1), (14.0, 0.2)], 1, Allowed(-0.3, 0.15), breached=True))
    assert "stopped at step 14" in texts(svg)
    assert {"limit 0.15", "limit −0.3"} <= set(texts(svg))
    told = ElementTree.fromstring(svg).find("desc").text
    assert "Allowed: −0.3 to 0.15. The run was stopped here at step 14." in told
    quiet = lines(Curve("Length", [(1.0, 0.1), (14.0, 0.2)], 1, Allowed(-0.3, 0.15)))
    assert not any("stopped" in text for text in texts(quiet))


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_cannot_leave_their_element(text):
    for svg in (
        lines(Curve(text, [(1.0, 1.0)])),
        whisker(text, Estimate(0.5, 0.4, 0.6), axis_of(()), "good", 0.5),
        ruler(axis_of(()), text),
        shares(text, text, ((text, 0.5, "good"), (text, 0.5, "bad"))),
        columns(text, text, (Column(text, ((text, 3, "good"),)),), text),
        changes(text, text, (text,), (Change(text, 0.1, 0.2, 0.0, 0.4, accepted=True),), text),
    ):
        root = ElementTree.fromstring(svg)  # raises where a text has broken out of its place
        assert root.find("title").text
        assert {one.tag for one in root.iter()} <= {
            "svg", "title", "desc", "g", "text", "line", "rect", "circle", "polyline",
        }  # fmt: skip
        assert visible(text) == text or text not in svg


def test_a_chart_without_an_interval_or_with_one_value_is_still_one():
    assert "–" not in texts(whisker("t", Estimate(), axis_of([0.5]), "quiet"))
    assert texts(columns("t", "", (Column("", ()),), "x"))[0] == "0.0"
    assert lines(Curve("t", [(1.0, 0.0)]))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (0, "0"),
        (1234567, "1,234,567"),
        (-0.25, "−0.25"),
        (0.12345, "0.123"),
        (1e-7, "1.0e−07"),
        (412.6, "413"),
    ],
)
def test_numbers_in_words(value, said):
    assert number(value) == said


def test_what_cannot_be_seen_is_named_and_what_makes_a_sign_stays():
    assert visible("a\u202eb\u2028c\x00\x1b") == "a[U+202E]b[U+2028]c[U+0000][U+001B]"
    family = "👨\u200d👩\u200d👧❤\ufe0f"
    assert visible(f"一\n\t二{family}") == f"一\n\t二{family}"
