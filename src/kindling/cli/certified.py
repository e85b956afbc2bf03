"""How people read a certificate: the verdict on each line first, then the numbers beside their baselines."""

from pathlib import Path
from typing import Any

import orjson
from rich.text import Text

from kindling.cli import beside, console
from kindling.eval.agreement import Agreement
from kindling.eval.certificate import Certificate, Line
from kindling.eval.fooling import Family

MEASURES = ("accuracy", "precision", "recall", "specificity", "f1", "kappa", "auc", "brier", "ece")
_PASSED = {True: Text("pass", style="green"), False: Text("FAIL", style="red"), None: Text("n/a")}
_SIGNS = {"at least": "≥", "at most": "≤", "more than": ">"}


def describe(
    players: dict[str, str], judgements: dict[str, int], calls: dict[str, tuple[int, float]], *, as_json: bool
) -> None:
    """Say what would run: judgements by purpose, calls and cost by role."""
    if as_json:
        counts = {role: count for role, (count, _) in calls.items()}
        costs = {role: cost for role, (_, cost) in calls.items()}
        console.answer({"players": players, "judgements": judgements, "calls": counts, "cost": costs})
        return
    console.table("Who judges", ("role", "player"), list(players.items()))
    console.table("Judgements, at most", ("for", "judgements"), list(judgements.items()))
    if calls:
        rows = [(role, count, f"{cost:.4f}") for role, (count, cost) in calls.items()]
        console.table("Calls, without repairs", ("role", "calls", "cost, about"), rows)
    total, cost = (sum(one[place] for one in calls.values()) for place in (0, 1))
    console.out.print(f"{total:,} calls, cost about {cost:.4f}; nothing was run or written")


def show(certificate: Certificate, out: Path, others: tuple[Certificate, ...] = (), *, as_json: bool) -> None:
    """Print the certificate, and beside it those of other judges on the same cases."""
    if as_json:
        more = {"beside": others} if others else {}
        console.answer(orjson.loads(orjson.dumps(certificate)) | orjson.loads(orjson.dumps(more)))
        return
    card, data = certificate.judge, certificate.data
    if others:
        beside.show((certificate, *others))
    console.table("Lines", ("line", "value", "limit", "", "note"), [_row(line) for line in certificate.lines])
    if not all(line.sure for line in certificate.lines):
        console.out.print("? the limit lies within the interval: other cases of the same kind could say otherwise")
    found = certificate.findings
    _agreement("Agreement", found.agreement, {one.name: one.agreement for one in found.baselines})
    _agreement("Length-matched", found.matched, {one.name: one.matched for one in found.baselines})
    console.table(
        "Attacks", ("family", "fooled", "trials", "unscored", "worst"), [_family(one) for one in found.attacks]
    )
    if found.unscored.reasons:
        console.table("Why unscored", ("cases", "reason"), [(n, why) for why, n in found.unscored.reasons.items()])
    steady, cost = found.steadiness, certificate.cost
    console.out.print(f"steady: {steady.repeats} verdicts on {steady.cases:,} cases; {_spread(steady.score_sd)}")
    console.out.print(f"order of two texts: {steady.order}")
    console.out.print(
        f"1,000 judgements: {console.duration(cost.seconds)}, {cost.calls:,.0f} calls "
        f"({cost.recalled:.0%} from the ledger), "
        f"{cost.prompt_tokens:,.0f} + {cost.completion_tokens:,.0f} tokens, cost {cost.money:.4f}"
    )
    model = f"{card.model} ({card.grading})" if card.grading else card.model or "(no model)"
    console.out.print(f"judge {card.name} {model}, template {card.template[:16] or 'none'}")
    console.out.print(f"on {data.file}: {data.cases:,} cases, {data.good:,} good, {data.queries:,} queries → {out}")
    said = "passed" if certificate.passed else f"FAILED: {', '.join(certificate.failed)}"
    console.out.print(said, style="bold green" if certificate.passed else "bold red", highlight=False)


def _row(line: Line) -> tuple[Any, ...]:
    # which attacks did most stands in the table of attacks
    note = "" if line.name.startswith("attack: ") and line.passed else line.note
    limit = f"{_SIGNS[line.wants]} {line.limit:g}"
    return line.name, str(line.estimate), limit, _PASSED[line.passed] + ("" if line.sure else " ?"), note


def _agreement(title: str, judge: Agreement, beside: dict[str, Agreement]) -> None:
    rows = []
    for name in MEASURES:
        others = (getattr(one, name).value for one in beside.values())
        shown = ("–" if value is None else f"{value:.3f}" for value in others)
        rows.append((name, str(getattr(judge, name)), *shown))
    title = f"{title}: {judge.cases:,} cases, {judge.good:,} good"
    console.table(title, ("measure", "judge", *beside), rows)


def _family(one: Family) -> tuple[Any, ...]:
    attacks = ((count.attack.removeprefix(f"{one.family}."), count) for count in one.worst)
    worst = ", ".join(f"{name} {count.fooled}/{count.trials}" for name, count in attacks)
    return one.family, one.fooled, one.trials, one.unscored, worst


def _spread(score_sd: float | None) -> str:
    return "no spread of scores" if score_sd is None else f"scores stray by {score_sd:.3f} (s.d.)"
