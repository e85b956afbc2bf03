"""The query writer: many requests from a small file, never one that was to be kept out."""

import pytest

from kindling.agents.embedded.queries import QueryWriter
from kindling.errors import InputError
from kindling.prompts.taskpack import load_pack
from kindling.records import request_key

FILE = """
shapes = ["{for} to {to} {form}", "{for}"]
forms = ["", "short"]
circles = { kin = "ann bob" }
[[occasions]]
words = "hello"
to = "kin zoe"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "queries.toml"
    path.write_text(FILE)
    return path


def test_circles_are_filled_in_and_other_names_stand_for_themselves(file):
    assert set(QueryWriter(file).write(7, 0)) == {
        "hello", "hello to ann", "hello to bob", "hello to zoe", "hello to ann short", "hello to bob short",
        "hello to zoe short",
    }  # fmt: skip


def test_a_file_with_too_few_queries_says_how_many_it_has(file):
    with pytest.raises(InputError, match=r"queries\.toml: gives 7 different queries, not 8"):
        QueryWriter(file).write(8, 0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("{for} to {to}", "{why} to {to}"), "fields are"),
        (('"hello"', '""'), r"occasions\.0\.words"),
        (("forms", "form"), "form"),
        (("[[", "[["[:1]), "queries.toml"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(file, change, says):
    file.write_text(FILE.replace(*change))
    with pytest.raises(InputError, match=says) as caught:
        QueryWriter(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_shipped_file_gives_thousands_and_none_that_is_held_out():
    pack = load_pack("greetings")
    writer = QueryWriter(pack.file("queries.toml"))
    queries = writer.write(6000, 0)
    assert queries == writer.write(6000, 0)
    assert len({request_key(query) for query in queries}) == 6000
    assert len(set(queries) & set(writer.write(6000, 1))) < 3000
    kept_out = queries[:50]
    assert not {request_key(one) for one in kept_out} & {request_key(one) for one in writer.write(6000, 0, kept_out)}
    assert all(query == query.strip() and "  " not in query and "{" not in query for query in queries)
