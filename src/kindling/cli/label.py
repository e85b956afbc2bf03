"""`kindling label`: cases labelled by people on a local page, how far they agree, and labels that certify a judge."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindling.cli import options

if TYPE_CHECKING:
    from kindling.eval.labelling.export import Export
    from kindling.eval.labelling.items import Items
    from kindling.eval.labelling.reliability import Reliability
    from kindling.eval.labelling.session import Session
    from kindling.prompts.taskpack import TaskPack


class Rubric(StrEnum):
    """The choices of --rubric."""

    plain = "plain"
    five = "five"


def label(
    file: Annotated[
        Path,
        typer.Argument(help="Cases with query and response: .jsonl, .csv or .parquet, or a run of curate or eval."),
    ],
    annotator: Annotated[str | None, typer.Option(help="Who labels; answers are kept under this name.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The answers of all annotators, .jsonl.",
            show_default="FILE with the suffix .labels.jsonl, beside a run",
        ),
    ] = None,
    rubric: Annotated[
        Rubric, typer.Option(help="plain: good or bad. five: 1 to 3 in the five dimensions of the task's rubric.toml.")
    ] = Rubric.plain,
    draw: Annotated[
        int | None,
        typer.Option(
            help="Take so many cases by chance: of all sources alike, of as many queries as can be.",
            show_default="all",
            min=1,
        ),
    ] = None,
    skip: Annotated[int, typer.Option(help="Leave out the first N of the draw.", min=0)] = 0,
    port: Annotated[int, typer.Option(help="The page's port.", show_default="a free one", min=0, max=65535)] = 0,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Say how far the annotators agree, instead of labelling.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write the labels as cases that certify and refine read; must be new.")
    ] = None,
    by: Annotated[str, typer.Option(help="Whose labels to export: the majority's, or an annotator's.")] = "majority",
    config: options.ConfigFile = None,
    seed: options.Seed = 0,
    set_: options.Overrides = None,
    json: options.Json = False,
) -> None:
    """Label cases by keyboard on a local page: blind, in random order, every answer on disk before the next case.

    The same command goes on where it was stopped. Several annotators may share a file of answers.

    [bold]Examples[/bold]

    kindling label cases.jsonl --annotator anna

    kindling label runs/first --draw 200 --annotator ben --rubric five

    kindling label cases.jsonl --agreement --export labelled.jsonl
    """
    from kindling.errors import UsageError

    answers = out or _beside(file)
    if answers.suffix != ".jsonl":
        raise UsageError(f"{answers}: --out names a .jsonl file")
    if skip and draw is None:
        raise UsageError("--skip goes with --draw: it leaves out cases of the draw")
    if agreement or export:
        if annotator is not None:
            raise UsageError("--annotator labels; leave it out with --agreement and --export (there, --by names one)")
        _evaluate(_items(file, draw, skip, seed), file, answers, export, by, agreement, seed, as_json=json)
        return
    if annotator is None:
        raise UsageError("who labels? add --annotator NAME (or --agreement, or --export FILE)")
    from kindling.config import load_config
    from kindling.prompts.taskpack import load_pack

    settings = load_config(config, options.overrides(set_))
    pack = load_pack(settings.project.task, settings.prompts_dir / settings.project.task)
    _serve(_items(file, draw, skip, seed), file, answers, annotator, rubric, port, pack, as_json=json)


def _beside(file: Path) -> Path:
    """Where answers about a file, or a run folder, are kept."""
    if not file.is_dir():
        return file.with_suffix(".labels.jsonl")
    folder = file.resolve() if file.name in ("", "..") else file
    return folder.with_name(f"{folder.name}.labels.jsonl")


def _items(file: Path, count: int | None, skip: int, seed: int) -> "Items":
    """What is to be labelled: all cases of the file or the run, or those that are drawn."""
    from kindling.eval.labelling.drawing import draw
    from kindling.eval.labelling.items import read_items

    items = read_items(file)
    return items if count is None else draw(items, count, skip, seed)


def _serve(
    items: "Items",
    file: Path,
    answers: Path,
    annotator: str,
    rubric: Rubric,
    port: int,
    pack: "TaskPack",
    *,
    as_json: bool,
) -> None:
    """Show the page until somebody stops the command."""
    import asyncio

    from kindling.cli import console
    from kindling.eval.labelling.rubric import FILE, PLAIN, read_rubric
    from kindling.eval.labelling.session import Session

    asked = PLAIN if rubric is Rubric.plain else read_rubric(pack.file(FILE))
    session = Session(items, answers, annotator, asked)
    asyncio.run(_until_stopped(session, file.resolve().name, pack.settings.language, port, as_json=as_json))
    left = session.state()
    console.note(f"{left.done:,} of {left.total:,} cases labelled by {annotator}, in {answers}")
    if left.case:
        console.note("the same command goes on from here")


async def _until_stopped(session: "Session", name: str, language: str, port: int, *, as_json: bool) -> None:
    import asyncio
    import signal
    import sys

    from kindling.cli import console
    from kindling.eval.labelling.server import serving

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serving(session, name, language, port) as address:
        if as_json:
            console.answer({"address": address, "answers": str(session.path)})
            sys.stdout.flush()
        else:
            console.out.print(f"label {name} as {console.plain(session.annotator)}: {address}")
            console.note(f"answers go to {session.path}; stop with Ctrl-C")
        await stopped.wait()


def _evaluate(
    items: "Items",
    file: Path,
    answers: Path,
    target: Path | None,
    by: str,
    agreement: bool,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Say how far annotators agree, write what they agreed on, or both."""
    from kindling.cli import console
    from kindling.errors import InputError
    from kindling.eval.labelling import reliability as measures
    from kindling.eval.labelling.answers import read_answers, standing
    from kindling.eval.labelling.export import export
    from kindling.tables import check_new_file, write_jsonl

    if target:
        check_new_file(target, ".jsonl")
    everything = standing(read_answers(answers))
    stands = measures.about(items.cases, everything)
    if not stands:
        raise InputError(f"{answers}: no answers about these cases of {file}; label some with --annotator NAME first")
    if agreement and len(stands) < 2:
        raise InputError(f"{answers}: only {next(iter(stands))} has answered; agreement takes two annotators")
    elsewhere = sum(map(len, everything.values())) - sum(map(len, stands.values()))
    found = measures.reliability(items.cases, stands, seed) if agreement else None
    exported = export(items.cases, stands, by) if target else None
    if target and exported:
        write_jsonl(target, exported.rows)
    if as_json:
        summary = {"cases": len(items.cases), "rows": items.rows, "answers_elsewhere": elsewhere}
        written = exported and {
            "out": str(target), "by": by, "cases": len(exported.rows), "tied": exported.tied,
            "cannot_tell": exported.cannot_tell, "open": exported.open,
        }  # fmt: skip
        console.answer({**summary, "agreement": found, "export": written})
        return
    if found:
        _show(found)
    if exported:
        _say_written(exported, target, by)
    if elsewhere:
        console.note(f"{elsewhere:,} answers in {answers} are about other cases than these of {file}")


def _show(found: "Reliability") -> None:
    from kindling.cli import console

    console.table(
        "Annotators",
        ("good", "bad", "cannot tell", "name"),
        [(one.good, one.bad, one.cannot_tell, one.name) for one in found.annotators],
    )
    console.table(
        "Pairs, with 95 % intervals by query",
        ("cases", "called the same", "kappa", "annotators"),
        [(one.cases, str(one.same), str(one.kappa), f"{one.first}, {one.second}") for one in found.pairs],
    )
    rows = [(str(found.alpha), "good or bad"), *((str(value), key) for key, value in found.dimensions.items())]
    console.table(f"Krippendorff's alpha, {found.shared:,} cases with two labels or more", ("alpha", "of"), rows)


def _say_written(exported: "Export", target: Path | None, by: str) -> None:
    from kindling.cli import console

    good = sum(row["label"] == "good" for row in exported.rows)
    console.out.print(f"{len(exported.rows):,} cases by {console.plain(by)} ({good:,} good) → {target}")
    console.out.print(f"left out: {exported.tied:,} tied, {exported.cannot_tell:,} cannot tell, {exported.open:,} open")
