"""A judge's certificate: every line that it must reach, beside the baselines that explain its agreement away."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kindling.eval.agreement import Agreement
from kindling.eval.certificate import Certificate, Line, load_certificate
from kindling.eval.report.blocks import (
    Block,
    Cell,
    Chapter,
    Facts,
    Figure,
    Folded,
    Intervals,
    Notice,
    Row,
    Section,
    Table,
    Tag,
)
from kindling.eval.report.charts.intervals import axis_of, ruler, whisker
from kindling.eval.report.charts.scale import Scale
from kindling.eval.report.words import duration, fixed, flat, interval, many, moment, number

_MARKS = {True: Tag("passed", "good"), False: Tag("failed", "alarm"), None: Tag("not applicable", "none")}
_SIGNS = {"at least": "≥", "at most": "≤", "more than": ">"}
_TONES = {True: "good", False: "alarm", None: "quiet"}


def read(path: Path, data: dict[str, Any]) -> Chapter:
    """The chapter of a certificate. Raises `InputError` if it is damaged or of another format."""
    found = load_certificate(path)
    card, failed = found.judge, found.failed
    about = found.findings
    said = "passes" if found.passed else "does not pass"
    cases = many(found.data.cases, "labelled case")
    lead = f"The judge {card.name} {said} its certificate on {cases} of {found.data.file}."
    kappa, auc = about.agreement.kappa, about.agreement.auc
    figures = (
        Figure(
            fixed(kappa.value, 2), "κ with the labels", interval(kappa, 2), "" if _passed(found, "kappa") else "alarm"
        ),
        Figure(fixed(auc.value, 2), "AUC", interval(auc, 2)),
        Figure(
            f"{sum(line.passed is True for line in found.lines)} of {len(found.lines)}",
            "lines passed",
            f"{sum(line.passed is None for line in found.lines)} not applicable",
        ),
        Figure(f"{about.judged:,}", "judgements", duration(about.seconds)),
    )
    notice = None
    if failed:
        notice = Notice(
            "It does not pass",
            (
                f"Failed: {', '.join(failed)}.",
                "train grpo refuses it as a reward unless it is told to go on uncertified.",
            ),
        )
    return Chapter(
        kind="certify",
        title=f"Judge: {card.name}",
        status=Tag("passed", "good") if found.passed else Tag("failed", "alarm"),
        lead=lead,
        facts=(f"made {moment(found.created)}", f"model {card.model}" if card.model else "no model is asked"),
        figures=figures,
        sections=_sections(found),
        notice=notice,
        made=found.created,
    )


def _passed(found: Certificate, name: str) -> bool:
    return next((line.passed is not False for line in found.lines if line.name == name), True)


def _sections(found: Certificate) -> tuple[Section, ...]:
    return (
        Section("lines", "What it has to reach", tuple(_lines(found))),
        Section("baselines", "What explains its agreement away", _baselines(found)),
        Section("attacks", "What fools it", _attacks(found)),
        Section("cost", "What a judgement costs", (_cost(found),)),
        Section("repeat", "To repeat it", _repeat(found)),
    )


def _lines(found: Certificate) -> Iterable[Block]:
    """Lines in which more is better, and those in which less is: two tables, each on its own axis."""
    upward = [line for line in found.lines if line.wants != "at most"]
    downward = [line for line in found.lines if line.wants == "at most"]
    if upward:
        caption = "The dashed mark is the limit. A line passes by its value; an interval across the limit is not sure."
        yield _table("at least", upward, (0.0, 1.0), caption)
    if downward:
        caption = (
            "An attack succeeds where a bad text, or a good one that was damaged, is called good."
            " Intervals count requests, not trials."
        )
        yield _table("at most", downward, (0.0,), caption)


def _table(head: str, lines: Sequence[Line], least: Sequence[float], caption: str) -> Intervals:
    values = [
        value for line in lines for value in (line.estimate.value, line.estimate.low, line.estimate.high, line.limit)
    ]
    axis = axis_of(values, least)
    return Intervals(head, tuple(_row(line, axis) for line in lines), ruler(axis, "value"), caption)


def _row(line: Line, axis: Scale) -> Row:
    wants = f"{_SIGNS[line.wants]} {line.limit:g}" + ("" if line.sure or line.passed is None else "\nnot sure")
    svg = whisker(line.name, line.estimate, axis, _TONES[line.passed], line.limit)
    return Row(
        line.name, svg, fixed(line.estimate.value), interval(line.estimate), wants, _MARKS[line.passed], line.note
    )


def beside(first: Certificate, last: Certificate) -> Table:
    """Both certificates line by line."""
    now = {line.name: line for line in last.lines}
    rows = tuple(
        (line.name, _in_words(line), _in_words(other), _MARKS[line.passed], _MARKS[other.passed])
        for line in first.lines
        if (other := now.get(line.name))
    )
    return Table(
        ("line", "first judge", "last judge", "first", "last"),
        rows,
        "Values with 95 % intervals, on the same test cases.",
    )


def _in_words(line: Line) -> str:
    return f"{fixed(line.estimate.value)} ({interval(line.estimate)})" if line.estimate.value is not None else "–"


def _baselines(found: Certificate) -> tuple[Block, ...]:
    about = found.findings
    judges: list[tuple[str, Agreement, Agreement]] = [
        (f"the judge ({found.judge.name})", about.agreement, about.matched)
    ]
    judges += [(f"baseline: {one.name}", one.agreement, one.matched) for one in about.baselines]
    blocks: list[Block] = []
    for title, place in (("AUC on all cases", 0), ("AUC on length-matched cases", 1)):
        rows = [(name, (every, matched)[place].auc) for name, every, matched in judges]
        axis = axis_of((value for _, one in rows for value in (one.value, one.low, one.high)), (0.4, 1.0))
        made = tuple(
            Row(name, whisker(name, one, axis, "" if at else "good", 0.5), fixed(one.value), interval(one))
            for at, (name, one) in enumerate(rows)
        )
        blocks.append(Intervals(title, made, ruler(axis, "AUC")))
    caption = (
        "All cases. Length calls good what is longer or shorter, whichever is better; n-grams are cross-validated."
    )
    table = tuple(_numbers(name, every) for name, every, _ in judges)
    blocks.append(
        Table(("who", "cases", "κ", "AUC", "accuracy", "precision", "recall", "specificity", "F1"), table, caption)
    )
    calls = about.agreement
    caption = (
        f"What the judge called the {calls.cases:,} cases. Brier score {number(calls.brier.value)},"
        f" calibration error {number(calls.ece.value)}."
    )
    called = (("good", calls.true_good, calls.false_bad), ("bad", calls.false_good, calls.true_bad))
    blocks.append(Table(("labelled", "called good", "called bad"), called, caption))
    return tuple(blocks)


def _numbers(name: str, one: Agreement) -> tuple[Cell, ...]:
    found = (one.kappa, one.auc, one.accuracy, one.precision, one.recall, one.specificity, one.f1)
    return (name, one.cases, *(fixed(estimate.value) for estimate in found))


def _attacks(found: Certificate) -> tuple[Block, ...]:
    rows = tuple(
        (
            one.family, one.wants, one.attacks, one.trials, one.fooled, one.unscored,
            ", ".join(f"{each.attack} {each.fooled}/{each.trials}" for each in one.worst) or "none succeeded",
        )
        for one in found.findings.attacks
    )  # fmt: skip
    return (
        Table(("family", "wanted", "attacks", "trials", "succeeded", "no verdict", "those that succeed most"), rows),
    )


def _cost(found: Certificate) -> Facts:
    cost = found.cost
    return Facts(
        (
            ("1,000 judgements take", duration(cost.seconds)),
            ("model calls", number(cost.calls)),
            ("tokens in", number(cost.prompt_tokens)),
            ("tokens out", number(cost.completion_tokens)),
            ("money", f"{cost.money:.4f}"),
            ("answered from the ledger", f"{cost.recalled:.0%}"),
        )
    )


def _repeat(found: Certificate) -> tuple[Block, ...]:
    card, data = found.judge, found.data
    facts = (
        ("judge", card.name), ("template", card.template or "none"), ("model", card.model or "none"),
        ("served", ", ".join(card.served) or "–"), ("labelled cases", f"{data.file}, sha256 {data.sha256}"),
        ("cases", f"{data.cases:,}, {data.good:,} good, {data.queries:,} queries"), ("seed", str(found.seed)),
        ("hard negatives", f"sha256 {data.hard_negatives}" if data.hard_negatives else "none"),
    )  # fmt: skip
    limits = Folded("Limits", (Facts(tuple(flat(found.limits).items())),))
    return Facts(facts), limits, Folded("Versions", (Facts(tuple(found.versions.items())),))
