"""The shadow judge: another kind of judge that scores a sample of the same completions every few steps.

It is no part of the reward, so nothing pulls the policy towards its blind spots. A policy that gets better is better in
the eyes of both; one that has found a hole in the reward rises under the one and falls under the other.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from kindling.records import Label
from kindling.rl.rewards.judging import CachedJudge
from kindling.rl.rewards.terms import Answer

EVERY = 5
AT_MOST = 64


@dataclass(frozen=True, slots=True)
class ShadowScore:
    """The shadow's verdict on one completion of a step: both None where it was unscored."""

    step: int
    query: str
    response: str
    score: float | None
    label: Label | None


class ShadowWatch:
    """A `Watch` of the reward: every `every` steps, at most `at_most` answers, evenly spread over the batch.

    Where one batch serves `stride` steps, the first batch at or after each multiple of `every` is looked at.
    """

    def __init__(self, judge: CachedJudge, every: int = EVERY, at_most: int = AT_MOST, stride: int = 1) -> None:
        self._judge = judge
        self._every = every
        self._stride = stride
        self._at_most = at_most
        self._scores: list[ShadowScore] = []

    async def watch(self, step: int, answers: Sequence[Answer]) -> None:
        """Judge the batch, if the step is due."""
        if step % self._every < self._stride:
            apart = -(-len(answers) // self._at_most)
            self._scores += await asyncio.gather(*(self._ask(step, answer) for answer in answers[:: apart or 1]))

    async def _ask(self, step: int, answer: Answer) -> ShadowScore:
        verdict = await self._judge.judge(answer.case)
        return ShadowScore(step, answer.query, answer.response, verdict.score, verdict.label)

    def drain(self) -> list[ShadowScore]:
        """The scores since the last call."""
        scores, self._scores = self._scores, []
        return scores
