"""The embedded critics, judge and reflector: the same contracts as the chat models', answered from the lexicon.

A critic reports every finding of its side. The judge adds up weights (`weights.py`): the log-odds of *good* are a bias
plus the weight of each finding, at most `most` of a kind. In a debate it weighs what the critics said, and finds for
itself only what counts `always` (facts, taboos, adverts, attempts to steer it); alone it finds everything. Whatever no
principle mentions does not count, unless `always`: so editing the principles changes the judge. Merits do not count
beside a flaw that is decisive and counts always.

A critic may also be a chat model, whose aspects are free text: an aspect that names no check weighs the same small
amount either way. The length of the text is no evidence, and none of the checks looks at it.
"""

import math
from collections.abc import Iterable

from kindling.agents.embedded.examiner import Examiner, Finding
from kindling.agents.embedded.lexicon import Lexicon
from kindling.agents.reflector import settle
from kindling.records import Case, Critique, Point, Side, Verdict, text_id

NAME = "embedded"
MOST_OTHER = 3  # points of a kind that no check names, a side
CLOSE = 0.1  # a score this near to one half is a close call
DECIDING = 3  # reasons that a verdict quotes


class EmbeddedCritic:
    """Reports every finding of one side."""

    name = NAME

    def __init__(self, examiner: Examiner, side: Side) -> None:
        self.side: Side = side
        self._examiner = examiner

    async def criticise(self, case: Case) -> Critique:
        """All points of this critic's side."""
        examiner = self._examiner
        points = (
            examiner.point(found, case.query) for found in examiner.examine(case) if examiner.side(found) == self.side
        )
        return Critique(self.side, tuple(points), self.name, examiner.lexicon.digest)


class EmbeddedJudge:
    """Weighs findings. `template` depends on the principles and the lexicon."""

    name = NAME

    def __init__(self, examiner: Examiner, principles: tuple[str, ...]) -> None:
        self.template = text_id(*principles, examiner.lexicon.digest, examiner.weights.digest)
        self.heeded = heeded(principles, examiner.lexicon)
        self._examiner = examiner

    async def judge(self, case: Case, critiques: tuple[Critique, ...] = ()) -> Verdict:
        """The verdict on `case`, from the critics' points or, without any critic, from what the judge finds itself."""
        weighed = self._own(case, debated=bool(critiques)) + self._heard(critiques)
        odds = self._examiner.weights.bias + sum(weight for weight, _ in weighed)
        if self._beyond_repair(case):
            odds = self._examiner.weights.bias + sum(weight for weight, _ in weighed if weight < 0)
        return Verdict.of(_probability(odds), self._reason(weighed, odds > 0), self.name, self.template)

    def _beyond_repair(self, case: Case) -> bool:
        """Whether there is a flaw that no merit outweighs: one that is decisive and counts always."""
        checks = self._examiner.lexicon.checks
        return any(checks[one.check].decisive and checks[one.check].always for one in self._examiner.examine(case))

    def _own(self, case: Case, *, debated: bool) -> list[tuple[float, Point]]:
        """What the judge finds itself, with weights."""
        checks, weights = self._examiner.lexicon.checks, self._examiner.weights.of
        return [
            (weights[found.check], self._examiner.point(found, case.query))
            for found in self._examiner.examine(case)
            if found.check in self.heeded and (checks[found.check].always or not debated)
        ]

    def _heard(self, critiques: tuple[Critique, ...]) -> list[tuple[float, Point]]:
        """What the critics said, with weights; what the judge finds for itself is left out."""
        lexicon = self._examiner.lexicon
        weighed: list[tuple[float, Point]] = []
        count: dict[str, int] = {}
        for critique in critiques:
            for point in critique.points:
                key = lexicon.by_name.get(point.aspect, "")
                check = lexicon.checks.get(key)
                if check and (check.always or check.side != critique.side or key not in self.heeded):
                    continue
                kind = key or critique.side
                count[kind] = count.get(kind, 0) + 1
                if count[kind] > (check.most if check else MOST_OTHER):
                    continue
                other = lexicon.judgement.other if critique.side == "merits" else -lexicon.judgement.other
                weighed.append((self._examiner.weights.of[key] if check else other, point))
        return weighed

    def _reason(self, weighed: list[tuple[float, Point]], good: bool) -> str:
        """The points that decided, the weightiest first."""
        sign = 1 if good else -1
        deciding = sorted((pair for pair in weighed if pair[0] * sign > 0), key=lambda pair: -pair[0] * sign)
        judgement = self._examiner.lexicon.judgement
        return judgement.join.join(point.reason for _, point in deciding[:DECIDING]) or judgement.nothing


class EmbeddedReflector:
    """Overturns a verdict only for a decisive flaw that it overlooked, or a close call with the evidence against it."""

    name = NAME

    def __init__(self, examiner: Examiner) -> None:
        self._examiner = examiner
        self._template = examiner.lexicon.digest

    async def reflect(self, case: Case, critiques: tuple[Critique, ...], first: Verdict) -> Verdict:
        """The verdict that stands."""
        checks = self._examiner.lexicon.checks
        findings = self._examiner.examine(case)
        if first.label == "good":
            against = [found for found in findings if checks[found.check].decisive]
            if against:
                return self._settle(first, "bad", against, case)
        flaws = [found for found in findings if self._examiner.side(found) == "flaws"]
        merits = [found for found in findings if self._examiner.side(found) == "merits"]
        if first.score is not None and abs(first.score - 0.5) < CLOSE:
            if first.label == "bad" and not flaws and len({found.check for found in merits}) >= 3:
                return self._settle(first, "good", merits, case)
            if first.label == "good" and len(flaws) > len(merits):
                return self._settle(first, "bad", flaws, case)
        return settle(first, first.label or "bad", first.reason, self.name, self._template)

    def _settle(self, first: Verdict, label: str, grounds: list[Finding], case: Case) -> Verdict:
        reasons = (self._examiner.point(found, case.query).reason for found in grounds[:DECIDING])
        join = self._examiner.lexicon.judgement.join
        return settle(first, "good" if label == "good" else "bad", join.join(reasons), self.name, self._template)


def heeded(principles: Iterable[str], lexicon: Lexicon) -> frozenset[str]:
    """The checks, by key, that count for a judge of these principles: those that one mentions, and those `always`."""
    mentioned = {key for principle in principles for key in understood(principle, lexicon)}
    return frozenset(key for key, check in lexicon.checks.items() if check.always or key in mentioned)


def understood(principle: str, lexicon: Lexicon) -> tuple[str, ...]:
    """The checks, by key, that a principle mentions: what the embedded judge makes of it; none if it means nothing.

    Case does not count, and a word may stand inside a longer one.
    """
    said = principle.casefold()
    return tuple(key for key, check in lexicon.checks.items() if any(word.casefold() in said for word in check.words))


def _probability(odds: float) -> float:
    """The logistic of `odds`, to four digits; a tie stays one half, hence bad."""
    return round(1 / (1 + math.exp(-odds)), 4)
