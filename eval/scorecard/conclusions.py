"""The sentences that the numbers allow, and no others.

Two models are called apart only where the exact test, corrected for all pairs of one judge on one group of queries, is
below 5 % *and* the interval of their difference leaves 0 out; else the sentence says that they are not distinguishable
on these queries, which is not that they are equal. A judge that is tied to a model is named as such in every sentence
that rests on it.
Warnings say what would make a reader draw the wrong conclusion from the tables.
"""

from collections.abc import Iterator, Sequence

from kindling.eval.intervals import Estimate
from kindling.eval.scorecard.card import ALL, Card, Comparison, Conclusion, Contestant, Evaluator, Power

LEVEL = 0.05
TIED = 0.5  # the win rate of models that are alike
MANY = 0.05  # a share of failures, copies or missing verdicts from which a warning is due


def apart(estimate: Estimate, p_holm: float, alike: float = 0.0) -> bool:
    """Whether two models may be called apart by an estimate that is `alike` where they are."""
    low, high = estimate.low, estimate.high
    return p_holm < LEVEL and low is not None and high is not None and not low <= alike <= high


def conclude(
    models: Sequence[Contestant],
    cards: Sequence[Card],
    comparisons: Sequence[Comparison],
    judges: Sequence[Evaluator],
    power: Sequence[Power],
) -> tuple[Conclusion, ...]:
    """Put comparisons into words, then what one has to know about models and judges."""
    found = [_compared(one) for one in comparisons]
    found += _families(comparisons)
    found += [_warning(model.name, model.note) for model in models if model.note]
    found += [warning for judge in judges for warning in _about_judge(judge, cards)]
    found += [warning for card in cards if card.group == ALL for warning in _about_card(card)]
    found += [_reach(one) for one in power if one.group == ALL]
    return tuple(found)


def _compared(one: Comparison) -> Conclusion:
    where = f"these {one.queries:,} {'' if one.group == ALL else f'{one.group} '}queries"
    by = one.judge if one.independent else f"{one.judge}, which is not independent of them"
    by_rates = one.difference.value is not None
    gained = (one.difference.value or 0) > 0 if by_rates else (one.win_rate.value or 0) > TIED
    turned = one.apart and not gained  # the better model is named first, and the numbers are its own
    difference, wins = (
        (_mirrored(one.difference, 0), _mirrored(one.win_rate, 1)) if turned else (one.difference, one.win_rate)
    )
    found = f"difference {points(difference)} points" if by_rates else f"win rate {_share(wins)}"
    measured = f"{found}, p {_p(one.p_holm)}"
    if not one.apart:
        words = f"{one.one} and {one.other} are not distinguishable on {where} by {by} ({measured})"
        return Conclusion("not distinguishable", words, one.judge, one.group)
    better, worse = (one.one, one.other) if gained else (one.other, one.one)
    said = "is called good more often than" if by_rates else "is preferred to"
    words = f"{better} {said} {worse} on {where} by {by} ({measured})"
    return Conclusion("better", words, one.judge, one.group)


def _families(comparisons: Sequence[Comparison]) -> Iterator[Conclusion]:
    """What the corrected p is corrected for, where that is not every comparison there is."""
    tables = len({(one.judge, one.group) for one in comparisons})
    if tables > 1:
        family = "each p is corrected (Holm) for the pairs of one judge on one group of queries"
        yield _warning(
            "p", f"{family}; there are {tables} such tables, and the more there are, the more differ by chance"
        )


def _mirrored(estimate: Estimate, total: float) -> Estimate:
    """The same from the other side: `total` less the value."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    return Estimate(total - estimate.value, total - estimate.high, total - estimate.low)


def _about_judge(judge: Evaluator, cards: Sequence[Card]) -> Iterator[Conclusion]:
    tied = [
        f"{card.model} ({one.tie})"
        for card in cards
        for one in card.excellence
        if card.group == ALL and one.judge == judge.name and not one.independent
    ]
    if tied:
        yield _warning(judge.name, f"is tied to {', '.join(tied)}: of them it is no independent evidence")
    if judge.accuracy is None:
        yield _warning(judge.name, f"rates are what it says, not corrected for its errors: {judge.uncorrected}")
    elif not judge.accuracy.passed:
        said = f"failed its certificate ({judge.accuracy.file}): its errors are corrected for, its blind spots are not"
        yield _warning(judge.name, said)


def _about_card(card: Card) -> Iterator[Conclusion]:
    written, copied = card.texts, card.novelty.verbatim if card.novelty else Estimate()
    if (written.failures.value or 0) > MANY:
        ends = f"{written.cut_off:,} cut off, {written.empty:,} empty, {written.failed:,} failed"
        lost = f"no whole text in {written.failures.value:.1%} of {written.asked:,} ({ends})"
        yield _warning(card.model, f"{lost}; its rates say nothing of those")
    for one in card.excellence:
        asked = one.scored + one.unscored
        if one.unscored > MANY * asked:
            silent = f"no verdict by {one.judge} on {one.unscored:,} of {asked:,} texts"
            yield _warning(card.model, f"{silent}; the rate is that of the others", one.judge)
    if (copied.low or 0) > MANY:
        yield _warning(card.model, f"{copied.value:.1%} of its texts stand verbatim in the training files")


def _warning(about: str, words: str, judge: str = "") -> Conclusion:
    return Conclusion("warning", f"{about}: {words}", judge)


def _reach(one: Power) -> Conclusion:
    words = f"{one.queries:,} queries detect {100 * one.detects:.1f} points at 80 % by {one.judge}"
    if one.pairs > 1:
        words += f", with {one.pairs} pairs of models to tell apart"
    return Conclusion("power", words, one.judge, one.group)


def points(estimate: Estimate) -> str:
    """`+3.4 [+1.2, +5.6]`, of a share in points."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "–"
    return f"{100 * estimate.value:+.1f} [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"


def _share(estimate: Estimate) -> str:
    return f"{100 * (estimate.value or 0):.1f} % [{100 * (estimate.low or 0):.1f}, {100 * (estimate.high or 0):.1f}]"


def _p(value: float) -> str:
    return f"= {value:.3f}" if value >= 0.001 else "< 0.001"
