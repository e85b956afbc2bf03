"""From a path to a page: which kind of run lies there, and which reader knows it.

A folder with a run.json is a run; a JSON file is a certificate, an audit or a scorecard, told apart by their fields; a
folder without run.json is several of them, such as `kindling demo` makes, in the order in which they were started. The
folder of a whole experiment is both.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from kindling.errors import InputError, RunFolderError, UsageError
from kindling.eval.report.blocks import Block, Chapter, Tag
from kindling.eval.report.browsing import Records
from kindling.eval.report.readers import (
    audits,
    certificates,
    curation,
    experiments,
    grpo,
    refinement,
    scorecards,
    training,
)
from kindling.eval.report.rendering import render
from kindling.eval.report.source import Run, open_run_folder

RUNS: dict[str, Callable[[Run], Chapter]] = {
    "curate": curation.read,
    "refine": refinement.read,
    "train sft": training.read,
    "train rm": training.read,
    "train grpo": grpo.read,
    "eval": scorecards.read,
    "eval --arms": experiments.read,
}
WHOLES = ("eval --arms",)  # commands whose folder holds the runs of their steps
MOST_TOGETHER = 10_000_000  # bytes of records on a page about several runs
FILES: tuple[tuple[frozenset[str], Callable[[Path, dict[str, Any]], Chapter]], ...] = (
    (frozenset(("judge", "lines", "findings")), certificates.read),
    (frozenset(("files", "findings", "severe")), audits.read),
    (frozenset(("models", "judges", "cards", "conclusions")), scorecards.read_file),
)


def report(path: Path) -> str:
    """The page about `path`. Raises `UsageError` in one line if there is nothing that can be reported."""
    chapters = chapters_of(path)
    title = path.resolve().name if len(chapters) > 1 else chapters[0].title
    return render(title, chapters)


def chapters_of(path: Path) -> list[Chapter]:
    """A chapter for each run that lies at `path`."""
    if not path.exists():
        raise InputError(
            f"{path}: no such run; name a run folder, or the JSON file of a certificate, an audit or a scorecard"
        )
    if path.is_file():
        return [_file(path)]
    if (path / "run.json").exists():
        run = open_run_folder(path)
        # the models side by side are what an experiment is made for
        inside = sorted(_inside(path), key=lambda one: (one.kind != "eval", one.made)) if run.command in WHOLES else []
        chapters = [_run(path), *inside]
    else:
        chapters = sorted(_inside(path), key=lambda one: one.made)
    if not chapters:
        raise RunFolderError(f"{path}: no run: it holds no run.json, nor folders with one")
    return chapters if len(chapters) == 1 else _together(chapters)


def _together(chapters: list[Chapter]) -> list[Chapter]:
    """The chapters with records that fit on one page, every run with its share."""
    blocks = [block for chapter in chapters for section in chapter.sections for block in section.blocks]
    share = MOST_TOGETHER // max(1, sum(isinstance(block, Records) for block in blocks))

    def fitted(block: Block) -> Block:
        return block.within(share) if isinstance(block, Records) else block

    return [
        replace(
            chapter,
            sections=tuple(replace(one, blocks=tuple(map(fitted, one.blocks))) for one in chapter.sections),
        )
        for chapter in chapters
    ]


def _told(path: Path, read: Callable[[Path], Chapter]) -> Chapter:
    """The chapter of one run among several: one that cannot be reported says why and does not hide the others."""
    try:
        return read(path)
    except UsageError as error:
        return Chapter("not reported", path.name, Tag("not reported", "alarm"), str(error), (), (), ())


def _run(path: Path) -> Chapter:
    run = open_run_folder(path)
    if run.command not in RUNS:
        raise RunFolderError(f"{path}: made by 'kindling {run.command}', of which there is no report")
    return RUNS[run.command](run)


def _file(path: Path) -> Chapter:
    data = _json(path)
    for fields, reader in FILES:
        if isinstance(data, dict) and fields <= data.keys():
            return reader(path, data)
    raise InputError(f"{path}: no certificate, audit or scorecard; name a run folder, or one of these as JSON")


def _json(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON, or half of it: {error}") from error


def _inside(folder: Path) -> Iterator[Chapter]:
    """Every run in the folders and JSON files right under `folder`; other things may lie beside them."""
    for entry in sorted(folder.iterdir()):
        if (entry / "run.json").is_file():
            yield _told(entry, _run)
        elif entry.suffix == ".json" and entry.is_file() and _may_be_told(entry):
            yield _told(entry, _file)


def _may_be_told(path: Path) -> bool:
    """Whether a JSON file is of a kind that is reported, or so torn that nobody knows."""
    try:
        data = _json(path)
    except InputError:
        return True
    return isinstance(data, dict) and any(fields <= data.keys() for fields, _ in FILES)
