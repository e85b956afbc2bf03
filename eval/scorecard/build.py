"""From sheets to a scorecard: every measure of every model, every pair of models by every judge, for every group."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from kindling.eval.intervals import Estimate, Floats
from kindling.eval.panel import MakeCase
from kindling.eval.scorecard import diversity, paired, power, wording
from kindling.eval.scorecard.card import (
    ALL,
    Card,
    Comparison,
    Conclusion,
    Contestant,
    Evaluator,
    Excellence,
    Power,
    Strength,
)  # fmt: skip
from kindling.eval.scorecard.conclusions import TIED, apart, conclude
from kindling.eval.scorecard.novelty import Training, novelty
from kindling.eval.scorecard.rates import corrected, rate, trials
from kindling.eval.scorecard.sheets import Duels, Row, Sheet
from kindling.eval.scorecard.strengths import strengths


@dataclass(frozen=True)
class Tools:
    """What measures need from elsewhere.

    `make` measures the facts of a case; `find_taboo` is None where the task names no taboos, `training` where no
    training file was given. A text over `long` characters is long; scores no more than `band` apart are a tie.
    """

    make: MakeCase
    find_taboo: wording.FindTaboo | None
    training: Training | None
    long: int
    unit: diversity.Unit
    band: float
    seed: int


@dataclass(frozen=True)
class Measured:
    """Everything that a scorecard says beyond what was asked for."""

    cards: tuple[Card, ...]
    comparisons: tuple[Comparison, ...]
    strengths: tuple[Strength, ...]
    power: tuple[Power, ...]
    conclusions: tuple[Conclusion, ...]


def measure(
    rows: Sequence[Row],
    sheets: Sequence[Sheet],
    models: Sequence[Contestant],
    judges: Sequence[Evaluator],
    tools: Tools,
    duels: Duels | None = None,
) -> Measured:
    """Measure everything. All sheets have an entry for every row; `models` and `sheets` are in the same order."""
    cards: list[Card] = []
    comparisons: list[Comparison] = []
    strong: list[Strength] = []
    reach: list[Power] = []
    # over as many texts of every model that has any
    size = min([diversity.MOST, *(whole for sheet in sheets if (whole := _whole(sheet)))])
    for group, places in groups(rows).items():
        there = [rows[place] for place in places]
        parts = [_part(sheet, places) for sheet in sheets]
        for sheet, model in zip(parts, models, strict=True):
            cards.append(_card(group, there, sheet, model, judges, tools, size))
        if len(parts) > 1:
            for judge in judges:
                found, spreads = _compared(group, there, parts, judge, tools.band)
                comparisons += found
                won = _outcomes(parts, judge, tools.band)
                strong += _strengths(group, there, parts, judge.name, won, tools.seed)
                if spreads:
                    queries = min(one.queries for one in found)  # that both models of a pair have a score on
                    each = max(one.pairs / one.queries for one in found)
                    detects, needed = power.detectable(spreads, queries, each), power.needed(spreads, each)
                    reach.append(Power(judge.name, group, queries, len(spreads), detects, needed))
        if duels is not None and len(parts) > 1:
            fought, won = _fought(group, places, there, parts, duels)
            comparisons += fought
            strong += _strengths(group, there, parts, duels.judge, won, tools.seed)
    said = conclude(models, cards, comparisons, judges, reach)
    return Measured(tuple(cards), tuple(comparisons), tuple(strong), tuple(reach), said)


def groups(rows: Sequence[Row]) -> Mapping[str, list[int]]:
    """The places of all rows, then those of each group in the order of their first rows; one group alone is all."""
    found: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        found.setdefault(row.group, []).append(place)
    every = {ALL: list(range(len(rows)))}
    return every | found if len(found) > 1 else every


def _whole(sheet: Sheet) -> int:
    return sum(one.failure is None for one in sheet.written)


def _part(sheet: Sheet, places: Sequence[int]) -> Sheet:
    """The sheet of some rows."""
    scores = {judge: values[places] for judge, values in sheet.scores.items()}
    return Sheet(sheet.name, tuple(sheet.written[place] for place in places), scores)


def _card(
    group: str,
    rows: Sequence[Row],
    sheet: Sheet,
    model: Contestant,
    judges: Sequence[Evaluator],
    tools: Tools,
    size: int,
) -> Card:
    whole = [(row.query, one.text) for row, one in zip(rows, sheet.written, strict=True) if one.failure is None]
    queries, said = [query for query, _ in whole], [text for _, text in whole]
    everything = group == ALL and bool(said)
    return Card(
        model=sheet.name,
        group=group,
        queries=len({row.query for row in rows}),
        texts=wording.texts(rows, sheet.written),
        excellence=tuple(_excellence(rows, sheet, model, judge) for judge in judges),
        length=wording.length(queries, said, tools.long, tools.seed),
        requests=wording.requests(queries, said, tools.make),
        taboo=wording.taboo(queries, said, tools.find_taboo) if tools.find_taboo and said else None,
        diversity=diversity.diversity(queries, said, size, tools.unit, tools.seed) if everything else None,
        novelty=novelty(queries, said, tools.training, tools.seed) if everything and tools.training else None,
    )


def _excellence(rows: Sequence[Row], sheet: Sheet, model: Contestant, judge: Evaluator) -> Excellence:
    scores = sheet.scores[judge.name]
    scored = ~np.isnan(scores)
    good: Floats = (scores[scored] > 0.5).astype(float)
    queries = [row.query for row, has in zip(rows, scored, strict=True) if has]
    tie = "; ".join(one.how for one in model.ties if one.judge == judge.name)
    right, note = Estimate(), judge.uncorrected
    if judge.accuracy is not None and len(good):
        right = corrected(float(good.mean()), trials(good, queries), judge.accuracy)
        if right.value is None:
            note = "no corrected rate: by its certificate, the judge is no better than chance (TPR + TNR ≤ 1)"
        elif (right.low, right.high) == (0.0, 1.0):
            note = "its certificate leaves every rate possible"
    return Excellence(
        judge=judge.name,
        independent=model.name in judge.independent_of,
        tie=tie,
        scored=len(good),
        unscored=_whole(sheet) - len(good),
        good=int(good.sum()),
        raw=rate(good, queries),
        corrected=right,
        note=note,
    )


def _compared(
    group: str, rows: Sequence[Row], sheets: Sequence[Sheet], judge: Evaluator, band: float
) -> tuple[list[Comparison], list[float]]:
    """All pairs of models by one judge, and how much their differences stray from query to query."""
    queries, found = [row.query for row in rows], {}
    for one, other in combinations(sheets, 2):
        result = paired.compare(one.scores[judge.name], other.scores[judge.name], queries, band)
        if result is not None:
            found[one.name, other.name] = result
    orders = dict.fromkeys(found, paired.ALONE)
    made = _comparisons(judge.name, group, found, set(judge.independent_of), band, orders)
    return made, [result.spread for result in found.values()]


def _fought(
    group: str, places: Sequence[int], rows: Sequence[Row], sheets: Sequence[Sheet], duels: Duels
) -> tuple[list[Comparison], dict[tuple[int, int], Floats]]:
    """All pairs of models by the comparer, and its preferences by the models' places."""
    queries, found, orders, won = [row.query for row in rows], {}, {}, {}
    for (i, one), (j, other) in combinations(enumerate(sheets), 2):
        pair = one.name, other.name
        won[i, j] = duels.won[pair][places]
        result = paired.preferred(won[i, j], queries)
        if result is not None:
            found[pair] = result
            orders[pair] = (
                f"asked in both orders: {int(duels.turned[pair][places].sum()):,} turned with it, and are ties"
            )
    return _comparisons(duels.judge, group, found, set(duels.independent_of), 0.0, orders), won


def _comparisons(
    judge: str,
    group: str,
    found: Mapping[tuple[str, str], paired.Paired],
    independent_of: set[str],
    band: float,
    orders: Mapping[tuple[str, str], str],
) -> list[Comparison]:
    """The record of each pair, with p values corrected for all of them."""
    corrected_ps = paired.holm([result.p for result in found.values()])
    return [
        Comparison(
            judge=judge,
            group=group,
            one=pair[0],
            other=pair[1],
            independent=independent_of.issuperset(pair),
            queries=result.queries,
            pairs=result.pairs,
            difference=result.difference,
            p=result.p,
            p_holm=p_holm,
            apart=apart(result.win_rate, p_holm, TIED)
            if result.difference.value is None
            else apart(result.difference, p_holm),
            wins=result.wins,
            ties=result.ties,
            losses=result.losses,
            win_rate=result.win_rate,
            band=band,
            order=orders[pair],
        )
        for (pair, result), p_holm in zip(found.items(), corrected_ps, strict=True)
    ]


def _outcomes(sheets: Sequence[Sheet], judge: Evaluator, band: float) -> dict[tuple[int, int], Floats]:
    """Who wins by a judge's scores, row by row, for all pairs of models by their places."""
    scores = [sheet.scores[judge.name] for sheet in sheets]
    return {(i, j): paired.outcome(scores[i], scores[j], band) for i, j in combinations(range(len(sheets)), 2)}


def _strengths(
    group: str,
    rows: Sequence[Row],
    sheets: Sequence[Sheet],
    judge: str,
    won: Mapping[tuple[int, int], Floats],
    seed: int,
) -> Iterator[Strength]:
    found = strengths(won, len(sheets), [row.query for row in rows], seed)
    for sheet, strength in zip(sheets, found, strict=True):
        yield Strength(judge, group, sheet.name, strength)
