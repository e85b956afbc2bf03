"""The judge: good or bad, decided from the request, the text, the measured facts and what the critics found.

`Judge` is the contract that `rl` and `eval` hold too: they never know whether a prompt, a debate graph, a reward model
or rules stand behind it.

`LLMJudge` asks a chat model `votes` times, side by side, each time as another sample. Where the endpoint gives
log-probabilities, a vote weighs the probability of good at the place where its verdict was chosen (`graded`); else 1
for good and 0 for bad. The score is the mean over the votes that could be read. If those are no majority of all votes,
the case is unscored, since the few that came through may be the easy ones. So it is if the score is a tie and a vote
is missing: a tie counts as bad, and the vote that failed could have turned it.

The label follows the score, for a single vote too: a model that samples may write the verdict that it holds for the
less likely one. The reason stays with the probability, not with that word, since it was written first and the
probability is what follows from it (an answer that gives its verdict first has none). So a vote stands for the label
that it makes probable, and the verdict's reason is that of the first vote that stands for its label; there is always
one.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kindling.agents.calls import Message
from kindling.agents.graded import Ungraded, probability
from kindling.agents.structured import Language, Reply, ask_whole
from kindling.errors import Unscored
from kindling.records import Case, Critique, Label, Point, Side, Verdict

if TYPE_CHECKING:
    from kindling.agents.models import ChatModel
    from kindling.prompts.taskpack import Prompt


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
        asked = (self._vote(messages, sample) for sample in range(self._votes))
        votes, failures = _sort(await asyncio.gather(*asked, return_exceptions=True))
        labels = tuple(vote.label for vote in votes)
        score = math.fsum(vote.score for vote in votes) / len(votes) if votes else 0.0
        if 2 * len(votes) <= self._votes or (score == 0.5 and failures):
            why = "; ".join(dict.fromkeys(failures))
            many = f"{len(failures)} of {self._votes} votes failed: " if self._votes > 1 else ""
            return Verdict.none(f"{many}{why}", self.name, self.template, labels)
        reason = next(vote.reason for vote in votes if vote.label == _label(score))
        return Verdict.of(score, reason, self.name, self.template, labels)

    async def _vote(self, messages: list[Message], sample: int) -> "_Vote":
        """One vote. Raises `Unscored` as `ask` does, and if a probability must be had and cannot."""
        graded, tally = self._model.settings.graded, self._model.tally
        decision, answer = await ask_whole(
            self._model,
            messages,
            Decision,
            language=self._language,
            sample=sample,
            choice=None if graded == "votes" else "verdict",
        )
        score = float(decision.verdict == "good")
        if graded != "votes":
            tally.decided += 1
            try:
                score = probability(answer.logprobs, decision.verdict)
            except Ungraded as error:
                tally.ungraded[str(error)] += 1
                if graded == "logprobs":
                    raise Unscored(f"the verdict has no probability: {error}") from error
        return _Vote(score, decision.reason)


class _Vote(NamedTuple):
    """The probability of good, 1 or 0 where only the verdict is known, and the reason before it."""

    score: float
    reason: str

    @property
    def label(self) -> Label:
        return _label(self.score)


def _label(score: float) -> Label:
    return "good" if score > 0.5 else "bad"


def points(critiques: tuple[Critique, ...], side: Side) -> list[Point]:
    """All points of one side."""
    return [point for critique in critiques if critique.side == side for point in critique.points]


def _sort(results: Sequence[_Vote | BaseException]) -> tuple[list[_Vote], list[str]]:
    """The votes, and why the others failed. Raises whatever is no failed judgement."""
    votes, failures = [], []
    for result in results:
        if isinstance(result, Unscored):
            failures.append(str(result))
        elif isinstance(result, BaseException):
            raise result
        else:
            votes.append(result)
    return votes, failures
