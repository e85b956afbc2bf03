"""Recorded candidates: found by the request, in file order; what is missing or blank is no candidate."""

import pytest

from kindling.agents.recorded import RecordedGenerator
from kindling.errors import CallError, InputError
from kindling.records import Query
from kindling.tables import write_jsonl


async def test_responses_come_in_file_order_to_the_same_request_however_it_is_written(tmp_path):
    rows = [("Q 一？", "a"), ("另一个", "x"), ("q一", "b"), ("Q一", "  ")]
    write_jsonl(tmp_path / "old.jsonl", [{"query": query, "response": text} for query, text in rows])
    generator = RecordedGenerator(tmp_path / "old.jsonl")
    assert [(await generator.generate(Query("q一"), (), index)).text for index in (0, 1)] == ["a", "b"]
    with pytest.raises(CallError, match=r"response 3 .* is blank"):
        await generator.generate(Query("q一"), (), 2)
    with pytest.raises(CallError, match="has 3 responses"):
        await generator.generate(Query("q一"), (), 3)
    with pytest.raises(CallError, match="has 0 responses"):
        await generator.generate(Query("没有"), (), 0)


def test_what_is_no_text_is_refused_with_its_row(tmp_path):
    write_jsonl(tmp_path / "old.jsonl", [{"query": "q", "response": "a"}, {"query": "q", "response": 7}])
    with pytest.raises(InputError, match="row 2: query and response must be text"):
        RecordedGenerator(tmp_path / "old.jsonl")
