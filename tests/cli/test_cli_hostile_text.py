"""What users, files and endpoints wrote is shown as it is: no markup of ours, no command to the terminal, no crash."""

import io

import orjson
import pytest
from rich.text import Text

from kindling.cli import console
from kindling.tables import write_jsonl
from tests.cli.running import in_process, project, serve

HOSTILE = "[/red] [bold]x[/bold] [link=http://e.example]y[/link] :smile: \x1b[2J\x1b]0;owned\x07 \u202efdp"


@pytest.fixture
def shown(monkeypatch):
    """What a terminal would get from both consoles."""
    file = io.StringIO()
    for one in (console.out, console.err):
        monkeypatch.setattr(one, "_file", file)
    monkeypatch.setattr(console.out, "width", 200)
    return file


def harmless(text):
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "[/red] [bold]x[/bold] [link=http://e.example]y[/link] :smile:" in text


def test_tables_and_notes_show_text_as_it_is(shown):
    console.table(HOSTILE, ("reason", "rows"), [(HOSTILE, 3)])
    console.note(HOSTILE)
    harmless(shown.getvalue())
    assert shown.getvalue().count("[bold]x[/bold]") == 3


def test_a_cell_may_still_be_styled(shown):
    console.table("Lines", ("line", ""), [("[kappa]", Text("pass", style="green"))])
    assert "[kappa]" in shown.getvalue()
    assert "pass" in shown.getvalue()


def test_an_endpoint_cannot_break_the_summary_of_judge(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    with serve(texts=('{"reason": "x", "verdict": "good", "[/red]\\u001b[2J": 1}',) * 9) as server:
        project(tmp_path, server, roles=("judge",))
        write_jsonl(tmp_path / "in.jsonl", [{"query": "写一句话", "response": "春风"}])
        done = in_process(monkeypatch, capsys)("judge", "in.jsonl", "--out", "out.jsonl", "--judge", "llm")
    assert done.status == 0, done.err
    assert "[/red]" in done.out
    assert "\x1b[2J" not in done.out
    assert orjson.loads((tmp_path / "out.jsonl").read_bytes())["verdict"] == "unscored"


def test_an_audit_shows_the_examples_of_a_file_as_they_are(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = f"[姓名] {HOSTILE}"
    write_jsonl(tmp_path / "[red].jsonl", [{"query": "写一句话", "chosen": text, "rejected": "[/]"}])
    done = in_process(monkeypatch, capsys)("audit", "[red].jsonl")
    assert done.status == 0, done.err
    assert "[red].jsonl" in done.out
    assert "[/red]" in done.out
    assert "\x1b[2J" not in done.out


def test_a_column_name_in_an_error_is_one_harmless_line(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "in.jsonl", [{"\x1b[2Jquery\nx": "写一句话"}])
    done = in_process(monkeypatch, capsys)("judge", "in.jsonl", "--out", "out.jsonl", "--judge", "embedded")
    assert done.status == 2
    assert "\x1b" not in done.err
    assert done.err.count("\n") == 1
