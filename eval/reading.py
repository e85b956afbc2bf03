"""Does a judge read the request? A good text must be better under its own query than under somebody else's.

Every good case is asked about twice: under its own query, and under one of the same file that asks for something else:

    occasion    a query for another occasion
    recipient   a query for the same occasion and another recipient; both must be named
    query       where the file names no occasions: one of the queries least like its own (character 1- and 2-grams)

Only the query changes, and only to one whose verifiable requests are of the same kinds, met or missed alike: a judge
that counts characters must not pass for one that reads, neither because the other query breaks a count nor because the
own one has a count to meet. A judge that ignores the query, or reads nothing but counts, gives equal scores, which
count as half, and so comes out at .5 exactly.

Another occasion's query may name another recipient too: the first kind credits a judge with either.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Literal

import numpy as np
from pydantic import ConfigDict

from kindling.eval.intervals import Estimate, share
from kindling.eval.panel import MakeCase, Question
from kindling.records import Case, LabelledCase, Verdict, text_id

Kind = Literal["occasion", "recipient", "query"]
FEWEST_UNLIKE = 10


@dataclass(frozen=True, slots=True)
class Reading:
    """How often the own query was preferred, ties as half. `without` good cases had no other query of this kind."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    kind: Kind
    preferred: Estimate
    compared: int
    ties: int
    unscored: int
    without: int


@dataclass(frozen=True, slots=True)
class Swap:
    """What is asked about the text of the good case with index `case` under another query; None if there is none."""

    case: int
    question: Question | None


def swaps(cases: Sequence[LabelledCase], make: MakeCase, seed: int) -> dict[Kind, list[Swap]]:
    """Choose the other queries of every good case; a kind that the file cannot tell is left out."""
    by_query = {case.query: case for case in cases}
    good = [index for index, case in enumerate(cases) if case.label == "good"]
    others: dict[Kind, dict[int, list[str]]]
    if any(case.occasion for case in cases):
        others = {"occasion": {}, "recipient": {}}
        for index in good:
            own = cases[index]
            there = [(query, one) for query, one in by_query.items() if one.occasion and own.occasion]
            others["occasion"][index] = [query for query, one in there if one.occasion != own.occasion]
            others["recipient"][index] = [
                query
                for query, one in there
                if one.occasion == own.occasion and one.recipient and own.recipient and one.recipient != own.recipient
            ]
    else:
        others = {"query": _unlike(cases, good)}
    return {
        kind: [
            Swap(index, _question(cases[index], queries, make, f"{seed}/{kind}")) for index, queries in found.items()
        ]
        for kind, found in others.items()
        if any(found.values())
    }


def _unlike(cases: Sequence[LabelledCase], good: Sequence[int]) -> dict[int, list[str]]:
    """The queries least similar to each good case's own: all without a common letter, or the least similar few."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    queries = list(dict.fromkeys(case.query for case in cases))
    place = {query: row for row, query in enumerate(queries)}
    grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 2)).fit_transform(queries)
    found = {}
    for index in good:
        row = place[cases[index].query]
        likeness = (grams @ grams[row].T).toarray()[:, 0]
        order = np.argsort(likeness, kind="stable")
        many = max(FEWEST_UNLIKE, int((likeness == 0).sum()))
        found[index] = [queries[other] for other in order[:many] if other != row]
    return found


def _question(case: LabelledCase, queries: Sequence[str], make: MakeCase, salt: str) -> Question | None:
    """The text of `case` under one of `queries` that counts as its own does, drawn by `salt` and the case."""
    rng = Random(text_id(salt, case.query, case.response))  # noqa: S311 - a reproducible draw, no secret
    own = _counted(make(case.query, case.response))
    for made in _made(rng.sample(queries, len(queries)), case.response, make):
        if _counted(made) == own:
            return Question(made, case.query)
    return None


def _counted(case: Case) -> Counter[tuple[str, bool]]:
    """What counting says of a case: how many facts of each kind it meets, and how many it misses."""
    return Counter((fact.kind, fact.met) for fact in case.facts)


def _made(queries: Sequence[str], response: str, make: MakeCase) -> Iterator[Case]:
    return (make(query, response) for query in queries)


def reading(
    kind: Kind, cases: Sequence[LabelledCase], chosen: Sequence[Swap], own: Sequence[Verdict], other: Sequence[Verdict]
) -> Reading:
    """Compare the verdicts: `own` has one for every case, `other` one for every swap that has a question."""
    asked = [swap for swap in chosen if swap.question is not None]
    pairs = [
        (own[swap.case].score, verdict.score, cases[swap.case].query)
        for swap, verdict in zip(asked, other, strict=True)
    ]
    scored = [(mine, theirs, query) for mine, theirs, query in pairs if mine is not None and theirs is not None]
    ties = sum(mine == theirs for mine, theirs, _ in scored)
    hits = sum(mine > theirs for mine, theirs, _ in scored) + ties / 2
    preferred = share(hits, [query for _, _, query in scored])
    return Reading(kind, preferred, len(scored), ties, len(pairs) - len(scored), len(chosen) - len(asked))
