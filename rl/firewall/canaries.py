"""Canaries: texts whose right verdict is known, judged beside every batch and never trained on.

They ask the reward's own judge. Each step takes the next few, the kinds in turn, and goes through all of a kind, in a
seeded order, before one comes again (which the judge would answer from memory): a large set keeps asking new questions.
Which ones a step gets depends on seed and step alone; a resumed run goes on where it was.

A canary that could not be judged is neither right nor wrong.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from kindling.errors import InputError
from kindling.records import Label
from kindling.rl.rewards.judging import CachedJudge
from kindling.rl.rewards.shape import CaseOf
from kindling.rl.rewards.terms import Answer

PER_STEP = 8


@dataclass(frozen=True, slots=True)
class Canary:
    """A known case. `kind` is what accuracy is counted by, such as good, bad, off-topic, attack, padded."""

    kind: str
    query: str
    response: str
    expected: Label


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """What the judge said to a canary: `right` is None where it was unscored, and `said` why. `of` counts its kind."""

    step: int
    kind: str
    right: bool | None
    said: str
    of: int = 0


class CanaryWatch:
    """A `Watch` of the reward: judges `per_step` canaries at a step, the kinds in turn. `drain` gives the results."""

    def __init__(
        self, judge: CachedJudge, canaries: Sequence[Canary], case_of: CaseOf, seed: int, per_step: int = PER_STEP
    ) -> None:
        """Raises `InputError` without canaries."""
        if not canaries:
            raise InputError("no canaries: give labelled cases, whose verdicts are known, to watch the judge with")
        self._judge = judge
        self._case_of = case_of
        self._per_step = per_step
        self._kinds = _shuffled(canaries, seed)
        self._sizes = Counter(canary.kind for canary in canaries)
        self._results: list[CanaryResult] = []

    def due(self, step: int) -> list[Canary]:
        """The canaries of a step."""
        count = len(self._kinds)
        places = range(step * self._per_step, (step + 1) * self._per_step)
        return [(kind := self._kinds[place % count])[place // count % len(kind)] for place in places]

    async def watch(self, step: int, answers: Sequence[Answer]) -> None:
        """Judge the canaries that are due; the batch itself is not looked at."""
        results = await asyncio.gather(*(self._ask(step, canary) for canary in self.due(step)))
        self._results += results

    async def _ask(self, step: int, canary: Canary) -> CanaryResult:
        verdict = await self._judge.judge(self._case_of(canary.query, canary.response))
        right = None if verdict.label is None else verdict.label == canary.expected
        return CanaryResult(step, canary.kind, right, verdict.unscored or verdict.reason, self._sizes[canary.kind])

    def drain(self) -> list[CanaryResult]:
        """The results since the last call."""
        results, self._results = self._results, []
        return results


def _shuffled(canaries: Sequence[Canary], seed: int) -> list[list[Canary]]:
    """The canaries by kind, in the order in which kinds first come, each kind shuffled."""
    kinds: dict[str, list[Canary]] = {}
    for canary in canaries:
        kinds.setdefault(canary.kind, []).append(canary)
    rng = Random(seed)  # noqa: S311 - a reproducible order, no secret
    for group in kinds.values():
        rng.shuffle(group)
    return list(kinds.values())
