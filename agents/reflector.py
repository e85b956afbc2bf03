"""The reflector: reads the whole debate and the first verdict, and overturns it only on clear, sufficient grounds.

Whether the grounds suffice is for the prompt to say; what an overturned verdict is worth is decided here, by
`settle`, for every implementation alike.
"""

import math
from typing import TYPE_CHECKING, Protocol

from kindling.agents.judge import Decision, points
from kindling.agents.structured import Language, ask
from kindling.errors import Unscored
from kindling.records import Case, Critique, Label, Verdict

if TYPE_CHECKING:
    from kindling.agents.models import ChatModel
    from kindling.prompts.taskpack import Prompt


class Reflector(Protocol):
    """Gives the verdict that stands. Like a judge, it never raises for a failed judgement but returns it unscored.

    If it upholds the first verdict, score and votes stay the judge's; if it overturns, the score is mirrored (1 - s),
    so that a shaky verdict overturned stays shaky: a share of votes and a probability alike. A tied vote that is
    overturned to good scores the next share above .5, a probability of .5 the next number.
    """

    name: str

    async def reflect(self, case: Case, critiques: tuple[Critique, ...], first: Verdict) -> Verdict:
        """The verdict that stands, given the judge's scored `first` verdict."""
        ...


class LLMReflector:
    """A chat model as a reflector."""

    name = "llm"

    def __init__(self, model: "ChatModel", prompt: "Prompt", language: Language = "zh") -> None:
        self._model = model
        self._prompt = prompt
        self._language = language

    async def reflect(self, case: Case, critiques: tuple[Critique, ...], first: Verdict) -> Verdict:
        """The verdict that stands, given the judge's scored `first` verdict."""
        try:
            messages = self._prompt.render(
                query=case.query,
                response=case.response,
                facts=list(case.facts),
                merits=points(critiques, "merits"),
                flaws=points(critiques, "flaws"),
                label=first.label,
                reason=first.reason,
            )
            decision = await ask(self._model, messages, Decision, language=self._language)
        except Unscored as error:
            return Verdict.none(f"reflector: {error}", self.name, self._prompt.hash, first.votes)
        return settle(first, decision.verdict, decision.reason, self.name, self._prompt.hash)


def settle(first: Verdict, label: Label, reason: str, name: str, template: str = "") -> Verdict:
    """The verdict that stands when a reflector decides for `label` after the scored verdict `first`."""
    if first.score is None:
        raise ValueError("an unscored verdict cannot be upheld or overturned")
    score = first.score
    if label != first.label:
        # a score just below .5 would be mirrored to .5 itself, which is bad
        score = 1 - score if label == "bad" else max(1 - score, _above_the_tie(first))
    return Verdict.of(score, reason, name, template, first.votes)


def _above_the_tie(first: Verdict) -> float:
    """The smallest good score: the next share of the votes where these are tied, else the next number above .5."""
    votes = len(first.votes)
    tied = first.score == 0.5 and 2 * first.votes.count("good") == votes > 0
    return (votes // 2 + 1) / votes if tied else math.nextafter(0.5, 1.0)
