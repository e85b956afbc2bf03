"""Data files: every format reads the same, every defect is one line, and no write is ever half done."""

import pytest

from kindling.errors import InputError, RunFolderError
from kindling.tables import atomic_file, check_new_file, read_rows, write_json, write_jsonl, write_parquet

ROWS = [{"query": "一、二", "response": 'a "b", c'}, {"query": "三\n四", "response": ""}]


def test_jsonl_csv_and_parquet_give_the_same_rows(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", ROWS)
    write_parquet(tmp_path / "a.parquet", ROWS)
    (tmp_path / "a.csv").write_text('\ufeffquery,response\n一、二,"a ""b"", c"\n"三\n四",\n', encoding="utf-8")
    for name in ("a.jsonl", "a.parquet", "a.csv"):
        assert read_rows(tmp_path / name, ("query", "response")) == ROWS


def test_a_text_file_has_one_value_a_line(tmp_path):
    (tmp_path / "q.txt").write_text("一\r\n\n二\n", encoding="utf-8")
    assert [row["query"] for row in read_rows(tmp_path / "q.txt", ("query",), "query")] == ["一", "", "二"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b"", "no rows"),
        ("a.csv", b"query\n", "no rows"),
        ("a.jsonl", b'{"query": 1}\n{"query"', "line 2: not JSON"),
        ("a.jsonl", b"[1]\n", "line 1: not a JSON object"),
        ("a.jsonl", b'{"text": "x"}\n', r"row 1: no column 'query' \(there: text\)"),
        ("a.csv", b"text\nx\n", "no column 'query'"),
        ("a.csv", b"query\na,b\n", "row 1: more fields"),
        ("a.csv", b"", "no rows"),
        ("a.parquet", b"not parquet", "not Parquet"),
        ("a.jsonl", "生日".encode("gb18030"), "not UTF-8 .* -f GB18030"),
        ("a.csv", "query\n生日".encode("utf-16"), "not UTF-8 .* -f UTF-16"),
        ("a.xlsx", b"x", "unknown kind"),
        ("a.txt", b"x", "has no columns; .* with query"),
    ],
)
def test_every_defect_is_one_line_that_names_the_file(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_rows(tmp_path / name, ("query",))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_rows(tmp_path / "none.csv", ("query",))
    with pytest.raises(InputError, match="is a folder"):
        read_rows(tmp_path, ("query",))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"a": 1})
    before = target.read_bytes()

    def interrupted():
        with atomic_file(target) as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_an_unwritable_folder_is_one_line(tmp_path):
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_json(tmp_path / "missing" / "a.json", {})


def test_a_new_file_must_be_new_of_its_kind_and_in_a_folder(tmp_path):
    check_new_file(tmp_path / "a.json", ".json")
    (tmp_path / "b.json").write_text("{}")
    for name, says in (("a.txt", "names a .json"), ("none/a.json", "no such folder"), ("b.json", "exists already")):
        with pytest.raises(InputError, match=says):
            check_new_file(tmp_path / name, ".json")
    with pytest.raises(InputError, match="cannot be written"):
        check_new_file(tmp_path / f"{'a' * 300}.json", ".json")
