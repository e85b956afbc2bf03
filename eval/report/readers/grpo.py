"""`kindling train grpo`: curves inside the range that the firewall allows, the breach that stopped it, what it wrote.

The firewall's log has a line a step as it happened, so a run that was killed is read from there; the trainer's metrics
are written with its checkpoints and add the shadow judge and the terms of the reward. Steps are the trainer's, from 1:
the firewall's own count starts at 0.
"""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

import orjson

from kindling.errors import InputError, RunFolderError
from kindling.eval.report.blocks import Block, Chapter, Chart, Charts, Facts, Figure, Notice, Section, Table, Tag
from kindling.eval.report.charts.lines import Allowed, Curve, Points, lines
from kindling.eval.report.readers.completions import browse
from kindling.eval.report.readers.training import measured, metrics, series, settings
from kindling.eval.report.source import Run, money, repeat, rows, spending, spent_by_judges
from kindling.eval.report.words import number

TERMS = "reward_terms/"
# as the firewall's log names them: title, unit, how to read it
MEASURES = (
    ("reward", "Reward", "mean a step", ""),
    ("length", "Length", "mean characters a text", ""),
    (
        "length_change",
        "Length against the start",
        "relative, but for what the requests explain",
        "Already means. A breach takes a difference beyond noise, too.",
    ),
    ("kl", "KL from the reference model", "nats a token", ""),
    ("entropy", "Entropy", "nats", "The limit follows from the first steps."),
    ("limit_share", "Cut off at the length limit", "share of the texts", ""),
    ("without_advantage", "Groups without advantage", "share whose rewards are all equal", ""),
    ("unscored", "Texts without a verdict", "share", ""),
)
AT_MOST = ("kl", "limit_share", "without_advantage", "unscored")
Log = Sequence[dict[str, Any]]


def read(run: Run) -> Chapter:
    """The chapter of a GRPO run. Raises `RunFolderError` if no step of it is on disk."""
    watched, log = list(rows(run.path / "firewall.jsonl")), metrics(run)
    if not watched:
        raise RunFolderError(f"{run.path}: no step of this run is on disk, so there is nothing to report")
    breach = _breach(run)
    limits = run.settings.get("firewall", {})
    steps = len(watched)
    judges = " and ".join(str(one) for one in (run.settings.get("judge"), run.settings.get("reward_model")) if one)
    spent = spent_by_judges(run.record)
    fate = f"stopped by the firewall at step {breach['step'] + 1}" if breach else run.status.words
    sections = (
        Section(
            "curves",
            "Inside the firewall",
            (_how_to_read(limits), Charts(tuple(_watched(watched, log, limits, breach)))),
        ),
        Section("canaries", "Canaries: does the judge still see?", _canaries(watched, limits, breach)),
        *_exploit(breach),
        *_terms(log, limits),
        *browse(run),
        *measured(run.record.get("measured") or {}),
        settings(run),
        *spending(spent),
        repeat(run),
    )
    return Chapter(
        kind=run.command,
        title=run.path.resolve().name,
        status=Tag("breach", "alarm") if breach else run.status,
        lead=f"{run.settings.get('model')}, rewarded by {judges}: {steps:,} steps, {fate}.",
        facts=run.when(run.record.get("seconds")),
        figures=(*_figures(watched, limits, run), *money(spent)),
        sections=sections,
        notice=_notice(run, breach, steps),
        made=str(run.record.get("started", "")),
    )


def _breach(run: Run) -> dict[str, Any] | None:
    file = run.file("breach.json")
    if file is None:
        return None
    try:
        found: dict[str, Any] = orjson.loads(file.read_bytes())
        found["step"], found["measure"], found["line"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{file}: no breach that can be read, so the run is damaged") from error
    return found


def _notice(run: Run, breach: dict[str, Any] | None, steps: int) -> Notice | None:
    uncertified = (
        ("The judge that rewarded it was not certified: --uncertified.",) if run.settings.get("uncertified") else ()
    )
    if breach:
        exploit = f"What the new high scores have in common: {breach['exploit']}." if breach.get("exploit") else ""
        said = f"The firewall stopped this run at step {breach['step'] + 1}: {breach['line']}"
        return Notice(said, tuple(filter(None, (exploit, *uncertified))))
    if not run.finished:
        why = run.record.get("stopped")
        return run.notice(*((f"Why: {why}.",) if why else ()), f"{steps:,} steps are on disk.", *uncertified)
    return Notice("Trained with an uncertified judge", uncertified, "accent") if uncertified else None


def _figures(watched: Log, limits: dict[str, Any], run: Run) -> Iterator[Figure]:
    for key, name in (("reward", "reward"), ("length", "characters a text"), ("kl", "KL from the start, nats a token")):
        values = [value for _, value in series(watched, key)]
        if values:
            few = min(int(limits.get("window", 4)), len(values))
            yield Figure(number(fmean(values[-few:])), name, f"from {number(fmean(values[:few]))}")
    found = run.record.get("measured") or {}
    start, last = found.get("shadow at the start"), found.get("shadow at the last look")
    if start is not None and last is not None:
        yield Figure(number(last), "shadow judge", f"from {number(start)}; it is no part of the reward")


def _how_to_read(limits: dict[str, Any]) -> Block:
    return Facts(
        (
            ("dots and line", f"a step; the mean of the latest {limits.get('window', 4)}"),
            ("shaded", "outside the range that the firewall allows"),
            ("how it decides", "by the mean, and for what is compared with the start only beyond noise"),
        )
    )


def _watched(watched: Log, log: Log, limits: dict[str, Any], breach: dict[str, Any] | None) -> Iterator[Chart]:
    """Every measure of the firewall, with its range."""
    stopped_for = breach["measure"] if breach else None
    adjusted = bool(series(watched, "length_change"))
    for key, title, unit, note in MEASURES:
        points = series(watched, key, shift=1)
        if points:
            # lengths are compared when what the requests explain has been taken out, as soon as that can be done
            measure = {"length_change": "length", "length": None if adjusted else "length"}.get(key, key)
            window = 1 if key == "length_change" else int(limits.get("window", 4))
            allowed = _allowed(key, watched, limits)
            hit = measure is not None and measure == stopped_for
            curve = Curve(title, points, window, allowed, first=1, breached=hit)
            yield Chart(title, unit, lines(curve), note)
        if key == "reward":
            yield from _shadow(log, limits, breach)


def _allowed(key: str, watched: Log, limits: dict[str, Any]) -> Allowed:
    """The range of a measure; none for what is only looked at."""
    if key == "length_change" and "length_fall" in limits:
        return Allowed(-limits["length_fall"], limits.get("length_rise"))
    if key == "entropy":
        return Allowed(low=_entropy(watched[: int(limits.get("reference", 8))], limits))
    return Allowed(high=limits.get(key)) if key in AT_MOST else Allowed()


def _entropy(first: Log, limits: dict[str, Any]) -> float | None:
    values = [value for _, value in series(first, "entropy")]
    return (1 - limits["entropy_fall"]) * fmean(values) if values and "entropy_fall" in limits else None


def _shadow(log: Log, limits: dict[str, Any], breach: dict[str, Any] | None) -> Iterator[Chart]:
    points: Points = series(log, "shadow")
    if not points:
        return
    few = int(limits.get("shadow_window", 3))
    start = fmean(value for _, value in points[:few])
    allowed = Allowed(low=start - limits["shadow_fall"]) if "shadow_fall" in limits and len(points) > few else Allowed()
    hit = breach is not None and breach["measure"] == "shadow"
    note = f"No part of the reward. Means of {few} looks are compared; the limit holds while the reward rises."
    yield Chart("Shadow judge", "mean score", lines(Curve("Shadow judge", points, 1, allowed, breached=hit)), note)


def _canaries(watched: Log, limits: dict[str, Any], breach: dict[str, Any] | None) -> tuple[Block, ...]:
    kinds = dict.fromkeys(name for line in watched for name in line if name.startswith("canaries/"))
    charts = []
    for name in kinds:
        kind = name.partition("/")[2]
        least = limits.get("canaries", {}).get(kind, limits.get("canary_else"))
        hit = breach is not None and breach["measure"] == name
        curve = Curve(kind, series(watched, name, shift=1), 1, Allowed(low=least), (0.0, 1.0), 1, hit)
        if curve.points:
            charts.append(Chart(kind, "share judged rightly", lines(curve)))
    if not charts:
        return (Facts((("canaries", "none were judged in this run"),)),)
    latest, doubt = limits.get("canary_window", "–"), limits.get("canary_doubt", "–")
    words = f"the latest {latest} of a kind; a breach takes a binomial test at {doubt}"
    return Facts(
        (
            ("what they are", "labelled texts slipped among the completions, whose verdicts are known"),
            ("counted", words),
        )
    ), Charts(tuple(charts))


def _terms(log: Log, limits: dict[str, Any]) -> Iterator[Section]:
    """What the reward is made of."""
    names = dict.fromkeys(name for line in log for name in line if name.startswith(TERMS))
    window = int(limits.get("window", 4))
    charts = []
    for name in names:
        title = name.removeprefix(TERMS).replace("_", " ")
        points = series(log, name)
        if points and title != "unscored":
            charts.append(Chart(title, "mean a step", lines(Curve(title, points, window, within=(0.0, 1.0)))))
    if charts:
        yield Section("terms", "What the reward is made of", (Charts(tuple(charts)),))


def _exploit(breach: dict[str, Any] | None) -> Iterator[Section]:
    """What sets the new high scores apart from those at the start."""
    if breach and breach.get("evidence"):
        shares = ("now", "then", "known")
        rows_ = tuple((one["feature"], *(_percent(one[name]) for name in shares)) for one in breach["evidence"])
        heads = ("the new high scores …", "now", "at the start", "of the references")
        yield Section("exploit", "The trick that it had learned", (Table(heads, rows_),))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
