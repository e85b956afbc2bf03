"""The critics: one side lists every merit of a text, the other every flaw, each with a reason."""

from typing import TYPE_CHECKING, Protocol

from kindling.agents.structured import Language, Reply, ask
from kindling.records import Case, Critique, Point, Side

if TYPE_CHECKING:
    from kindling.agents.models import ChatModel
    from kindling.prompts.taskpack import Prompt


class Critic(Protocol):
    """Argues one side. An empty list of points is a finding; a failure is not, and raises `Unscored`."""

    name: str
    side: Side

    async def criticise(self, case: Case) -> Critique:
        """All points of this critic's side. Raises `Unscored` if the answer could not be had or read."""
        ...


class PointReply(Reply):
    """One point, as a model writes it."""

    aspect: str
    reason: str


class CritiqueReply(Reply):
    """A critic's whole answer."""

    points: list[PointReply]


class LLMCritic:
    """A chat model as a critic of one side."""

    name = "llm"

    def __init__(self, model: "ChatModel", prompt: "Prompt", side: Side, language: Language = "zh") -> None:
        self.side: Side = side
        self._model = model
        self._prompt = prompt
        self._language = language

    async def criticise(self, case: Case) -> Critique:
        """All points of this critic's side. Raises `Unscored` if the answer could not be had or read."""
        messages = self._prompt.render(
            query=case.query, response=case.response, examples=list(case.examples), facts=list(case.facts)
        )
        reply = await ask(self._model, messages, CritiqueReply, language=self._language)
        points = tuple(Point(point.aspect, point.reason) for point in reply.points)
        return Critique(self.side, points, self.name, self._prompt.hash)
