"""Intake: no row vanishes, no two queries are the same request, and junk is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindling.errors import InputError
from kindling.graphs.intake import junk, normalise, read_queries, take_in
from kindling.records import request_key


@given(st.lists(st.text(max_size=30), max_size=30))
def test_rows_in_are_queries_and_drops_out(texts):
    intake = take_in(texts, "zh", 200)
    rows = [query.row for query in intake.queries] + [one.query.row for one in intake.dropped]
    assert sorted(rows) == list(range(len(texts)))
    assert all(one.status == "dropped" and one.reason for one in intake.dropped)
    duplicates = sum(one.reason == "duplicate" for one in intake.dropped)
    assert sum(query.count for query in intake.queries) == len(intake.queries) + duplicates


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_more(text):
    once = normalise(text)
    assert normalise(once) == once


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("祝妈妈 生日快乐", "祝妈妈生日快乐"),
        ("短句,人生", "短句，人生。"),
        ("18岁寄语", "１８岁寄语"),
        ("Happy Day", "happy day"),
    ],
)
def test_the_same_request_written_differently_is_a_duplicate(one, other):
    intake = take_in([one, other], "zh", 200)
    assert [query.count for query in intake.queries] == [2]
    assert request_key(one) == request_key(other)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("   ", "empty"),
        ("!!!???", "too_few_letters"),
        ("12345", "too_few_letters"),
        ("看这里 www.example.com", "link"),
        ("写信到 a@b.cn 领取", "link"),
        ("寄语\x07寄语", "garbled"),
        ("�寄语�", "garbled"),
        ("哈哈哈哈哈哈哈哈", "repeated_character"),
        ("ئۇيغۇر تىلى", "other_script"),
        ("长" * 3 + "短" * 3 + "句子" * 120, "too_long"),
    ],
)
def test_junk_is_dropped_with_its_reason(text, why):
    assert junk(normalise(text), "zh", 200) == why


@pytest.mark.parametrize("text", ["贺词", "四字贺词", "送 boss 的话", "怎么说？", "2025最火短句", "congratulations"])
def test_real_requests_are_kept(text):
    assert junk(normalise(text), "zh", 200) is None


def test_a_zero_width_space_does_not_make_another_query():
    assert len(take_in(["中秋寄语", "中秋\u200b寄语"], "zh", 200).queries) == 1


def test_a_file_is_taken_in_by_column_as_far_as_it_is_wanted_and_refused_if_it_asks_for_nothing(tmp_path):
    file = tmp_path / "q.csv"
    file.write_text("ask,query\n中秋寄语,\n,x\n端午寄语,x\n", encoding="utf-8")
    assert [query.text for query in read_queries(file, "zh", 200, column="ask").queries] == ["中秋寄语", "端午寄语"]
    assert len(read_queries(file, "zh", 200, column="ask", limit=2).queries) == 1
    with pytest.raises(InputError, match=r"q\.csv: none of its 3 rows is a usable query \(empty, too_few_letters"):
        read_queries(file, "zh", 200)
