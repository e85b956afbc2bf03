"""The pages speak of commands that exist: every one that is shown parses, and those that work offline work.

Nothing is left out unseen: a line that shows `kindling` and gives no command fails, and so does a command that is not
run for a reason that is not in `not_here`.
"""

import ast
import csv
import dataclasses
import itertools
import re
import shutil
from pathlib import Path

import pytest
from typer.main import get_command

from kindling.cli import app
from kindling.cli.reinforcement import RewardSettings
from kindling.config import Config
from kindling.eval.labelling.answers import Answer, append
from kindling.eval.labelling.items import read_items
from kindling.prompts.taskpack import load_pack
from kindling.rl.firewall.settings import Limits
from kindling.rl.training.settings import GrpoSettings, RewardModelSettings, SftSettings, VllmSettings
from kindling.tables import read_rows, write_jsonl
from tests.cli.pages import PAGES, ROOT, SHOWN, code, commands, simple_commands

ALL = [shown for page in PAGES for shown in commands(page) if shown.words[0] != "cd"]
OURS = get_command(app)
LEAST = 9  # characters that make a piece of a message its own
OTHERS = {"--shapes", "--minutes", "--figure", "--ckpt"}  # options of the benchmarks, and of OpenRLHF
# run as shown, but for less
SMALLER = {"certify": ("--attack-cases", "1"), "refine": ("--rounds", "1", "--set", "certify.attack_cases=1")}
# page: what it takes to be there before its first command
RUNNABLE = {
    "README.md": ("my-queries.txt",),
    "docs/curate.md": ("my-queries.txt", "responses.csv"),
    "docs/eval.md": ("queries.txt",),
    "docs/label.md": ("cases.jsonl", "cases.labels.jsonl"),
    "docs/prompts.md": (),
    "docs/refine.md": ("cases.csv",),
    "docs/report.md": ("runs/first", "certificate.json"),
    "docs/serve.md": ("runs/first", "queries.txt"),
    "docs/slogans.md": ("briefs.txt",),
    "docs/trust.md": ("runs/first", "pairs.jsonl", "labelled.jsonl", "sft.jsonl", "cases.jsonl"),
}


def find(words):
    """The command that `words` name, and what they give to it."""
    command, rest = OURS, list(words)
    while hasattr(command, "commands"):
        assert rest, "names no command"
        assert rest[0] in command.commands, f"no command {rest[0]!r}"
        command = command.commands[rest.pop(0)]
    return command, rest


def every(command):
    for inner in getattr(command, "commands", {}).values():
        yield from every(inner)
    yield command


def option_names(command):
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}


def test_every_line_that_shows_a_command_is_read():
    lost = [
        f"{page.name}:{number}: {line}"
        for page in PAGES
        for number, line in code(page.read_text(encoding="utf-8"))
        if SHOWN.search(line.partition(" #")[0]) and not any(words[0] != "cd" for words in simple_commands(line))
    ]
    assert lost == []
    assert len(ALL) > 90


@pytest.mark.parametrize("shown", ALL, ids=str)
def test_every_command_that_is_shown_parses(shown):
    command, rest = find(shown.words)
    if shown.whole:
        command.make_context(command.name, list(rest)).close()
    given = {word.partition("=")[0] for word in rest if word.startswith("--")}
    assert given <= option_names(command)


def test_a_command_that_does_not_exist_would_be_found():
    command, rest = find(("curate", "q.txt", "--out", "runs/first", "--nope"))
    with pytest.raises(Exception, match="--nope"):
        command.make_context("curate", list(rest))
    with pytest.raises(AssertionError, match="curat"):
        find(("curat", "q.txt"))


def test_every_setting_that_the_text_names_exists():
    train = (SftSettings, RewardModelSettings, GrpoSettings)
    sections = {name: field.annotation for name, field in Config.model_fields.items()}
    known = {f"{name}.{field}" for name, section in sections.items() for field in getattr(section, "model_fields", ())}
    known |= {f"train.{field}" for stage in train for field in stage.model_fields}
    known |= {f"reward.{field}" for field in RewardSettings.model_fields}
    known |= {f"vllm.{field}" for field in VllmSettings.model_fields}
    known |= {f"firewall.{field.name}" for field in dataclasses.fields(Limits)}
    names = "|".join((*sections, "train", "reward", "firewall", "vllm"))
    setting = re.compile(rf"(?:--set |`)((?:{names})\.[a-z_]+)(?==|`)")
    files = re.compile(r"\.(?:md|py|toml|jsonl?|csv|txt|parquet)$")
    unknown = [
        f"{page.name}: {found}"
        for page in PAGES
        for found in setting.findall(page.read_text(encoding="utf-8"))
        if found not in known and not files.search(found)
    ]
    assert unknown == []


def test_every_command_has_its_place_in_the_tables_and_in_both_languages():
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))
    row = re.compile(r"^\| `kindling ([^`]+)` \|.*\| (.*) \|$", re.MULTILINE)
    there = [usage for usage, _ in row.findall(english)]
    assert [usage.split()[0] for usage in there] == [*dict.fromkeys(usage.split()[0] for usage in there)]
    assert {usage.split()[0] for usage in there} == set(OURS.commands)
    assert [usage for usage, _ in row.findall(chinese)] == there
    links = re.compile(r"\(([^)]*)\)")
    pages = [[links.findall(to) for _, to in row.findall(text)] for text in (english, chinese)]
    assert pages[0] == pages[1]
    one, other = (commands(ROOT / name) for name in ("README.md", "README.zh.md"))
    assert [shown.words for shown in one] == [shown.words for shown in other]


def test_every_option_that_the_text_names_is_one_of_ours():
    known = set().union(*map(option_names, every(OURS)))
    spans = [(page.name, one) for page in PAGES for one in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))]
    unknown = [
        f"{page}: {span}"
        for page, span in spans
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)
        if option not in known | OTHERS
    ]
    named = [(page, span.split()[1].strip(",")) for page, span in spans if span.startswith("kindling ")]
    unknown += [f"{page}: kindling {name}" for page, name in named if name not in {*OURS.commands, "--help"}]
    assert unknown == []


def messages():
    """The text of every literal in the code, a tuple of what stands between the values that are filled in."""
    for room in ("src", "agents", "eval", "graphs", "prompts", "rl"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield tuple(part.value for part in node.values if isinstance(part, ast.Constant))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield (node.value,)


def test_the_errors_that_troubleshooting_quotes_are_those_of_the_code():
    text = " ".join((ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8").split())
    quoted = [one for one in re.findall(r"\*\*`([^`]+)`\*\*", text) if not one.startswith("torch.")]
    assert len(quoted) > 30
    parts = {part.strip(" :;'(") for message in messages() for part in message}
    long = [part for part in parts if len(part) >= LEAST]

    def is_ours(quote):
        pieces = [piece.strip(" :;'(") for piece in quote.split("…")]
        return any(part in quote for part in long) or any(
            piece in part for piece in pieces if len(piece) >= LEAST for part in long
        )

    assert [quote for quote in quoted if not is_ours(quote)] == []


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    """A small run of `curate`, made once."""
    from kindling.cli.curation import Request, carry_out

    folder = tmp_path_factory.mktemp("curated")
    queries = write_queries(folder / "queries.txt")
    assert carry_out(Request(queries, "query", None, folder / "run", Config(), "embedded", "embedded", None, 0)) == 0
    return folder / "run"


def write_queries(file, task="greetings", count=80):
    rows = itertools.islice(read_rows(load_pack(task).file("queries.txt"), ("query",), "query"), count)
    file.write_text("".join(f"{row['query']}\n" for row in rows), encoding="utf-8")
    return file


def write_input(name, folder, run, kindling):
    """Make what a page takes for granted."""
    file, golden = folder / name, list(read_rows(load_pack("greetings").file("golden.jsonl"), ("query",)))[:100]
    match name:
        case "my-queries.txt" | "queries.txt":
            write_queries(file, count=30)
        case "briefs.txt":
            write_queries(file, "slogans", 30)
        case "runs/first":
            shutil.copytree(run, file)
        case "pairs.jsonl" | "sft.jsonl":
            shutil.copyfile(run / name, file)
        case "cases.labels.jsonl":
            for annotator, item in itertools.product(("anna", "ben"), read_items(folder / "cases.jsonl").cases):
                good = "good" if ord(item.id[0]) % 2 else "bad"
                said = Answer(item.id, annotator, "plain", good, "2026-01-01T00:00:00Z")
                append(file, lambda _, said=said: said)
        case "certificate.json":
            cases = write_input("cases.jsonl", folder, run, kindling)
            given = ("--judge", "embedded", "--labelled", cases, *SMALLER["certify"], "--out", file)
            assert kindling("certify", *given).status == 1
        case "cases.csv" | "responses.csv":
            with file.open("w", encoding="utf-8", newline="") as opened:
                writer = csv.DictWriter(opened, ("query", "response", "label"), extrasaction="ignore")
                writer.writeheader()
                writer.writerows(golden)
        case _:
            write_jsonl(file, [{key: row[key] for key in ("query", "response", "label")} for row in golden])
    return file


def not_here(shown):
    """Why a command of a runnable page is not run; None if it is."""
    if not shown.whole or any(word.isupper() for word in shown.words):
        return "something is left out"
    if {"llm", "debate", "--max-cost"} & set(shown.words):
        return "asks a model"
    if shown.words[0] in ("train", "generate") or "--arms" in shown.words or any("runs/sft" in w for w in shown.words):
        return "needs torch"
    if shown.words[:2] == ("prompts", "adopt"):
        return "asks before it writes"
    if shown.words[0] == "certify" and "--labelled" not in shown.words:
        return "judges the whole golden set, as other tests do"
    if shown.words[0] == "serve" or "--annotator" in shown.words:
        return "serves until it is stopped"
    return None


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("page", RUNNABLE)
def test_the_commands_of_a_page_run_in_its_order(page, kindling, tmp_path, monkeypatch, curated):
    for name in RUNNABLE[page]:
        write_input(name, tmp_path, curated, kindling)
    ran = 0
    for shown in commands(ROOT / page):
        if shown.words[0] == "cd":
            for name in RUNNABLE[page]:
                shutil.copyfile(name, tmp_path / shown.words[1] / name)
            monkeypatch.chdir(tmp_path / shown.words[1])
        elif not_here(shown) is None:
            if "--out" in shown.words and "--resume" not in shown.words:  # a page may show two ways to the same thing
                remove(Path(shown.words[shown.words.index("--out") + 1]))
            done = kindling(*shown.words, *SMALLER.get(shown.words[0], ()))
            assert done.status in ((0, 1) if shown.words[0] in ("audit", "certify") else (0,)), f"{shown}: {done.err}"
            ran += 1
    assert ran
