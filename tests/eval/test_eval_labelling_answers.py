"""The file of answers and the session on it: nothing answered is lost, nothing is answered by a window that lags."""

import multiprocessing
import resource
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling.errors import InputError
from kindling.eval.labelling.answers import Answer, append, read_answers, standing
from kindling.eval.labelling.items import read_items
from kindling.eval.labelling.rubric import PLAIN, Rubric
from kindling.eval.labelling.session import Session, Stale
from kindling.tables import write_jsonl

WEIGHTS = {"language": 30, "creativity": 30, "emotion": 15, "culture": 15, "content": 10}
FIVE = Rubric.model_validate(
    {"dimensions": [{"key": key, "name": key, "weight": size, "levels": list("abc")} for key, size in WEIGHTS.items()]}
)


def said(case, annotator="anna", answer="good"):
    return Answer(case, annotator, "plain", answer, "2026-01-01T00:00:00+00:00")


def put(path, answer):
    return append(path, lambda _: answer)


@pytest.fixture
def items(tmp_path):
    file = tmp_path / "cases.jsonl"
    write_jsonl(file, [{"query": f"问{n % 4}", "response": f"答{n}", "label": "good", "source": "s"} for n in range(8)])
    return read_items(file)


def test_a_line_torn_anywhere_costs_that_answer_alone(tmp_path):
    path = tmp_path / "a.jsonl"
    for case in ("first", "second", "第三"):
        put(path, said(case))
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(last, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert [one.case for one in read_answers(path)] == ["first", "second"]
        assert [one.case for one in put(path, said("next"))] == ["first", "second", "next"]
        assert [orjson.loads(line)["case"] for line in path.read_bytes().splitlines()] == ["first", "second", "next"]


def test_a_whole_last_line_without_a_newline_is_kept(tmp_path):
    path = tmp_path / "a.jsonl"
    put(path, said("first"))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    put(path, said("second"))
    assert [one.case for one in read_answers(path)] == ["first", "second"]
    assert path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize(
    "content",
    [b"a diary", b'{"query": "q"', b'{"query": "q"}', b"\n", b'{"case":1}\n', b"\xff\xfe", b'[{"case":"'],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="line 1"):
        put(path, said("first"))
    assert path.read_bytes() == content


def test_a_full_disk_is_said_and_leaves_no_half_line(tmp_path):
    path = tmp_path / "a.jsonl"
    put(path, said("first"))
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
    try:
        with pytest.raises(InputError, match="cannot be written"):
            put(path, said("second"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before


def _many(path: Path, annotator: str) -> None:
    for number in range(40):
        put(path, said(f"case {number}", annotator))


def test_processes_that_write_at_once_lose_and_mix_nothing(tmp_path):
    path = tmp_path / "a.jsonl"
    forks = multiprocessing.get_context("forkserver")
    names = ["anna", "安娜"]
    processes = [forks.Process(target=_many, args=(path, name)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    answers = read_answers(path)
    assert len(answers) == 80
    for name in names:
        assert [one.case for one in answers if one.annotator == name] == [f"case {number}" for number in range(40)]


def test_the_file_says_what_stands():
    answers = [said("a"), said("b"), said("a", answer="bad"), said("b", answer="undone"), said("a", "ben")]
    found = standing([*answers, said("c", "eve"), said("c", "eve", "undone")])
    assert {name: {case: one.answer for case, one in mine.items()} for name, mine in found.items()} == {
        "anna": {"a": "bad"},
        "ben": {"a": "good"},
    }


def test_every_case_comes_once_in_an_order_of_ones_own(items, tmp_path):
    met = {}
    for name in ("anna", "ben"):
        session = Session(items, tmp_path / "a.jsonl", name, PLAIN)
        met[name] = []
        while (state := session.state()).case:
            met[name].append(state.case.id)
            again = Session(items, tmp_path / "a.jsonl", name, PLAIN)  # as after a restart
            assert again.state() == state
            assert again.answer(state.case.id, state.revision, "good", None).done == len(met[name])
    assert sorted(met["anna"]) == sorted(met["ben"]) == sorted(item.id for item in items.cases)
    assert met["anna"] != met["ben"]
    assert met["anna"] == [item.id for item in items.order("anna")]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["good", "bad", "cannot tell", "undo"]), max_size=25))
def test_undo_is_the_inverse_of_answering(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("undo")
    write_jsonl(folder / "c.jsonl", [{"query": "q", "response": f"r{n}"} for n in range(5)])
    session = Session(read_items(folder / "c.jsonl"), folder / "a.jsonl", "anna", PLAIN)
    model = []
    for step in steps:
        state = session.state()
        if step == "undo" and model:
            case, _ = model.pop()
            assert session.undo(state.revision).case.id == case
        elif step != "undo" and state.case:
            model.append((state.case.id, step))
            session.answer(state.case.id, state.revision, step, None)
        else:
            with pytest.raises(Stale):
                session.undo(state.revision) if step == "undo" else session.answer("x", state.revision, step, None)
    stands = standing(read_answers(folder / "a.jsonl")).get("anna", {})
    assert [(case, one.answer) for case, one in stands.items()] == model
    assert session.state().done == len(model)


def test_a_window_that_lags_behind_writes_nothing(items, tmp_path):
    path = tmp_path / "a.jsonl"
    one, other = (Session(items, path, "anna", PLAIN) for _ in range(2))
    seen = one.state()
    one.answer(seen.case.id, seen.revision, "good", None)
    before = path.read_bytes()
    for attempt in (
        lambda: other.answer(seen.case.id, seen.revision, "bad", None),
        lambda: other.undo(seen.revision),
        lambda: other.answer(other.state().case.id, seen.revision, "bad", None),
    ):
        with pytest.raises(Stale):
            attempt()
    assert path.read_bytes() == before


def test_scores_make_the_label_by_their_weighted_mean(items, tmp_path):
    """Means of 2 exactly: language 3 and creativity 1 have equal weights. 1.9 misses it: content 1, the rest 2."""
    two = dict.fromkeys(WEIGHTS, 2)
    assert FIVE.label(two) == "good"
    assert FIVE.label({**two, "language": 3, "creativity": 1}) == "good"
    assert FIVE.label({**two, "content": 1}) == "bad"
    assert FIVE.label({**two, "content": 3, "emotion": 1}) == "bad"  # + .10 - .15
    session = Session(items, tmp_path / "a.jsonl", "anna", FIVE)
    state = session.state()
    after = session.answer(state.case.id, state.revision, None, {**two, "content": 1})
    (written,) = read_answers(tmp_path / "a.jsonl")
    assert (written.answer, written.scores["content"], written.rubric) == ("bad", 1, FIVE.id)
    back = session.undo(after.revision)
    assert back.case == state.case
    assert back.before.scores == written.scores


@pytest.mark.parametrize(
    "scores",
    [{}, dict.fromkeys(WEIGHTS, 0), dict.fromkeys(WEIGHTS, 2.0), dict.fromkeys(WEIGHTS, True), {"language": 2}],
)
def test_scores_outside_the_rubric_are_refused(items, tmp_path, scores):
    session = Session(items, tmp_path / "a.jsonl", "anna", FIVE)
    state = session.state()
    with pytest.raises(ValueError, match="score"):
        session.answer(state.case.id, state.revision, None, scores)
    assert read_answers(tmp_path / "a.jsonl") == ()


def test_nobody_mixes_two_rubrics(items, tmp_path):
    session = Session(items, tmp_path / "a.jsonl", "anna", PLAIN)
    state = session.state()
    session.answer(state.case.id, state.revision, "good", None)
    with pytest.raises(InputError, match="another rubric"):
        Session(items, tmp_path / "a.jsonl", "anna", FIVE)
    assert Session(items, tmp_path / "a.jsonl", "ben", FIVE).state().done == 0


def test_rows_may_come_and_go_between_sittings(tmp_path):
    rows = [{"query": "q", "response": f"r{n}"} for n in range(6)]
    write_jsonl(tmp_path / "c.jsonl", [*rows, rows[0]])
    items = read_items(tmp_path / "c.jsonl")
    assert (len(items.cases), items.rows) == (6, 7)
    session = Session(items, tmp_path / "a.jsonl", "anna", PLAIN)
    for _ in range(3):
        state = session.state()
        session.answer(state.case.id, state.revision, "bad", None)
    done = {one.case for one in read_answers(tmp_path / "a.jsonl")}
    write_jsonl(tmp_path / "c.jsonl", [{"query": "q", "response": "new"}, *reversed(rows)])
    later = Session(read_items(tmp_path / "c.jsonl"), tmp_path / "a.jsonl", "anna", PLAIN).state()
    assert (later.done, later.total) == (3, 7)
    assert later.case.id not in done
