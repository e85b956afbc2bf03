"""How people read a scorecard: tables, then the sentences that the numbers allow."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from rich.text import Text

from kindling.cli import comparing, console
from kindling.eval.intervals import Estimate
from kindling.eval.scorecard.card import ALL, FILE, Card, Conclusion, Scorecard
from kindling.eval.scorecard.conclusions import points

if TYPE_CHECKING:
    from kindling.cli.preparation import Evaluation

FEW = 3  # pairs of models that are told apart, or not, in a sentence each
_STYLES = {"better": "bold green", "not distinguishable": "", "power": "dim", "warning": "yellow"}


def describe(evaluation: "Evaluation", *, as_json: bool) -> None:
    """Say what would run: models, judges, texts, calls and cost by role."""
    rows, bench, samples = evaluation.rows, evaluation.bench, evaluation.request.samples
    queries = len(rows) // samples
    calls: dict[str, int] = {}
    cost: dict[str, float] = {}
    for entrant in evaluation.entrants:
        if entrant.plan is not None:
            turns = entrant.plan.calls(queries, samples)
            counted = {role: count for role, count in turns.items() if count and entrant.role in (None, role)}
            if entrant.role in counted:
                counted[entrant.role] = len(rows)
            _add(calls, cost, f"{entrant.name} ", counted, entrant.plan.cost(rows[0].query, counted))
    for plan in bench.plans:
        counted = plan.calls(len(rows) * len(evaluation.entrants), 1)
        _add(calls, cost, f"{plan.judge} ", counted, plan.cost(rows[0].query, counted))
    if evaluation.comparer is not None:
        counted = {comparing.ROLE: len(rows) * math.comb(len(evaluation.entrants), 2) * comparing.ORDERS}
        _add(calls, cost, f"{comparing.NAME} ", counted, evaluation.comparer.cost(rows[0].query, counted))
    models = [(one.name, one.player) for one in bench.models]
    judges = [(judge.name, ", ".join(judge.independent_of) or "none") for judge in bench.judges]
    ties = {one.name: {tie.judge: tie.how for tie in one.ties} for one in bench.models}
    if as_json:
        console.answer(
            {
                "models": dict(models),
                "judges": {judge.name: judge.independent_of for judge in bench.judges},
                "ties": ties,
                "queries": queries,
                "texts": len(rows) * len(models),
                "calls": calls,
                "cost": cost,
            }
        )
        return
    console.table("Who writes", ("model", "player"), models)
    console.table("Who judges", ("judge", "no known tie to"), judges)
    known = [(name, judge, how) for name, those in ties.items() for judge, how in those.items()]
    if known:
        console.table("Known ties", ("model", "judge", "how"), known)
    if calls:
        counted_rows = [(role, count, f"{cost[role]:.4f}") for role, count in calls.items()]
        console.table("Calls at most, without repairs and retries", ("role", "calls", "cost, about"), counted_rows)
    texts = f"{queries:,} queries, {len(rows) * len(models):,} texts"
    console.out.print(f"{texts}, {sum(calls.values()):,} calls, cost about {sum(cost.values()):.4f}; nothing was run")


def _add(
    calls: dict[str, int], costs: dict[str, float], who: str, counted: dict[str, int], cost: dict[str, float]
) -> None:
    calls.update({f"{who}{role}": count for role, count in counted.items()})
    costs.update({f"{who}{role}": cost[role] for role in counted})


def show(scorecard: Scorecard, spent: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """Print the scorecard."""
    if as_json:
        console.answer({**orjson.loads(orjson.dumps(scorecard)), **spent, "out": str(out)})
        return
    asked = scorecard.asked
    each = f" × {asked.samples}" if asked.samples > 1 else ""
    excellence(scorecard, f"Called good, of {asked.queries:,} queries{each}")
    _beside([card for card in scorecard.cards if card.group == ALL])
    _comparisons(scorecard)
    strong = [(short(one.judge), one.model, number(one.strength)) for one in scorecard.strengths if one.group == ALL]
    console.table("Bradley–Terry strength, log-odds", ("judge", "model", "strength"), strong)
    conclusions(scorecard)
    console.out.print(f"{spent['calls']:,} calls, cost {spent['cost']:.4f} → {out / FILE}")


def excellence(scorecard: Scorecard, title: str) -> None:
    """The table of rates: model, group and judge, as it says and corrected."""
    several = len(scorecard.asked.groups) > 1
    rows = [
        (
            f"{card.model}{f', {card.group}' if several else ''}",
            short(one.judge),
            percent(one.raw),
            percent(one.corrected),
            one.scored,
            "no" if one.independent else Text(one.tie, style="yellow"),
        )
        for card in scorecard.cards
        for one in card.excellence
    ]
    console.table(title, ("model", "judge", "says good, %", "corrected, %", "texts", "tied to it"), rows)


def _beside(cards: list[Card]) -> None:
    """What else was measured, two tables with a row a model."""
    console.table(
        "Beside it",
        ("model", "failed, %", "characters", "long, %", "requests, %", "taboo, %"),
        [
            (
                card.model,
                percent(card.texts.failures),
                number(card.length.median, 0),
                percent(card.length.over),
                percent(card.requests.met),
                percent(card.taboo.share) if card.taboo else "–",
            )
            for card in cards
        ],
    )
    varied = [(card.model, card.diversity) for card in cards if card.diversity is not None]
    if varied:
        console.table(
            f"Diversity, over {varied[0][1].texts:,} texts of each",
            ("model", "different, %", "distinct-2", "self-BLEU", "Vendi score"),
            [
                (
                    model,
                    percent(one.different),
                    number(one.distinct["2"]),
                    number(one.self_bleu),
                    number(one.vendi, 1),
                )
                for model, one in varied
            ],
        )
    copied = [(card.model, card.novelty) for card in cards if card.novelty is not None]
    if copied:
        console.table(
            f"Against {copied[0][1].training:,} training texts",
            ("model", "verbatim, %", "near, %", "half a run, %", "longest run", "nearest"),
            [
                (
                    model,
                    percent(one.verbatim),
                    percent(one.near),
                    percent(one.mostly),
                    number(one.run, 0),
                    number(one.similarity),
                )
                for model, one in copied
            ],
        )


def _comparisons(scorecard: Scorecard) -> None:
    several = len(scorecard.asked.groups) > 1
    rows = [
        (
            f"{one.one} – {one.other}{f', {one.group}' if several else ''}",
            short(one.judge) if one.independent else f"{short(one.judge)} *",
            points(one.difference) if one.difference.value is not None else f"wins {percent(one.win_rate)} %",
            f"{one.p_holm:.3f}",
            f"{one.wins}/{one.ties}/{one.losses}",
        )
        for one in scorecard.comparisons
    ]
    columns = ("models", "judge", "difference, points", "p (Holm)", "won/tied/lost")
    title = "Pairs of models on the same queries, p corrected for those of one judge and group"
    console.table(f"{title}; *: not independent of them", columns, rows)


def conclusions(scorecard: Scorecard) -> None:
    """The sentences, a line each; where many pairs cannot be told apart, one line names them all."""
    console.out.print("What may be concluded", style="bold")
    alike: dict[tuple[str, str], list[Conclusion]] = {}
    for one in scorecard.conclusions:
        if one.kind == "not distinguishable":
            alike.setdefault((one.judge, one.group), []).append(one)
    for one in scorecard.conclusions:
        together = alike.get((one.judge, one.group), []) if one.kind == "not distinguishable" else []
        if len(together) <= FEW:
            console.out.print(f"- {console.plain(one.sentence)}", style=_STYLES[one.kind])
        elif one is together[0]:
            console.out.print(f"- {console.plain(_alike(scorecard, one.judge, one.group))}")
    console.out.print()


def _alike(scorecard: Scorecard, judge: str, group: str) -> str:
    """All pairs of models that a judge cannot tell apart on a group of queries, in a sentence."""
    there = [one for one in scorecard.comparisons if (one.judge, one.group) == (judge, group)]
    pairs = [f"{one.one} – {one.other}" for one in there if not one.apart]
    where = f"these {'' if group == ALL else f'{group} '}queries"
    if len(pairs) == len(there):
        return f"no two models are distinguishable on {where} by {judge}"
    return f"{len(pairs)} of {len(there)} pairs are not distinguishable on {where} by {judge}: {'; '.join(pairs)}"


def short(judge: str) -> str:
    """A judge's name without the folders that a learned one lies in."""
    kind, colon, path = judge.partition(":")
    return f"{kind}{colon}{Path(path).name}"


def percent(estimate: Estimate) -> str:
    """`82.0 [75–87]`, or a dash."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "–"
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.0f}–{100 * estimate.high:.0f}]"


def number(estimate: Estimate, digits: int = 2) -> str:
    """`0.82 [0.75, 0.87]`, or a dash."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "–"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
