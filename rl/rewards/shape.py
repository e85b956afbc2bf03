"""Gates: what no quality makes up for. Each is 1 over the whole range of what is normal, without a slope inside.

What is normal is learned from references: known good (query, response) pairs. They should be the texts that a policy
is wished to write like, such as labelled good cases or the texts that it was tuned on.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby
from statistics import median
from typing import NamedTuple

import numpy as np

from kindling.agents.retriever import LexicalRetriever
from kindling.errors import InputError
from kindling.records import Case, Example, Query
from kindling.rl.rewards.ngrams import ngrams
from kindling.rl.rewards.terms import Answer, Score

CaseOf = Callable[[str, str], Case]
"""The case of a query and a response, with its facts measured."""
Pairs = Sequence[tuple[str, str]]
"""(query, response) pairs."""

Kind = tuple[str | tuple[str, str], ...]

SIZED = frozenset({"characters", "length", "words", "items", "brief"})
REPEATED_UNITS = 3
COPIED_UNITS = 3


class RequestsMet:
    """Verifiable requests: `unmet` to the power of how many the answer misses; 1 where all are met or none is made."""

    name = "requests"

    def __init__(self, unmet: float = 0.3) -> None:
        self._unmet = unmet

    async def score(self, answers: Sequence[Answer]) -> list[Score]:
        """From the facts of the cases alone."""
        return [self._score(answer) for answer in answers]

    def _score(self, answer: Answer) -> Score:
        missed = answer.case.missed
        return Score(self._unmet ** len(missed), "; ".join(missed))


class Band(NamedTuple):
    """Lengths in characters: what good answers to such a query have, and their median; `of` says which those are."""

    low: float
    typical: float
    high: float
    of: str


class LengthBand:
    """1 if an answer is as long as good answers to that kind of query, falling to 0 at `slack` of the edge beyond it.

    The kind of a query is the `nearest` references by character n-grams of the query (TF-IDF, cosine); where the query
    asks for a size or number, only references that ask for the same count, or where there are fewer than `least`, those
    that ask for the same sort of thing. References that miss their own request do not count, since their band would
    forbid what was asked for. Without any reference left there is no band, and the request alone bounds the length. A
    query that resembles none has the band of all that ask for no size. The band are the quantiles `low` and `high` of
    their lengths, and at least a quarter of the median to either side of it, since few references would make it narrow.
    """

    name = "length"

    def __init__(
        self,
        references: Pairs,
        case_of: CaseOf,
        *,
        low: float = 0.1,
        high: float = 0.9,
        nearest: int = 50,
        least: int = 10,
        slack: float = 0.5,
    ) -> None:
        """Raises `InputError` if no reference is without a request for a size."""
        self._case_of = case_of
        self._quantiles = (low, high)
        self._slack = slack
        self._bands: dict[str, Band | None] = {}
        kinds: dict[Kind, list[Example]] = {}
        for query, response in references:
            case = case_of(query, response)
            for kind in () if case.missed else _kinds_of(case):
                kinds.setdefault(kind, []).append(Example(query, response))
        if () not in kinds:
            raise InputError("no reference for the length band: it takes good texts to queries that ask for no size")
        self._kinds = {
            kind: (LexicalRetriever(examples, nearest, min_similarity=0.0, popularity_weight=0.0), examples)
            for kind, examples in kinds.items()
            if kind == () or len(examples) >= least
        }

    async def band(self, query: str) -> Band | None:
        """The band of a query; none where only the request itself bounds the length."""
        if query not in self._bands:
            self._bands[query] = await self._learn(query)
        return self._bands[query]

    async def usual(self, query: str) -> float | None:
        """The median length of good answers to a query; none where there is no band."""
        await self.band(query)
        return self.typical(query)

    def typical(self, query: str) -> float | None:
        """`usual`, for where no event loop runs, or for a query whose band is known."""
        band = self._bands[query] if query in self._bands else asyncio.run(self.band(query))
        return band.typical if band else None

    async def _learn(self, query: str) -> Band | None:
        known = [kind for kind in _kinds_of(self._case_of(query, "")) if kind in self._kinds]
        if not known:
            return None
        retriever, everything = self._kinds[known[0]]
        near = await retriever.retrieve(Query(query))
        lengths = [len(example.response) for example in near or everything]
        low, high = np.quantile(lengths, self._quantiles)
        middle = median(lengths)
        of = f"{len(lengths)} good texts {'near it' if near else 'of all kinds'}"
        return Band(min(float(low), 0.75 * middle), middle, max(float(high), 1.25 * middle), of)

    async def score(self, answers: Sequence[Answer]) -> list[Score]:
        """By the characters of the response, spaces and punctuation counted."""
        return [self._score(len(answer.response), await self.band(answer.query)) for answer in answers]

    def _score(self, length: int, band: Band | None) -> Score:
        if band is None:
            return Score(1.0, "the request bounds the length")
        if length > band.high:
            beyond = (length - band.high) / (self._slack * band.high)
        else:
            beyond = max(0.0, (band.low - length) / (self._slack * band.low))
        reason = f"{length} characters; {band.of} have {band.low:.0f} to {band.high:.0f}" if beyond else ""
        return Score(max(0.0, 1.0 - beyond), reason)


def asks_for_size(case: Case) -> bool:
    """Whether the query asks for a size or number, so that length is no matter of taste."""
    return any(fact.kind in SIZED for fact in case.facts)


def _kinds_of(case: Case) -> list[Kind]:
    """What the query asks for in size or number, the most specific first: (kind, asked) of each request, kinds alone.

    One kind without anything in it for a query that asks for no size.
    """
    asked = sorted((fact.kind, fact.asked) for fact in case.facts if fact.kind in SIZED)
    kinds: list[Kind] = [tuple(asked), tuple(kind for kind, _ in asked)]
    return kinds if asked else kinds[:1]


class Repetition:
    """1 while a text repeats itself no more than good texts do, falling to 0 where `worst` of its 3-grams are repeats.

    The share of repeats is 1 − distinct / all n-grams of three units (`ngrams.units`); what good texts do is its 95 %
    quantile over the references.
    """

    name = "repetition"

    def __init__(self, references: Pairs, worst: float = 0.5) -> None:
        shares = [_repeated(response) for _, response in references]
        self._normal = min(float(np.quantile(shares, 0.95)) if shares else 0.0, worst / 2)
        self._worst = worst

    async def score(self, answers: Sequence[Answer]) -> list[Score]:
        """From each text alone."""
        return [self._score(_repeated(answer.response)) for answer in answers]

    def _score(self, share: float) -> Score:
        beyond = max(0.0, share - self._normal) / (self._worst - self._normal)
        reason = f"{share:.0%} of its 3-grams are repeats; good texts have at most {self._normal:.0%}" if beyond else ""
        return Score(max(0.0, 1.0 - beyond), reason)


def _repeated(text: str) -> float:
    found = ngrams(text, REPEATED_UNITS)
    return 1 - len(found) / found.total() if found else 0.0


class Diversity:
    """1 / (1 + how many near-copies the answer has in its group), where a copy counts by how near it is.

    Fitness sharing (D. E. Goldberg and J. Richardson, ICGA 1987): texts in one niche share what it is worth. Nearness
    is the Jaccard similarity of the sets of 3-grams, counted from `normal` (0) to 1 (1), so that answers that merely
    have the subject in common do not touch each other.
    """

    name = "diversity"

    def __init__(self, normal: float = 0.5) -> None:
        self._normal = normal

    async def score(self, answers: Sequence[Answer]) -> list[Score]:
        """Compares every answer with all others of its group, failed ones too."""
        scores = [Score(1.0)] * len(answers)
        order = sorted(range(len(answers)), key=lambda row: answers[row].group)
        for _, rows in groupby(order, key=lambda row: answers[row].group):
            group = list(rows)
            sets = [frozenset(ngrams(answers[row].response, COPIED_UNITS)) for row in group]
            for row, own in zip(group, sets, strict=True):
                copies = sum(self._nearness(own, other) for other in sets) - 1.0  # it is its own copy
                scores[row] = Score(1 / (1 + copies), f"{copies:.1f} near-copies in its group" if copies else "")
        return scores

    def _nearness(self, one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
        either = len(one | other)
        jaccard = len(one & other) / either if either else 1.0
        return max(0.0, jaccard - self._normal) / (1 - self._normal)
