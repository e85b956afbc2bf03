"""`kindling report` as a user runs it: over what the commands really leave, one line for what cannot be, no secret."""

import pytest

from kindling.eval.report.reading import chapters_of
from kindling.prompts.taskpack import load_pack
from kindling.tables import write_jsonl
from tests.cli.running import project, queries, rows_of, serve
from tests.runs_on_disk import curated, grown, outcome, played, trained

SECRET = "sk-this-must-never-be-seen"


@pytest.fixture
def responses(tmp_path):
    """Four queries with a written and a lazy text each."""
    file = tmp_path / "q.txt"
    file.write_text("祝同事新年快乐\n祝妈妈生日快乐\n祝老师教师节好\n祝朋友新婚快乐\n", encoding="utf-8")
    asked = file.read_text(encoding="utf-8").splitlines()
    for name, text in (("a", "愿你灯火可亲，归来有热汤。"), ("b", "祝你一切顺利")):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"query": query, "response": f"{query}，{text}"} for query in asked])
    return asked


def test_what_each_command_leaves_can_be_reported(kindling, tmp_path, responses):
    assert kindling("curate", "q.txt", "--source", "file:a.jsonl", "--out", "cur", "--seed", "3").status == 0
    files = ("file:a.jsonl", "file:b.jsonl")
    assert kindling("eval", *files, "--queries", "q.txt", "--judge", "embedded", "--out", "ev").status == 0
    shipped = load_pack("greetings").file("golden.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "golden.jsonl").write_text("".join(shipped[:60]), encoding="utf-8")
    certify = ("certify", "--judge", "embedded", "--labelled", "golden.jsonl", "--set", "certify.attack_cases=1")
    assert kindling(*certify, "--out", "cert.json").status in (0, 1)
    (tmp_path / "audit.json").write_text(kindling("audit", "a.jsonl", "--json").out, encoding="utf-8")
    for path, words in (
        ("cur", "What became of each row"), ("ev", "What may be concluded"), ("audit.json", "facts without alarm"),
        ("ev/scorecard.json", "What may be concluded"),
        ("cert.json", "What explains its agreement away"), (".", "4 steps, in the order"),
    ):  # fmt: skip
        answer = kindling("report", path, "--out", f"{path.replace('/', '-')}.html", "--json").answer
        page = (tmp_path / answer["report"]).read_text(encoding="utf-8")
        assert answer["bytes"] == len(page.encode())
        assert words in page
        assert "http://" not in page.replace("http://www.w3.org/", "")
        assert "https://" not in page
    page = (tmp_path / "cur.html").read_text(encoding="utf-8")
    assert "kindling curate q.txt --source file:a.jsonl --out cur --seed 3" in page
    for query in responses:
        assert query in page


def test_the_report_lies_in_the_folder_or_beside_the_file_and_may_be_written_again(kindling, tmp_path):
    path = curated(tmp_path / "r", [outcome(0)])
    assert kindling("report", "r").status == 0
    first = (path / "report.html").read_bytes()
    assert kindling("report", "r").status == 0
    assert (path / "report.html").read_bytes() == first
    assert b"report.html" not in first
    record = (path / "run.json").read_bytes()
    assert kindling("curate", "r", "--out", "r").status == 2  # the folder is as used as it was
    assert (path / "run.json").read_bytes() == record


def test_a_file_that_is_no_report_is_never_written_over(kindling, tmp_path):
    curated(tmp_path / "r", [outcome(0)])
    (tmp_path / "mine.html").write_text("<html>precious</html>")
    for out, says in (
        ("mine.html", "is no report"), ("r/records.jsonl", "names a .html file"), ("none/a.html", "no such folder"),
        ("r/run.json", "names a .html file"),
    ):  # fmt: skip
        done = kindling("report", "r", "--out", out)
        assert done.status == 2
        assert says in done.err
        assert done.err.count("\n") == 1
    assert (tmp_path / "mine.html").read_text() == "<html>precious</html>"
    assert not (tmp_path / "r/report.html").exists()


def test_bad_input_is_one_line_and_writes_nothing(kindling, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half/run.json").write_text('{"command": "cur')
    (tmp_path / "old.json").write_text('{"format": 0, "judge": {}, "lines": [], "findings": {}}')
    for path, says in (
        ("none", "no such run"), ("empty", "no run: it holds no run.json"), ("half", "half of one"),
        ("old.json", "not a certificate of format 1"),
    ):  # fmt: skip
        done = kindling("report", path)
        assert done.status == 2
        assert says in done.err
        assert done.err.count("\n") == 1
    assert not list(tmp_path.rglob("*.html"))


def test_no_secret_is_in_a_report(kindling, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", SECRET)
    with serve(key=SECRET) as server:
        project(tmp_path, server, 'api_key_env = "MY_KEY"')
        assert kindling("curate", queries(tmp_path, 3), "--out", "r").status == 0
    assert kindling("report", "r").status == 0
    page = (tmp_path / "r/report.html").read_text(encoding="utf-8")
    assert SECRET not in page
    assert "MY_KEY" in page  # its name is what repeats the run
    assert "What it cost" in page


def test_a_budget_that_ran_out_is_reported_as_unfinished(kindling, tmp_path):
    with serve() as server:
        project(tmp_path, server)
        kindling("curate", queries(tmp_path, 9), "--out", "r", "--max-calls", "60")
    assert kindling("report", "r").status == 0
    page = (tmp_path / "r/report.html").read_text(encoding="utf-8")
    assert "This run is unfinished: it was stopped." in page
    assert "not worked on: a limit was reached" in page
    assert 0 < len(rows_of(tmp_path / "r/records.jsonl")) < 9


def test_what_an_evaluation_cost_is_reported_however_it_ended(kindling, tmp_path):
    with serve() as server:
        project(tmp_path, server)
        command = ("eval", "llm", "--queries", queries(tmp_path, 8), "--judge", "llm", "--out", "r")
        for more, calls in ((("--max-calls", "10"), 10), (("--resume",), 16)):
            kindling(*command, *more)
            assert kindling("report", "r").status == 0
            (chapter,) = chapters_of(tmp_path / "r")
            (figure,) = (one for one in chapter.figures if one.name == "model calls")
            assert figure.value == str(calls)
            assert float(figure.note.removeprefix("cost ")) > 0
            (cost,) = (section.blocks[0].rows for section in chapter.sections if section.name == "cost")
            assert {role: count for role, _, count, *_ in cost} == {"generator_strong": 8, "judge": calls - 8}


def test_a_folder_of_several_runs_is_one_page(kindling, tmp_path):
    for name, make in (
        ("cur", lambda path: curated(path, [outcome(0)])),
        ("rm", trained),
        ("g", grown),
        ("game", played),
    ):
        make(tmp_path / "loop" / name)
    assert kindling("report", "loop").status == 0
    page = (tmp_path / "loop/report.html").read_text(encoding="utf-8")
    assert page.count('<article class="chapter"') == 4
