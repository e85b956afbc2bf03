"""The front door: help of every command with an example, the version, and the demo."""

import subprocess
import sys

import pytest

from kindling import __version__
from tests.cli.running import rows_of

COMMANDS = [
    ("demo",), ("init",), ("curate",), ("judge",), ("audit",), ("certify",), ("fit-judge",), ("report",),
    ("prompts", "list"), ("prompts", "show"), ("prompts", "render"), ("prompts", "check"), ("prompts", "diff"),
]  # fmt: skip


def test_help_names_every_command(kindling):
    done = kindling("--help")
    assert done.status == 0
    assert all(command[0] in done.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_a_command_gives_an_example(kindling, command):
    done = kindling(*command, "--help")
    assert done.status == 0, done.err
    words = " ".join(done.out.split())
    assert "Example" in words
    assert f"kindling {' '.join(command)}" in words


def test_the_version(kindling):
    assert kindling("--version").out == f"kindling {__version__}\n"


def test_help_imports_nothing_heavy():
    look = "import sys; sys.argv = ['kindling', '--help']\nfrom kindling.cli import main\n"
    look += "try: main()\nexcept SystemExit: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60, check=True)
    heavy = {
        "numpy",
        "scipy",
        "sklearn",
        "pyarrow",
        "langgraph",
        "langchain_core",
        "pydantic",
        "aiohttp",
        "jinja2",
        "torch",
    }
    assert not heavy & set(done.stderr.split())


def test_the_demo_curates_the_shipped_queries(kindling, tmp_path):
    done = kindling("demo", "--out", "demo")
    assert done.status == 0, done.err
    assert "What became of" in done.out
    records = rows_of(tmp_path / "demo/curate/records.jsonl")
    asked = (tmp_path / "demo/queries.txt").read_text(encoding="utf-8").splitlines()
    assert [one["query"]["row"] for one in records] == list(range(len(asked)))
    assert rows_of(tmp_path / "demo/curate/pairs.jsonl")
    assert "demo/report.html" in done.err
    assert all(query in (tmp_path / "demo/report.html").read_text(encoding="utf-8") for query in asked)
    again = kindling("demo", "--out", "demo")
    assert again.status == 2
    assert again.err.count("\n") == 1
    assert "exists already" in again.err
