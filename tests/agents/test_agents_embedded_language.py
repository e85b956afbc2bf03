"""Units and clauses of two languages, and the checks that go by them, on English texts."""

import pytest

from kindling.agents.embedded.cast import embedded_examiner
from kindling.agents.embedded.language import LANGUAGES
from kindling.prompts.taskpack import load_pack
from kindling.records import Case

ZH, EN = LANGUAGES["zh"], LANGUAGES["en"]
EXAMINER = embedded_examiner(load_pack("slogans"))


def found(query, text):
    return {one.check for one in EXAMINER.examine(Case(query, text))}


def test_a_unit_is_a_character_or_a_word():
    assert [unit.text for unit in ZH.units("灯亮 ok。")] == ["灯", "亮", "o", "k"]
    assert [(unit.text, unit.start) for unit in EN.units("Don't  stop: go-cart!")] == [
        ("don't", 0),
        ("stop", 7),
        ("go-cart", 13),
    ]


def test_clauses_end_at_marks_and_in_chinese_at_spaces():
    assert [clause.text for clause in ZH.clauses("灯亮着，路不远。 慢走")] == ["灯亮着", "路不远", "慢走"]
    assert [clause.text for clause in EN.clauses("Rain outside. Dry, at last! ")] == ["Rain outside", "Dry", "at last"]


@pytest.mark.parametrize("text", ["", " ", "...", "\n", "🎂", "a" * 5000, "'", "-"])
@pytest.mark.parametrize("language", [ZH, EN])
def test_no_text_is_too_odd(language, text):
    for clause in [*language.clauses(text), *language.stretches(text)]:
        assert clause.text.strip() == clause.text != ""
        assert all(text[unit.start : unit.start + len(unit.text)].casefold() == unit.text for unit in clause.units)
    assert isinstance(language.excerpt(text), str)


@pytest.mark.parametrize(
    ("text", "check", "there"),
    [
        ("Rain outside. Dry inside.", "parallel", True),
        ("More road. Less rain.", "repetition", False),
        ("Dry inside. Rain. Dry inside.", "repetition", True),
        ("A roof that walks home with you", "unfinished", False),
        ("A roof that walks hom", "unfinished", True),
        ("A roof for the", "unfinished", True),
        ("Dry inside. Rain outs", "unfinished", True),
        ("The the umbrella", "broken", True),
        ("Dry shoes.\nWarm feet.", "several_lines", True),
        ("Dry shoes. 干鞋。", "mixed_language", True),
        ("An umbrella. For students. Warm socks.", "wrong_audience", True),
        ("An umbrella. For commuters. Warm socks.", "wrong_audience", False),
        ("The world's best umbrella.", "overclaims", True),
        ("Leveraging synergies in the rain.", "jargon", True),
    ],
)
def test_checks_read_english(text, check, there):
    assert (check in found("slogan for an umbrella for commuters", text)) == there


def test_several_lines_are_fine_where_several_were_asked_for():
    assert "several_lines" not in found("three slogans for an umbrella", "Dry shoes.\nDry socks.\nDry wit.")


def test_words_of_the_request_that_come_back_are_noticed_and_plain_ones_are_not():
    assert "knows_request" in found("slogan for an umbrella with a bamboo handle", "A bamboo roof.")
    assert "knows_request" not in found("slogan for an umbrella, under 8 words", "Under the rain, with words.")


def test_text_of_any_length_is_examined_in_no_time():
    for text in ("the " * 5000, "a" * 20_000, "stationment " * 2000, "Aaa bbb ccc ddd eee. " * 900, "." * 20_000):
        EXAMINER.examine(Case("slogan for a tent", text))
