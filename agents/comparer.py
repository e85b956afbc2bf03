"""The comparer: which of two texts for the same request is better, asked in both orders.

Models that see two texts prefer one place: of nearly equal pairs, many verdicts turn when the order is swapped. So
every pair is shown twice, each text first once. The same text twice is a preference; anything else that could be read
(each once, or a tie in one of them) is a tie. If either answer could not be had, there is no preference: the one that
came through is that of a single order.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from pydantic import ConfigDict

from kindling.agents.structured import Language, Reply, ask
from kindling.errors import Unscored
from kindling.records import Case

if TYPE_CHECKING:
    from kindling.agents.models import ChatModel
    from kindling.prompts.taskpack import Prompt

Place = Literal["first", "second", "tie"]
Better = Literal["one", "other", "tie"]


@dataclass(frozen=True, slots=True)
class Preference:
    """Which of `one` and `other` is better: `ahead` shows `one` first, `behind` shows it second; None: no answer.

    `better` is None, and `unscored` says why, where either order has no answer.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    ahead: Better | None
    behind: Better | None
    reason: str
    unscored: str | None = None

    @property
    def better(self) -> Better | None:
        """What both orders say together."""
        if self.ahead is None or self.behind is None:
            return None
        return self.ahead if self.ahead == self.behind else "tie"

    @property
    def turned(self) -> bool:
        """Whether the order decided: the same place was preferred both times."""
        return {self.ahead, self.behind} == {"one", "other"}


class Comparer(Protocol):
    """Compares two texts, and never raises for a failed comparison; `BudgetSpent` and cancellation pass through."""

    name: str
    template: str

    async def compare(self, one: Case, other: Case) -> Preference:
        """The preference between two responses to the same query."""
        ...


class ComparerReply(Reply):
    """A comparison as a model writes it: the reason first, so that the answer follows from it."""

    reason: str
    better: Place


class LLMComparer:
    """A chat model as a comparer."""

    name = "llm"

    def __init__(self, model: "ChatModel", prompt: "Prompt", language: Language = "zh") -> None:
        self.template = prompt.hash
        self._model = model
        self._prompt = prompt
        self._language = language

    async def compare(self, one: Case, other: Case) -> Preference:
        """The preference between two responses to the same query, from both orders."""
        found = await asyncio.gather(self._ask(one, other), self._ask(other, one), return_exceptions=True)
        failed = [str(answer) for answer in found if isinstance(answer, Unscored)]
        for answer in found:
            if isinstance(answer, BaseException) and not isinstance(answer, Unscored):
                raise answer
        read = [answer if isinstance(answer, ComparerReply) else None for answer in found]
        ahead, behind = (_meant(answer, order) for answer, order in zip(read, _ORDERS, strict=True))
        reason = next((answer.reason for answer in read if answer is not None), "")
        return Preference(ahead, behind, reason, "; ".join(dict.fromkeys(failed)) or None)

    async def _ask(self, first: Case, second: Case) -> ComparerReply:
        """One order. Raises `Unscored` as `ask` does, and for texts too long for any prompt."""
        messages = self._prompt.render(
            query=first.query,
            first=first.response,
            second=second.response,
            first_facts=list(first.facts),
            second_facts=list(second.facts),
        )
        return await ask(self._model, messages, ComparerReply, language=self._language)


_ORDERS: tuple[dict[Place, Better], ...] = (
    {"first": "one", "second": "other", "tie": "tie"},
    {"first": "other", "second": "one", "tie": "tie"},
)


def _meant(answer: ComparerReply | None, order: dict[Place, Better]) -> Better | None:
    """The text that stands at the place which an answer names."""
    return None if answer is None else order[answer.better]
