"""`kindling label` as a user runs it: two annotators, a kill, agreement, and an export that certifies a judge."""

import signal
import socket
import urllib.request
from contextlib import contextmanager

import orjson
import pytest

from kindling.eval.labelled import read_labelled
from kindling.eval.labelling.answers import Answer, append
from kindling.eval.labelling.items import read_items
from kindling.tables import write_jsonl
from tests.cli.running import Started, queries, rows_of

NOW = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def taken():
    """A port on which nobody can listen: a command that should refuse its input, but does not, ends there."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def cases(folder, count=24):
    file = folder / "cases.jsonl"
    # whole and broken texts, so that a judge has something to tell apart
    texts = ("愿你新岁如灯，照见每一条回家的路，平安喜乐", "祝你你你快乐乐乐，万事如意如意如意如意")
    rows = [
        {"query": f"给第{n // 2}位同事写一句新年祝福", "response": f"{texts[n % 2]}{'，岁岁安康' * (n // 2)}",
         "source": f"model-{n % 3}", "recipient": "同事"}
        for n in range(count)
    ]  # fmt: skip
    write_jsonl(file, rows)
    return file


def answer_all(file, out, annotator, answer, rubric="plain", scores=None):
    for item in read_items(file).cases:
        said = Answer(item.id, annotator, rubric, answer(item), NOW, scores(item) if scores else None)
        append(out, lambda _, said=said: said)


def by_text(item):
    return "bad" if "你你" in item.response else "good"


@contextmanager
def labelling(folder, *arguments):
    """Run the command until the block ends; gives it and the address that it printed."""
    command = Started("label", *arguments, "--json", cwd=folder)
    printed = folder / f".{id(command)}.out"
    command.wait_for(lambda: printed.exists() and printed.read_bytes().endswith(b"}\n"))
    try:
        yield command, orjson.loads(printed.read_bytes())["address"]
    finally:
        if command.process.is_alive():
            command.send(signal.SIGKILL)
        command.process.join(30)


def ask(address, body=None):
    data = orjson.dumps(body) if body else None
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return orjson.loads(answer.read())


def test_a_killed_command_goes_on_where_it_was_and_stops_politely(tmp_path):
    file = cases(tmp_path, 6)
    met = []
    for stop in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        with labelling(tmp_path, file, "--annotator", "anna") as (command, address):
            now = ask(address + "state")
            assert now["done"] == len(met)
            for _ in range(2):
                met.append(now["case"]["id"])
                body = {"case": now["case"]["id"], "revision": now["revision"], "answer": "good"}
                now = ask(address + "answer", body)
            command.send(stop)
            done = command.finish()
        if stop != signal.SIGKILL:
            assert (done.status, done.err.splitlines()[0][:9]) == (0, f"{len(met)} of 6 ca")
    assert sorted(met) == sorted(item.id for item in read_items(file).cases)
    assert [row["case"] for row in rows_of(tmp_path / "cases.labels.jsonl")] == met


def test_two_annotators_agree_and_their_labels_certify_a_judge(kindling, tmp_path):
    file = cases(tmp_path)
    answers = tmp_path / "cases.labels.jsonl"
    odd = read_items(file).cases[0].id
    answer_all(file, answers, "anna", by_text)
    answer_all(file, answers, "ben", lambda item: "bad" if item.id == odd else by_text(item))
    found = kindling("label", file, "--agreement", "--export", tmp_path / "labelled.jsonl", "--json").answer
    (pair,) = found["agreement"]["pairs"]
    assert pair["cases"] == 24
    assert pair["same"]["value"] == pytest.approx(23 / 24)
    # 12 and 11 good of 24: chance (12·11 + 12·13)/24² = .5
    assert pair["kappa"]["value"] == pytest.approx(22 / 24)
    assert found["agreement"]["alpha"]["low"] < found["agreement"]["alpha"]["value"]
    assert found["export"] == {
        "out": str(tmp_path / "labelled.jsonl"), "by": "majority", "cases": 23, "tied": 1, "cannot_tell": 0, "open": 0,
    }  # fmt: skip
    labelled = read_labelled(tmp_path / "labelled.jsonl")
    assert {case.label for case in labelled} == {"good", "bad"}
    assert labelled[0].recipient == "同事"
    done = kindling(
        "certify", "--judge", "embedded", "--labelled", tmp_path / "labelled.jsonl", "--out", tmp_path / "cert.json",
        "--attack-cases", 1, "--repeats", 1, "--json",
    )  # fmt: skip
    assert done.status in (0, 1), done.err
    assert orjson.loads(done.out)
    assert (tmp_path / "cert.json").exists()


def test_one_annotators_labels_and_what_people_read(kindling, tmp_path):
    file = cases(tmp_path, 4)
    answers = tmp_path / "a.jsonl"
    answer_all(file, answers, "[red]anna[/red]", by_text)
    answer_all(file, answers, "ben", lambda _: "cannot tell")
    done = kindling("label", file, "--out", answers, "--agreement", "--export", "x.jsonl", "--by", "[red]anna[/red]")
    assert done.status == 0
    assert "[red]anna[/red], ben" in done.out
    assert "4 cases by [red]anna[/red] (2 good)" in done.out
    assert "left out: 0 tied, 0 cannot tell, 0 open" in done.out


def test_scores_are_compared_a_dimension(kindling, tmp_path):
    file = cases(tmp_path, 8)
    for name, of in (("anna", 1), ("ben", 2)):
        answer_all(
            file, tmp_path / "cases.labels.jsonl", name, by_text, "five-x",
            lambda item, of=of: {"wit": 1 + len(item.response) % 3, "tact": of},
        )  # fmt: skip
    found = kindling("label", file, "--agreement", "--json").answer["agreement"]["dimensions"]
    assert found["wit"]["value"] == 1
    assert found["tact"]["value"] < 0


def test_answers_about_other_cases_are_counted_and_left_out(kindling, tmp_path):
    file = cases(tmp_path, 4)
    answer_all(file, tmp_path / "cases.labels.jsonl", "anna", by_text)
    write_jsonl(file, rows_of(file)[:2])
    found = kindling("label", file, "--export", "x.jsonl", "--json").answer
    assert (found["cases"], found["answers_elsewhere"], found["export"]["cases"]) == (2, 2, 2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--annotator"),
        (("--annotator", " anna"), "--annotator"),
        (("--annotator", ""), "--annotator"),
        (("--annotator", "a\nb"), "--annotator"),
        (("--annotator", "majority"), "majority"),
        (("--annotator", "anna", "--agreement"), "--annotator"),
        (("--annotator", "anna", "--out", "labels.txt"), "--out"),
        (("--annotator", "anna", "--out", "nowhere/labels.jsonl"), "cannot be written"),
        (("--annotator", "anna", "--out", "cases.jsonl"), "line 1"),
        (("--annotator", "anna", "--rubric", "five", "--set", "project.task=other"), "no task pack"),
        (("--agreement",), "no answers"),
        (("--export", "cases.jsonl"), "exists already"),
        (("--export", "x.csv"), ".jsonl"),
    ],
)
def test_bad_input_is_one_line_and_status_2(kindling, tmp_path, taken, arguments, says):
    file = cases(tmp_path, 2)
    done = kindling("label", file, *arguments, "--port", taken)
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert says in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases.jsonl"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b'{"query": "q"}\n', "no column 'response'"),
        (b'{"query": "q", "response": null}\n', "row 1: response"),
        (b'{"query": "q", "response": "  "}\n', "row 1: response"),
        (b'{"query": 7, "response": "r"}\n', "row 1: query"),
    ],
)
def test_a_file_without_cases_is_refused(kindling, tmp_path, taken, content, says):
    file = tmp_path / "bad.jsonl"
    if content is not None:
        file.write_bytes(content)
    for arguments in (("--annotator", "anna"), ("--agreement",)):
        done = kindling("label", file, *arguments, "--port", taken)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert says in done.err


def test_agreement_takes_two(kindling, tmp_path):
    file = cases(tmp_path, 2)
    answer_all(file, tmp_path / "cases.labels.jsonl", "anna", by_text)
    done = kindling("label", file, "--agreement")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "only anna" in done.err


@pytest.mark.parametrize(
    ("rubric", "says"),
    [
        ("", "no dimensions"),
        ("dimensions = 3", "dimensions"),
        ("[[dimensions]]\nkey = 'a'\nname = 'A'\nweight = 99\nlevels = ['x', 'y', 'z']\n", "five dimensions"),
        ("[[", "rubric.toml"),
    ],
)
def test_a_rubric_that_cannot_be_used_is_one_line(kindling, tmp_path, taken, rubric, says):
    file = cases(tmp_path, 2)
    folder = tmp_path / "prompts" / "greetings"
    folder.mkdir(parents=True)
    (folder / "rubric.toml").write_text(rubric, encoding="utf-8")
    (tmp_path / "kindling.toml").write_text('[project]\ntask = "greetings"\n', encoding="utf-8")
    done = kindling("label", file, "--annotator", "anna", "--rubric", "five", "--port", taken)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert says in done.err


def curated(kindling, folder, count=12):
    """A run of curate over so many queries; gives its records."""
    queries(folder, count)
    assert kindling("curate", "queries.txt", "--source", "embedded", "--judge", "embedded", "--out", "run").status == 0
    return rows_of(folder / "run/records.jsonl")


def test_a_runs_records_are_labelled_blind_and_its_answers_lie_beside_it(kindling, tmp_path):
    records = curated(kindling, tmp_path)
    texts = {one["candidate"]["text"] for row in records for one in row["judgements"]}
    with labelling(tmp_path, "run", "--annotator", "anna", "--draw", 6) as (_, address):
        state = ask(address + "state")
        assert (state["total"], set(state["case"])) == (6, {"id", "query", "response"})
        assert state["case"]["response"] in texts
        body = {"case": state["case"]["id"], "revision": state["revision"], "answer": "good"}
        ask(address + "answer", body)
    assert [one["case"] for one in rows_of(tmp_path / "run.labels.jsonl")] == [state["case"]["id"]]
    export = kindling("label", "run", "--draw", 6, "--export", "labelled.jsonl", "--json").answer["export"]
    assert (export["cases"], export["open"]) == (1, 5)
    # the verdict that the run has of it is nowhere in the label
    assert set(rows_of(tmp_path / "labelled.jsonl")[0]) == {
        "query", "response", "label", "source", "votes_good", "votes_bad",
    }  # fmt: skip


def test_the_records_of_an_evaluation_are_cases_but_for_what_is_no_whole_text(kindling, tmp_path):
    asked = queries(tmp_path, 4).read_text(encoding="utf-8").split()
    for name in ("one", "two"):
        rows = [{"query": query, "response": f"愿你第{n}年平安，{name}"} for n, query in enumerate(asked)]
        write_jsonl(tmp_path / f"{name}.jsonl", [*rows[:-1], {**rows[-1], "finished": False}])
    models = ("one.jsonl", "two.jsonl")
    assert kindling("eval", *models, "--queries", "queries.txt", "--judge", "embedded", "--out", "run").status == 0
    found = read_items(tmp_path / "run")
    assert [(item.query, item.about["source"]) for item in found.cases] == [
        (query, name) for query in asked[:-1] for name in ("one", "two")
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("cases.jsonl", "--draw", 25), "--draw 25: there are 24 cases; draw no more"),
        (("cases.jsonl", "--draw", 20, "--skip", 5), "--draw 20: there are 19 cases after --skip 5"),
        (("cases.jsonl", "--skip", 5), "--skip goes with --draw"),
        (("empty",), "empty: no records.jsonl in this folder"),
        (("torn",), "records.jsonl: row 1: "),
        (("failed",), "no text to label in its 1 records"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(kindling, tmp_path, words, says):
    cases(tmp_path)
    for name in ("empty", "torn", "failed"):
        (tmp_path / name).mkdir()
    write_jsonl(tmp_path / "torn/records.jsonl", [{"query": {"text": "q"}, "judgements": [{"candidate": "x"}]}])
    failure = {"model": "m", "query": "q", "response": "", "failure": "empty", "verdicts": {}}
    write_jsonl(tmp_path / "failed/records.jsonl", [failure])
    done = kindling("label", *words, "--annotator", "anna")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert says in done.err
    assert list(tmp_path.glob("*.labels.jsonl")) == []
