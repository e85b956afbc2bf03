"""`kindling audit`: what in a dataset, other than quality, explains its labels, and what does not belong in it."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindling.cli import options

if TYPE_CHECKING:
    from kindling.config import Config
    from kindling.eval.audit.balance import TopicOf
    from kindling.eval.audit.defects import Facts
    from kindling.eval.audit.finding import Finding, Severity
    from kindling.eval.audit.repair import Repair
    from kindling.eval.audit.report import Audit
    from kindling.records import Fact

_STYLES: "dict[Severity, str]" = {"severe": "bold red", "warning": "yellow", "note": "dim"}
_ROWS, _EXAMPLES = 8, 2  # shown to people; --json has every row


def audit(
    files: Annotated[list[Path], typer.Argument(help="Pairs, labelled cases or SFT rows: .jsonl, .csv or .parquet.")],
    fix: Annotated[
        Path | None,
        typer.Option(help="Write a copy without certain defects: a file, or for several files a folder; must be new."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 if a finding is severe.")] = False,
    top: Annotated[int, typer.Option(help="How many likely wrong labels to list.", min=0)] = 20,
    config: options.ConfigFile = None,
    seed: options.Seed = 0,
    set_: options.Overrides = None,
    json: options.Json = False,
) -> None:
    """Audit datasets: shortcuts to the labels, leakage, duplicates, contradictions, placeholders, likely wrong labels.

    Files that belong together (training, evaluation) are audited together, so that what they share is found.

    [bold]Examples[/bold]

    kindling audit pairs.jsonl dev.jsonl sft.jsonl

    kindling audit pairs.jsonl --fix clean.jsonl --strict
    """
    from kindling.cli.console import answer, err
    from kindling.config import load_config
    from kindling.eval.audit.repair import repair, targets
    from kindling.eval.audit.report import audit as examine

    outs = targets(files, fix) if fix else []
    facts, topic_of = _task(load_config(config, options.overrides(set_)))
    with err.status(f"auditing {len(files)} file{'s' * (len(files) > 1)}"):
        result = examine(files, facts, topic_of, top, seed)
    repairs = [repair(data, result.hits[data.name], out) for data, out in zip(result.datasets, outs, strict=False)]
    if json:
        described = [{"file": data.name, "kind": data.kind, "rows": len(data.rows)} for data in result.datasets]
        answer({"files": described, "severe": result.severe, "findings": result.findings, "fixed": repairs})
    else:
        _show(result, repairs)
    raise typer.Exit(int(strict and result.severe > 0))


def _task(config: "Config") -> tuple["Facts", "TopicOf | None"]:
    """Take from the task pack how to measure requests, and how to tell topics if it has a lexicon."""
    from kindling.agents.embedded.lexicon import load_lexicon
    from kindling.agents.embedded.reading import read
    from kindling.agents.requests import measure
    from kindling.prompts.taskpack import load_pack

    pack = load_pack(config.project.task, config.prompts_dir / config.project.task)
    brief = pack.settings.brief_chars

    def facts(query: str, response: str) -> "tuple[Fact, ...]":
        return measure(query, response, brief)

    if not any((folder / "lexicon.toml").is_file() for folder in pack.folders):
        return facts, None
    lexicon = load_lexicon(pack.file("lexicon.toml"))

    def topic_of(query: str) -> str | None:
        reading = read(query, lexicon, brief)
        return lexicon.topics[reading.topic].name if reading.known else None

    return facts, topic_of


def _show(result: "Audit", repairs: list["Repair"]) -> None:
    from rich.table import Table
    from rich.text import Text

    from kindling.cli.console import out, plain

    for data in result.datasets:
        out.print(f"{plain(data.name)}: {len(data.rows):,} rows ({data.kind})", style="bold")
        table = Table(show_edge=False, pad_edge=False)
        table.add_column("", no_wrap=True)
        table.add_column("check", no_wrap=True)
        table.add_column("count", justify="right", no_wrap=True)
        table.add_column("found", overflow="fold")
        for finding in result.findings:
            if finding.file == data.name:
                severity = Text(finding.severity, style=_STYLES[finding.severity])
                count = f"{finding.count:,}" if finding.rows else ""
                table.add_row(severity, finding.check, count, plain(_words(finding)))
        out.print(table, "", soft_wrap=False)
    by_severity = Counter(finding.severity for finding in result.findings)
    marks = (Text(f"{by_severity[severity]} {severity}", style=style) for severity, style in _STYLES.items())
    out.print(Text("Findings: ") + Text(", ").join(marks))
    for done in repairs:
        why = ", ".join(f"{check} {count:,}" for check, count in done.why.items()) or "none, no certain defect"
        out.print(f"{plain(done.out)}: kept {done.kept:,} of {done.of:,} rows; gone: {why}")
        out.print(f"  what went stands in {plain(done.removed)}")


def _words(finding: "Finding") -> str:
    """Say what was found; with rows and examples where somebody has to look."""
    lines = [finding.summary]
    if finding.severity != "note":
        lines += [f"  {example}" for example in finding.examples[:_EXAMPLES]]
        if len(finding.rows) > _EXAMPLES:
            some = ", ".join(map(str, finding.rows[:_ROWS]))
            lines.append(f"  rows {some}{', …' if len(finding.rows) > _ROWS else ''}")
    return "\n".join(lines)
