"""`kindling init`: a folder that works as it is, examples that work once uncommented, and nothing half-written."""

import os
import re
import sys
from pathlib import Path

import pytest

from kindling.cli import main
from kindling.config import ROLES, Config, load_config
from kindling.prompts.taskpack import load_pack


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["kindling", "init", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


FILES = [
    "kindling.toml",
    "prompts",
    "prompts/greetings",
    *(
        f"prompts/greetings/{name}.j2"
        for name in (
            "comparer",
            "explainer",
            "forger",
            "generator",
            "judge",
            "negative",
            "optimizer",
            "positive",
            "principles",
            "reflector",
            "tactician",
            "tactics",
        )
    ),
]


def uncommented(text):
    """The file with every example in use: comment lines after the first section that look like TOML."""
    head, bracket, body = text.partition("[project]")
    return head + bracket + re.sub(r"^# (?=\[|\w+ = )", "", body, flags=re.MULTILINE)


def test_init_makes_a_project_with_a_copy_of_every_template(run):
    assert run("mine") == (0, "made mine/kindling.toml and mine/prompts/greetings/; next: cd mine\n", "")
    assert tree("mine") == FILES
    for copy in Path("mine/prompts/greetings").iterdir():
        assert copy.read_bytes() == load_pack("greetings").file(copy.name).read_bytes()


def test_a_list_of_principles_to_start_from_stays_in_the_package(run):
    run("mine")
    pack = load_pack("greetings", Path("mine/prompts/greetings"))
    assert pack.file("principles_weak.j2").parent == pack.shipped
    assert len(pack.rules("principles_weak.j2")) == 6


@pytest.mark.parametrize("name", [".", "deep/er/mine", "空 的", "empty", "-mine"])
def test_init_takes_new_and_empty_folders(run, name):
    Path("empty").mkdir()
    if name == ".":
        Path("empty").rmdir()
    inode = Path.cwd().stat().st_ino
    assert run("--", name)[0] == 0
    assert [one for one in tree(name) if one != "empty"] == FILES
    assert Path.cwd().stat().st_ino == inode, "the folder that the user stands in is still the same"


def test_the_file_loads_as_it_is_and_changes_no_default(run):
    run("mine")
    config = load_config(Path("mine/kindling.toml"))
    assert config == Config(root=Path("mine"))
    assert config.prompts_dir == Path("mine/prompts")


def test_every_example_in_the_file_is_valid(run):
    run("mine")
    path = Path("mine/kindling.toml")
    text = uncommented(path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    assert not [line for line in text.partition("[project]")[2].splitlines() if line.startswith("#")]
    config = load_config(path)
    assert set(config.endpoints) == {"main", "judging"}
    assert set(config.roles) == set(ROLES)
    assert config.role("judge").votes == 3
    assert config.retriever.examples == "examples.jsonl"
    assert (config.budget.max_calls, config.budget.max_cost, config.budget.max_minutes) == (10000, 10.0, 60)


def test_the_file_names_every_section_and_holds_no_secret(run):
    run("mine")
    text = Path("mine/kindling.toml").read_text(encoding="utf-8")
    for section in ("project", "endpoints.main", "roles.judge", "retriever", "curate", "budget"):
        assert f"[{section}]" in text
    assert "sk-" not in text


def test_the_templates_in_the_folder_are_the_ones_in_use(run):
    run("mine")
    Path("mine/prompts/greetings/principles.j2").write_text("说真话。\n", encoding="utf-8")
    config = load_config(Path("mine/kindling.toml"))
    pack = load_pack(config.project.task, config.prompts_dir / config.project.task)
    assert pack.principles() == ("说真话。",)


def full(name):
    Path(name).mkdir()
    Path(name, "notes.txt").write_text("mine", encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (full, ("there",), "there: exists and is not empty; choose another folder"),
        (lambda name: Path(name).write_text("x"), ("there",), "there: exists and is not empty; choose another folder"),
        (lambda name: Path(name).write_text("x"), ("there/mine",), "there/mine: cannot be written: Not a directory"),
        (lambda name: Path(name).symlink_to("gone/far"), ("there",), "there: cannot be written: File exists"),
        (lambda name: None, ("/proc/mine",), "/proc/mine: cannot be written: No such file or directory"),
        (lambda name: None, ("x" * 300,), f"{'x' * 300}: cannot be written: File name too long"),
        (lambda name: None, ("mine", "--task", "limericks"), "no task pack 'limericks'; there are greetings, slogans"),
        (
            lambda name: None,
            ("mine", "--task", "../greetings"),
            "no task pack '../greetings'; there are greetings, slogans",
        ),
    ],
)
def test_what_cannot_be_made_is_one_line_and_leaves_nothing(run, make, arguments, message):
    make("there")
    before = tree(".")
    assert run(*arguments) == (2, "", f"kindling: {message}\n")
    assert tree(".") == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_one_line(run):
    Path("there").mkdir(mode=0o500)
    assert run("there/mine") == (2, "", "kindling: there/mine: cannot be written: Permission denied\n")


def test_init_twice_leaves_the_first_alone(run):
    run("mine")
    path = Path("mine/prompts/greetings/principles.j2")
    path.write_text("说真话。\n", encoding="utf-8")
    assert run("mine")[0] == 2
    assert path.read_text(encoding="utf-8") == "说真话。\n"
