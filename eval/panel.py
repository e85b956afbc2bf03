"""Asking judges: each distinct case once, a bounded number at a time.

A judge that learned from labelled cases must not be measured on those. `out_of_fold` therefore fits one judge a fold,
and a *question* carries the query of the labelled case behind it (its home), which decides who answers: also when the
text is asked about under another query, or changed by an attack. A judge that learned nothing answers all questions.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from kindling.agents.judge import Judge
from kindling.eval.baselines import folds
from kindling.records import Case, LabelledCase, Verdict

JudgeFor = Callable[[str], Judge]
"""The judge of questions with this home."""
OpenJudges = Callable[[int], AbstractAsyncContextManager[JudgeFor]]
"""Opens the judges of the n-th repeat (0 is the certified run): the same but for whatever chance they use."""
Fit = Callable[[Sequence[LabelledCase]], Judge]
MakeCase = Callable[[str, str], Case]
"""The case of a query and a response, with its facts measured."""


@dataclass(frozen=True, slots=True)
class Question:
    """A case to judge, and the query of the labelled case that it comes from."""

    case: Case
    home: str


def out_of_fold(cases: Sequence[LabelledCase], fit: Fit, seed: int) -> JudgeFor:
    """Fit one judge a fold on the cases of all *other* folds; the home of a question tells which one never saw it.

    A home that is no query of `cases` was seen by none: the judge of the last fold answers.
    """
    judges: dict[str, Judge] = {}
    for train, test in folds(cases, seed):
        judge = fit([cases[index] for index in train])
        judges.update((cases[index].query, judge) for index in test)
    return lambda home: judges.get(home, judge)


class Panel:
    """Judges with a memory: what was asked before is not asked again.

    `judged` counts distinct questions, on from a start that is given, `seconds` the wall-clock time spent on them.
    `advance` is told `judged` after each.
    """

    def __init__(self, judge_for: JudgeFor, in_flight: int, advance: Callable[[int], None], judged: int = 0) -> None:
        self.judged = judged
        self.seconds = 0.0
        self._judge_for = judge_for
        self._gate = asyncio.Semaphore(in_flight)
        self._advance = advance
        self._known: dict[tuple[int, str, str], Verdict] = {}

    async def ask(self, questions: Sequence[Question]) -> list[Verdict]:
        """Give the verdicts in the order of the questions.

        Whatever is no judgement (no budget, no key, a broken judge) ends all of them and is raised as it is.
        """
        started = time.monotonic()
        new = {self._key(one): one for one in questions if self._key(one) not in self._known}
        try:
            async with asyncio.TaskGroup() as group:
                for question in new.values():
                    group.create_task(self._judge(question))
        except BaseExceptionGroup as failed:
            # whatever ended one ends them all: one is enough to tell
            raise failed.exceptions[0] from None
        finally:
            self.seconds += time.monotonic() - started
        return [self._known[self._key(one)] for one in questions]

    def _key(self, question: Question) -> tuple[int, str, str]:
        return id(self._judge_for(question.home)), question.case.query, question.case.response

    async def _judge(self, question: Question) -> None:
        async with self._gate:
            self._known[self._key(question)] = await self._judge_for(question.home).judge(question.case)
        self.judged += 1
        self._advance(self.judged)
