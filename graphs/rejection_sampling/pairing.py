"""From judged candidates to preference pairs: pure functions of the scores, the texts and a seed.

A pair is a good and a bad response to one query whose scores differ by at least the margin. Unscored candidates do not
exist here, of equal texts only the first does, and no text is ever paired with itself.

Why `closest_length` is the default. If chosen texts are longer than rejected ones, a reward model learns to count
characters, and a policy trained on it learns to be long: in the public preference data of arXiv 2508.21476 the longer
text wins 97 % of the time, and "at least 39 characters" alone agrees with 90 % of the labels of its evaluation set. So
of all pairs that a query offers, the one is taken whose two lengths are most nearly equal. Differences below ten per
cent of the longer text are not told apart (nor those between ten and twenty, and so on): among pairs in the same bucket
a coin decides whether the longer text is to be the chosen or the rejected one, so that over a dataset it is chosen
about half the time, as far as the candidates allow. The coin depends on the query's id and the run's seed alone: the
same run makes the same pairs, in whatever order rows finish.

`best_worst` takes the widest score gap, `all` takes every pair; both inherit whatever the judge thinks of length.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal

from kindling.records import Judgement, PreferencePair, Query

Pairing = Literal["closest_length", "best_worst", "all"]
BUCKET_PERCENT = 10
ROUNDING = 1e-9  # .6 - .4 is a little below .2


def make_pairs(
    pairing: Pairing, query: Query, judgements: Iterable[Judgement], margin: float, seed: int
) -> tuple[PreferencePair, ...]:
    """Pair the candidates of one query by the named rule; empty where no good × bad pair has the margin."""
    possible = possible_pairs(query, judgements, margin)
    if not possible:
        return ()
    if pairing == "closest_length":
        return (closest_length(possible, longer_chosen=coin(query.id, seed)),)
    if pairing == "best_worst":
        return (best_worst(possible),)
    return tuple(possible)


def possible_pairs(query: Query, judgements: Iterable[Judgement], margin: float) -> list[PreferencePair]:
    """Every good × bad pair of distinct texts with `margin` between their scores, by chosen, then rejected index."""
    distinct: dict[str, Judgement] = {}
    for one in sorted(judgements, key=lambda one: one.candidate.index):
        distinct.setdefault(one.candidate.text, one)
    good = [one for one in distinct.values() if one.verdict.label == "good"]
    bad = [one for one in distinct.values() if one.verdict.label == "bad"]
    pairs = (_pair(query, chosen, rejected) for chosen in good for rejected in bad)
    return [pair for pair in pairs if _gap(pair) >= margin - ROUNDING]


def closest_length(pairs: list[PreferencePair], *, longer_chosen: bool) -> PreferencePair:
    """Choose the most equal lengths; in their bucket what goes the coin's way, then the wider gap, then indices."""

    def rank(pair: PreferencePair) -> tuple[int, bool, float, int, int]:
        chosen, rejected = len(pair.chosen), len(pair.rejected)
        bucket = 100 * abs(chosen - rejected) // (BUCKET_PERCENT * max(chosen, rejected))
        against_the_coin = chosen < rejected if longer_chosen else chosen > rejected
        return bucket, against_the_coin, -_gap(pair), pair.chosen_index, pair.rejected_index

    return min(pairs, key=rank)


def best_worst(pairs: list[PreferencePair]) -> PreferencePair:
    """Choose the widest gap; of equals the one with the lowest indices."""
    return min(pairs, key=lambda pair: (-_gap(pair), pair.chosen_index, pair.rejected_index))


def coin(query_id: str, seed: int) -> bool:
    """Heads or tails for a query, each about half the time over queries and seeds."""
    return bool(hashlib.sha256(f"{query_id}\x1f{seed}".encode()).digest()[0] & 1)


def _gap(pair: PreferencePair) -> float:
    return pair.chosen_score - pair.rejected_score


def _pair(query: Query, chosen: Judgement, rejected: Judgement) -> PreferencePair:
    assert chosen.verdict.score is not None, "a label has a score"
    assert rejected.verdict.score is not None, "a label has a score"
    return PreferencePair(
        query=query.text,
        chosen=chosen.candidate.text,
        rejected=rejected.candidate.text,
        query_id=query.id,
        chosen_index=chosen.candidate.index,
        rejected_index=rejected.candidate.index,
        chosen_score=chosen.verdict.score,
        rejected_score=rejected.verdict.score,
        chosen_source=chosen.candidate.source,
        rejected_source=rejected.candidate.source,
        judge=chosen.verdict.judge,
        template=chosen.verdict.template,
    )
