"""`kindling train sft` and `rm`: the curves, what was measured on held-out queries, and what was trained on what."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kindling.errors import RunFolderError
from kindling.eval.intervals import Estimate
from kindling.eval.length_bias import wilson
from kindling.eval.report.blocks import Block, Chapter, Chart, Charts, Facts, Figure, Intervals, Row, Section, Words
from kindling.eval.report.charts.intervals import axis_of, ruler, whisker
from kindling.eval.report.charts.lines import Curve, Points, lines
from kindling.eval.report.source import Run, counted, repeat, rows
from kindling.eval.report.words import duration, fixed, interval, many, number

STAGES = {"sft": "Supervised fine-tuning", "rm": "A reward model", "grpo": "GRPO"}
LOSSES = {"sft": "nats a token", "rm": "nats a pair"}
CURVES: tuple[tuple[str, str, str], ...] = (
    ("mean_token_accuracy", "Token accuracy", "share of tokens"),
    ("accuracy", "Pairs in the right order", "share of the batch"),
    ("margin", "Margin", "reward of the chosen less that of the rejected text"),
    ("mean_reward", "Mean reward", "raw score"),
    ("entropy", "Entropy", "nats"),
    ("grad_norm", "Gradient norm", "before clipping"),
    ("learning_rate", "Learning rate", ""),
)
# what is measured on pairs: its name in words, and where its number of pairs stands
SHARES = (
    ("accuracy", "pairs in the right order", "pairs"),
    ("matched", "of pairs of equal length", "matched_pairs"),
    ("longer", "what length alone reaches", "pairs"),
    ("reading", "prefers its own request", "pairs"),
)


def read(run: Run) -> Chapter:
    """The chapter of a training run. Raises `RunFolderError` if no step of it is on disk."""
    log = metrics(run)
    if not log:
        raise RunFolderError(f"{run.path}: no step of this run is on disk, so there is nothing to report")
    stage = str(run.settings.get("stage", ""))
    steps = int(run.record.get("steps") or log[-1]["step"])
    planned = run.record.get("planned")
    of = f" of {planned:,}" if planned and planned != steps else ""
    lead = f"{STAGES.get(stage, stage)} of {run.settings.get('model')}: {steps:,}{of} steps on {_data(run)}."
    sections = (
        Section("curves", "Curves", (Charts(tuple(curves(log, (("loss", "Loss", LOSSES.get(stage, "")), *CURVES)))),)),
        *measured(run.record.get("measured") or {}),
        settings(run),
        repeat(run),
    )
    return Chapter(
        kind=run.command,
        title=run.path.resolve().name,
        status=run.status,
        lead=lead,
        facts=run.when(run.record.get("seconds")),
        figures=_figures(run, log, steps),
        sections=sections,
        notice=run.notice(*stopped(run, steps)),
        made=str(run.record.get("started", "")),
        language=run.language,
    )


def metrics(run: Run) -> list[dict[str, Any]]:
    """The logged steps, without the line that the trainer ends with."""
    return [
        line for line in rows(run.path / "metrics.jsonl") if "step" in line and ("loss" in line or "reward" in line)
    ]


def stopped(run: Run, steps: int) -> tuple[str, ...]:
    """How far a run came that was stopped, and why it was."""
    why = run.record.get("stopped")
    return (f"Why: {why}.",) if why else (f"{many(steps, 'step')} are on disk.",)


def series(log: Sequence[Mapping[str, Any]], key: str, step: str = "step", shift: int = 0) -> Points:
    """The (step, value) of `key` where it was logged."""
    return [
        (float(line[step] + shift), float(line[key]))
        for line in log
        if isinstance(line.get(key), int | float) and isinstance(line.get(step), int | float)
    ]


def curves(log: Sequence[Mapping[str, Any]], wanted: Sequence[tuple[str, str, str]]) -> Iterator[Chart]:
    """A chart for each measure that was logged."""
    window = max(1, len(log) // 25)
    note = f"Dots are steps, the line the mean of the latest {window}." if window > 1 else ""
    for key, title, unit in wanted:
        points = series(log, key)
        if points:
            smooth = 1 if key == "learning_rate" else window
            yield Chart(title, unit, lines(Curve(title, points, smooth)), note if smooth > 1 else "")


def measured(found: Mapping[str, Any]) -> Iterator[Section]:
    """What was measured on queries that were held out: shares with intervals, the rest as it is."""
    if not found:
        return
    estimates = []
    for key, name, count in SHARES:
        value, pairs = found.get(key), found.get(count)
        if isinstance(value, int | float) and pairs:
            estimates.append((name, Estimate(float(value), *wilson(float(value), pairs)), many(int(pairs), "pair")))
    blocks: list[Block] = []
    if estimates:
        axis = axis_of(value for _, one, _ in estimates for value in (one.low, one.high))
        made = tuple(
            Row(name, whisker(name, one, axis, "", 0.5), fixed(one.value), interval(one), note=note)
            for name, one, note in estimates
        )
        caption = "Wilson's intervals, as if pairs of one query were independent. The dashed mark is a coin's one half."
        blocks.append(Intervals("share", made, ruler(axis, "share"), caption))
    taken = {key for key, _, _ in SHARES} | {count for _, _, count in SHARES} if estimates else set()
    if rest := tuple((key, counted(value)) for key, value in found.items() if key not in taken):
        blocks.append(Facts(rest))
    yield Section("measured", "On queries that were held out", tuple(blocks))


def settings(run: Run) -> Section:
    """What was trained on what."""
    data = run.record.get("data") or {}
    train = run.record.get("train") or run.settings.get("train", {})
    facts = [("model", str(run.settings.get("model"))), ("data", _data(run))]
    facts += [(f"rows left out: {why}", f"{count:,}") for why, count in (data.get("left_out") or {}).items()]
    facts += [(name.replace("_", " "), counted(value)) for name, value in train.items() if value is not None]
    facts += [(f"judge behind it: {one['judge']}", str(one["how"])) for one in run.record.get("ties") or ()]
    facts.append(("processes", str(run.record.get("processes", 1))))
    note = Words("The weights lie in model/ of the run folder, with a model card that names data, judge and settings.")
    return Section(
        "settings", "What was trained, and how", (Facts(tuple(facts)), *((note,) if run.record.get("model") else ()))
    )


def _data(run: Run) -> str:
    data = run.record.get("data") or run.settings.get("data", {})
    return f"{many(data['rows'], 'row')} of {data['file']}" if "rows" in data else str(data.get("file"))


def _figures(run: Run, log: Sequence[Mapping[str, Any]], steps: int) -> tuple[Figure, ...]:
    window = max(1, len(log) // 25)
    found = [Figure(f"{steps:,}", "steps")]
    for key, name in (
        ("loss", "loss"),
        ("mean_token_accuracy", "token accuracy"),
        ("accuracy", "training pairs in order"),
    ):
        points = series(log, key)
        if points:
            ends = (points[:window], points[-window:])
            start, end = (sum(value for _, value in part) / len(part) for part in ends)
            found.append(Figure(number(end), name, f"from {number(start)}"))
    if run.record.get("seconds"):
        found.append(Figure(duration(run.record["seconds"]), "training time"))
    return tuple(found)
