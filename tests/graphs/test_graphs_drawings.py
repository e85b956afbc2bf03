"""What the page shows is what is compiled."""

from tests.graphs.draw import PAGE, drawings, page_with


def test_the_page_shows_the_graphs_as_they_are_compiled():
    assert PAGE.read_text(encoding="utf-8") == page_with(drawings()), "run: python -m tests.graphs.draw"


def test_the_drawings_show_every_step():
    drawn = drawings()
    for edge in (
        "generate -.-> debate",
        "debate --> pair",
        "positive --> judge",
        "negative --> judge",
        "judge -.-> reflect",
        "detect -.-> sharpen",
        "explain -.-> propose",
        "propose --> gate",
        "gate -.-> propose",
        "close -.-> sample",
    ):
        assert edge in drawn
