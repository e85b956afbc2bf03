"""`kindling eval --arms`: the whole experiment step by step; its runs and its scorecard have chapters of their own."""

from kindling.errors import RunFolderError
from kindling.eval.report.blocks import Cell, Chapter, Figure, Section, Table, Tag
from kindling.eval.report.source import Run, repeat, rows
from kindling.eval.report.words import duration, many


def read(run: Run) -> Chapter:
    """The chapter of an experiment. Raises `RunFolderError` if no step of it has ended."""
    steps = list(rows(run.path / "steps.jsonl"))
    if not steps:
        raise RunFolderError(f"{run.path}: no step of this experiment has ended, so there is nothing to report")
    seconds = sum(float(one["seconds"]) for one in steps)
    table = tuple(
        (str(one["step"]), _ended(int(one["status"])), duration(float(one["seconds"])), f"kindling {one['command']}")
        for one in steps
    )
    return Chapter(
        kind="eval --arms",
        title=run.path.resolve().name,
        status=run.status,
        lead=f"The arms of the experiment, trained and compared: {many(len(steps), 'step')} in {duration(seconds)}.",
        facts=run.when(),
        figures=(Figure(str(len(steps)), "steps that ended"), Figure(duration(seconds), "of work")),
        sections=(Section("steps", "Steps", (Table(("step", "ended", "took", "command"), table),)), repeat(run)),
        notice=run.notice(f"{many(len(steps), 'step')} ended; the same command with --resume goes on."),
        made=str(run.record.get("started", "")),
    )


def _ended(status: int) -> Cell:
    """A step's exit status: 1 is an answer, such as a judge that fails or a firewall that stopped a run."""
    said = {0: Tag("done", "good"), 1: Tag("answered no", "bad")}
    return said.get(status, Tag(f"status {status}", "alarm"))
