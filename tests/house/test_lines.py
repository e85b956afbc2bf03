"""A file of lines that only grows: whatever tore its end, whole lines stay and none is begun inside another."""

import resource
from contextlib import closing

import orjson
import pytest

from kindling.errors import RunFolderError
from kindling.lines import BLOCK, Lines


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lines.jsonl"


def fill(path, *records):
    with closing(Lines(path)) as lines:
        return [lines.append(record) for record in records]


def read(path):
    with closing(Lines(path)) as lines:
        return list(lines)


def test_lines_come_back_with_their_places_in_the_order_they_came(path):
    places = fill(path, "一", {"b": 2}, [3])
    assert [(place, orjson.loads(line)) for place, line in read(path)] == list(
        zip(places, ("一", {"b": 2}, [3]), strict=True)
    )
    with path.open("rb") as file:
        file.seek(places[1])
        assert file.readline() == b'{"b":2}\n'


def test_a_line_torn_at_any_byte_is_cut_off_and_costs_no_other(path):
    fill(path, "first", "second")
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        (place,) = fill(path, "next")
        found = [orjson.loads(line) for _, line in read(path)]
        assert found == [*["first", "second"][: whole[:cut].count(b"\n")], "next"], f"cut at byte {cut}"
        assert place == path.stat().st_size - len(b'"next"\n')


@pytest.mark.parametrize("length", [BLOCK - 2, BLOCK - 1, BLOCK, 3 * BLOCK + 7])
def test_a_torn_line_may_be_longer_than_what_is_read_at_once(path, length):
    fill(path, "first")
    path.write_bytes(path.read_bytes() + b"x" * length)
    assert [orjson.loads(line) for _, line in read(path)] == ["first"]
    path.write_bytes(b"x" * length)
    assert read(path) == []
    assert path.stat().st_size == 0


def test_a_full_disk_leaves_the_file_as_it_was(path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(Lines(path)) as lines:
        lines.append("first")
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
            with pytest.raises(RunFolderError, match="the disk is full"):
                lines.append("x" * 99)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        lines.append("second")
    assert [orjson.loads(line) for _, line in read(path)] == ["first", "second"]


def test_what_is_no_json_is_refused_before_anything_is_written(path):
    with closing(Lines(path)) as lines, pytest.raises(TypeError):
        lines.append({1, 2})
    assert path.read_bytes() == b""


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "missing/lines.jsonl"):
        with pytest.raises(RunFolderError, match="cannot be written"):
            Lines(path)
