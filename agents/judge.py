"""The judge: good or bad, decided from the request, the text, the measured facts and what the critics found.

`Judge` is the contract that `rl` and `eval` hold too: they never know whether a prompt, a debate graph, a reward model
or rules stand behind it.

`LLMJudge` asks a chat model `votes` times, side by side, each time as another sample. The score is the share of good
among the votes that could be read; if those are no majority of all votes, the case is unscored, since the few that came
through may be the easy ones. So it is if they tie and a vote is missing: a tie counts as bad, and the vote that failed
could have turned it.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from kindling.agents.structured import Language, Reply, ask
from kindling.errors import Unscored
from kindling.records import Case, Critique, Label, Point, Side, Verdict

if TYPE_CHECKING:
    from kindling.agents.models import ChatModel
    from kindling.prompts.library import Prompt


class Judge(Protocol):
    """Judges one case, and never raises for a failed judgement.

    Whatever goes wrong with the call or its answer comes back as an unscored verdict with the reason. `BudgetSpent` and
    cancellation do pass through: the case was not judged. `name` is the judge's spelling on the command
    line; `template` the hash of everything it was prompted with.
    """

    name: str
    template: str

    async def judge(self, case: Case, critiques: tuple[Critique, ...] = ()) -> Verdict:
        """The verdict on `case`; `critiques` are what the critics found, none for a judge without a debate."""
        ...


class Decision(Reply):
    """A verdict as a model writes it: the reason first, so that the verdict follows from it."""

    reason: str
    verdict: Label


class LLMJudge:
    """A chat model as a judge. `UsageError` passes through too: no case could be judged then."""

    name = "llm"

    def __init__(self, model: "ChatModel", prompt: "Prompt", votes: int = 1, language: Language = "zh") -> None:
        self.template = prompt.hash
        self._model = model
        self._prompt = prompt
        self._votes = votes
        self._language = language

    async def judge(self, case: Case, critiques: tuple[Critique, ...] = ()) -> Verdict:
        """The verdict on `case`; `critiques` are what the critics found, none for a judge without a debate."""
        try:
            messages = self._prompt.render(
                query=case.query,
                response=case.response,
                facts=list(case.facts),
                merits=points(critiques, "merits"),
                flaws=points(critiques, "flaws"),
                debated=bool(critiques),
            )
        except Unscored as error:  # a text too long for any prompt
            return Verdict.none(str(error), self.name, self.template)
        asked = (
            ask(self._model, messages, Decision, language=self._language, sample=vote) for vote in range(self._votes)
        )
        decisions, failures = _sort(await asyncio.gather(*asked, return_exceptions=True))
        votes = tuple(decision.verdict for decision in decisions)
        tied = 2 * votes.count("good") == len(votes)
        if 2 * len(votes) <= self._votes or (tied and failures):
            why = "; ".join(dict.fromkeys(failures))
            many = f"{len(failures)} of {self._votes} votes failed: " if self._votes > 1 else ""
            return Verdict.none(f"{many}{why}", self.name, self.template, votes)
        score = votes.count("good") / len(votes)
        label = "good" if score > 0.5 else "bad"
        reason = next(decision.reason for decision in decisions if decision.verdict == label)
        return Verdict.of(score, reason, self.name, self.template, votes)


def points(critiques: tuple[Critique, ...], side: Side) -> list[Point]:
    """All points of one side."""
    return [point for critique in critiques if critique.side == side for point in critique.points]


def _sort(results: Sequence[Decision | BaseException]) -> tuple[list[Decision], list[str]]:
    """The decisions, and why the others failed. Raises whatever is no failed judgement."""
    decisions, failures = [], []
    for result in results:
        if isinstance(result, Unscored):
            failures.append(str(result))
        elif isinstance(result, BaseException):
            raise result
        else:
            decisions.append(result)
    return decisions, failures
