"""The gates: no slope inside what is normal, and a fall outside it that no filler escapes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling.errors import InputError
from kindling.records import Case, Fact
from kindling.rl.rewards.ngrams import ngrams, units
from kindling.rl.rewards.shape import Diversity, LengthBand, Repetition, RequestsMet
from kindling.rl.rewards.terms import Answer

LINE = "春江潮水连海平，海上明月共潮生。滟滟随波千万里，何处春江无月明。"


def case_of(query, response):
    """A query that says "ten" asks for ten items, which all have; "short" asks for 30 characters at most."""
    facts = [Fact("items", "ten", "", True)] if "ten" in query else []
    facts += [Fact("brief", "short", "", len(response) <= 30)] if "short" in query else []
    return Case(query, response, tuple(facts))


def answers(*texts, query="q", facts=()):
    return [Answer(query, text, Case(query, text, facts), 0) for text in texts]


async def values(term, *texts, **options):
    return [score.value for score in await term.score(answers(*texts, **options))]


def references(query, *lengths, count=20):
    return [(f"{query} {n}", "字" * length) for n in range(count) for length in lengths]


async def test_missed_requests_multiply_and_met_ones_give_nothing_to_win():
    met, missed = Fact("items", "10", "10", True), Fact("characters", "8", "9", False)
    term = RequestsMet(unmet=0.3)
    for facts, value in ((), 1.0), ((met,), 1.0), ((met, missed), 0.3), ((missed, missed), 0.09):
        assert await values(term, "text", facts=facts) == [pytest.approx(value)]


@settings(max_examples=60)
@given(st.integers(0, 400), st.integers(0, 400))
async def test_the_length_band_is_flat_inside_and_falls_on_either_side(one, other):
    band = LengthBand(references("spring", 40, 50, 60, 70, 80), case_of)
    learned = await band.band("spring poem")
    short, long = sorted((one, other))
    first, second = await values(band, "字" * short, "字" * long, query="spring poem")
    if learned.low <= short and long <= learned.high:
        assert first == second == 1.0
    if learned.high <= short < long:
        assert second < first or first == second == 0.0
    if short < long <= learned.low:
        assert first < second or first == second == 0.0
    assert (await values(band, "字" * 400, query="spring poem")) == [0.0]


async def test_the_band_is_that_of_the_nearest_kind_of_query():
    known = references("elegy autumn", 100, 110, 120) + references("toast spring", 20, 24, 28)
    band = LengthBand(known, case_of, nearest=60)
    elegy, toast = await band.band("elegy"), await band.band("toast")
    assert toast.high < 40 < 90 < elegy.low + 15


def test_the_typical_length_is_known_before_anything_was_scored():
    band = LengthBand(references("elegy autumn", 100, 110, 120), case_of)
    assert band.typical("elegy") == 110
    assert band.typical("ten elegies") is None


async def test_a_query_that_asks_for_a_number_is_compared_with_queries_that_ask_for_the_same():
    known = references("ten poems", 400) + references("poems", 50) + references("short ten", 10, count=3)
    band = LengthBand(known, case_of)
    assert (await band.band("ten verses")).typical == 400
    assert (await band.band("verses")).typical == 50
    assert await band.band("short ten lines") is None, "too few references ask for this"
    assert await values(band, "字" * 5000, query="short ten lines") == [1.0]


async def test_references_that_miss_what_they_were_asked_for_do_not_set_the_band():
    known = references("poem", 60) + references("short poem", 20, 24, 28, 60, 70, 80, 90)
    band = LengthBand(known, case_of)
    assert (await band.band("short verse")).high < 40
    assert await values(band, "字" * 20, "字" * 60, query="short verse") == [1.0, 0.0]
    none_met = LengthBand(references("poem", 60) + references("short poem", 60, 70), case_of)
    assert await none_met.band("short verse") is None, "a band of them would forbid what the query asks for"


async def test_a_query_like_none_of_the_references_has_the_band_of_all_of_them():
    band = LengthBand(references("spring", 50), case_of)
    assert (await band.band("完全不同")).typical == 50


def test_a_band_needs_references_that_ask_for_no_size():
    with pytest.raises(InputError, match="no reference"):
        LengthBand(references("ten poems", 400), case_of)


async def test_repeating_a_good_text_falls_and_good_texts_do_not():
    term = Repetition([("q", LINE)] * 5)
    once, twice, five = await values(term, LINE, LINE * 2, LINE * 5)
    assert once == 1.0
    assert five == 0.0 <= twice < 0.2


@settings(max_examples=60)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
async def test_every_gate_stays_within_its_range_whatever_the_text(one, two, three):
    for term in (Repetition([("q", LINE)]), Diversity(), LengthBand([("q", LINE)], case_of), RequestsMet()):
        found = await values(term, one, two, three)
        assert all(0 <= value <= 1 for value in found)


async def test_copies_within_a_group_share_their_worth_and_other_groups_do_not_count():
    term = Diversity()
    other = "不同的文字写在这里，与前面没有一处相同。"
    group = await values(term, LINE, LINE + "！", LINE, other)
    assert group[:3] == [pytest.approx(1 / 3)] * 3
    assert group[3] == 1.0
    apart = [Answer("q", LINE, Case("q", LINE), 0), Answer("r", LINE, Case("r", LINE), 1)]
    assert [score.value for score in await term.score(apart)] == [1.0, 1.0]


async def test_the_order_of_a_batch_changes_nothing():
    term = Diversity()
    texts = [LINE, "甲乙丙丁", LINE, LINE[:20]]
    rows = [Answer(f"q{n % 2}", text, Case("q", text), n % 2) for n, text in enumerate(texts)]
    forward = [score.value for score in await term.score(rows)]
    assert [score.value for score in await term.score(rows[::-1])] == forward[::-1]


def test_units_are_characters_in_chinese_and_words_elsewhere():
    assert units("春天 Hello, ＷＯＲＬＤ 42！") == ["春", "天", "hello", "world", "42"]
    assert ngrams("一二", 3) == {("一", "二"): 1}
    assert ngrams("？！", 3) == {}
