"""What can be counted in a model's texts: how many are whole, their length, requests met, words that are taboo."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from kindling.eval.intervals import Estimate, resample
from kindling.eval.panel import MakeCase
from kindling.eval.scorecard.card import Length, Requests, Taboo, Texts
from kindling.eval.scorecard.novelty import weighted_median
from kindling.eval.scorecard.rates import rate
from kindling.eval.scorecard.sheets import Row, Written

FindTaboo = Callable[[str, str], Sequence[str]]
"""The taboo wording in a response to a query."""
REASONS = 5


def texts(rows: Sequence[Row], written: Sequence[Written]) -> Texts:
    """Count what came of all texts that were asked for."""
    ends = Counter(one.failure for one in written)
    reasons = Counter(one.reason for one in written if one.failure)
    return Texts(
        asked=len(written),
        whole=ends[None],
        empty=ends["empty"],
        cut_off=ends["cut_off"],
        failed=ends["failed"],
        failures=rate([one.failure is not None for one in written], [row.query for row in rows]),
        reasons=dict(reasons.most_common(REASONS)),
    )


def length(queries: Sequence[str], said: Sequence[str], limit: int, seed: int) -> Length:
    """Measure whole texts in characters; `queries` are theirs."""
    lengths = np.array([len(text) for text in said], dtype=float)
    if not len(lengths):
        return Length(Estimate(), None, None, limit, Estimate())
    tenth, ninetieth = np.percentile(lengths, [10, 90]).tolist()
    median = weighted_median(lengths, resample(queries, seed))
    return Length(median, tenth, ninetieth, limit, rate(lengths > limit, queries))


def requests(queries: Sequence[str], said: Sequence[str], make: MakeCase) -> Requests:
    """Say how many texts meet all verifiable requests of their query, among those whose query has one."""
    kinds: dict[str, tuple[int, int]] = {}
    met, asked = [], []
    for query, text in zip(queries, said, strict=True):
        facts = make(query, text).facts
        if not facts:
            continue
        asked.append(query)
        met.append(all(fact.met for fact in facts))
        for fact in facts:
            have, of = kinds.get(fact.kind, (0, 0))
            kinds[fact.kind] = have + fact.met, of + 1
    return Requests(len(asked), rate(met, asked), dict(sorted(kinds.items())))


def taboo(queries: Sequence[str], said: Sequence[str], find: FindTaboo) -> Taboo:
    """Say how many texts have wording that the task forbids."""
    found = [set(find(query, text)) for query, text in zip(queries, said, strict=True)]
    phrases = Counter(phrase for one in found for phrase in one)
    return Taboo(rate([bool(one) for one in found], queries), dict(phrases.most_common(REASONS)))
