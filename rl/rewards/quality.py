"""Qualities: what says how good a text is."""

import asyncio
import math
from collections.abc import Callable, Sequence

from kindling.errors import InputError
from kindling.records import Verdict
from kindling.rl.rewards.judging import CachedJudge
from kindling.rl.rewards.terms import Answer, Score

Scorer = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
"""Raw scores, any real numbers, of N (query, response) pairs at once."""


class JudgeScore:
    """The judge's score: its probability of *good*, or the share of votes for it. Unscored verdicts give no value."""

    name = "judge"

    def __init__(self, judge: CachedJudge) -> None:
        self._judge = judge

    async def score(self, answers: Sequence[Answer]) -> list[Score]:
        """All answers at once; identical ones cost one call."""
        asked = (self._judge.judge(answer.case) for answer in answers)
        # every call that is out is waited for, so that what was paid is stored, whatever the others do
        verdicts = await asyncio.gather(*asked, return_exceptions=True)
        return [_score(verdict) for verdict in verdicts]


def _score(verdict: Verdict | BaseException) -> Score:
    if isinstance(verdict, BaseException):
        raise verdict
    return Score(verdict.score, verdict.unscored or verdict.reason, verdict.label)


class RewardModelScore:
    """A reward model's score, squashed to (0, 1): 1 / (1 + exp(−(raw − centre) / scale)).

    A Bradley–Terry score has neither origin nor unit, and no bound; squashed around what known good texts get, a text
    gains little from being scored far above them, which is where a reward model is wrong. `fitted` takes centre and
    scale from references: their median, and their interquartile range / 1.349 (the standard deviation, if normal).
    """

    name = "reward_model"

    def __init__(self, scorer: Scorer, centre: float = 0.0, scale: float = 1.0) -> None:
        self._scorer = scorer
        self._centre = centre
        self._scale = scale

    @classmethod
    def fitted(cls, scorer: Scorer, references: Sequence[tuple[str, str]]) -> "RewardModelScore":
        """Centre and scale from good (query, response) pairs. Raises `InputError` if all of them score the same."""
        import numpy as np

        low, centre, high = np.quantile(np.asarray(scorer(references), dtype=float), (0.25, 0.5, 0.75))
        if not high > low:
            raise InputError(f"the reward model gives its {len(references)} references no different scores")
        return cls(scorer, float(centre), float(high - low) / 1.349)

    async def score(self, answers: Sequence[Answer]) -> list[Score]:
        """One pass of the model, in a thread, so that judges can be asked meanwhile."""
        raw = await asyncio.to_thread(self._scorer, [(answer.query, answer.response) for answer in answers])
        return [self._squashed(float(value)) for value in raw]

    def _squashed(self, raw: float) -> Score:
        if not math.isfinite(raw):
            return Score(None, f"the reward model's score is {raw}")
        return Score(0.5 + 0.5 * math.tanh((raw - self._centre) / (2 * self._scale)), f"raw score {raw:.4g}")
