"""The generator: one response to one query.

`LLMGenerator` asks a chat model for plain text. A text that was cut off, refused or filtered is no candidate: as one,
it would be judged bad and teach that the *topic* is bad.
"""

from typing import TYPE_CHECKING, Protocol

from kindling.agents.requests import parse
from kindling.errors import CallError
from kindling.records import Candidate, Example, Query

if TYPE_CHECKING:
    from kindling.agents.models import ChatModel
    from kindling.prompts.taskpack import Prompt


class Generator(Protocol):
    """Writes responses. The same query and index give the same call, so a resumed run pays for none twice."""

    name: str

    async def generate(self, query: Query, examples: tuple[Example, ...], index: int) -> Candidate:
        """The candidate at place `index` of the row. Raises `CallError` if none could be had."""
        ...


class LLMGenerator:
    """A chat model as a generator; `index` is the sample of the call, `brief_chars` what "short" means."""

    def __init__(self, model: "ChatModel", prompt: "Prompt", name: str, brief_chars: int) -> None:
        self.name = name
        self._model = model
        self._prompt = prompt
        self._brief_chars = brief_chars

    async def generate(self, query: Query, examples: tuple[Example, ...], index: int) -> Candidate:
        """The candidate at place `index` of the row. Raises `CallError` if none could be had."""
        requests = [request.words for request in parse(query.text, self._brief_chars)]
        messages = self._prompt.render(query=query.text, examples=list(examples), requests=requests)
        answer = await self._model.complete(messages, sample=index)
        if (problem := answer.problem) is not None:
            raise CallError(f"{self.name}: {problem}")
        return Candidate(answer.visible, self.name, index, self._model.settings.temperature)
