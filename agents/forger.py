"""The forger: a response that looks fine and is flawed, written by the tactics of the game, with its confession.

`LLMForger` asks a chat model for the flaws first and the response second. What it calls flawed is taken at its word; a
text that was cut off, refused or filtered is no forgery.
"""

from typing import TYPE_CHECKING, Protocol

from kindling.agents.requests import parse
from kindling.agents.structured import Language, Reply, Said, ask
from kindling.game import Forgery, Rules
from kindling.prompts.rules import TACTICS
from kindling.records import Query

if TYPE_CHECKING:
    from kindling.agents.models import ChatModel
    from kindling.prompts.taskpack import TaskPack


class Forger(Protocol):
    """Writes forgeries. The same query, tactics and index give the same call, so a resumed game pays for none twice."""

    name: str

    async def forge(self, query: Query, tactics: Rules, index: int) -> Forgery:
        """The `index`-th forgery for `query` by `tactics`. Raises `CallError` or `Unscored` if none could be had."""
        ...


class ForgeryReply(Reply):
    """A forgery as a model writes it: the flaws first, so that they are meant."""

    flaws: Said
    response: Said


class LLMForger:
    """A chat model as a forger; `index` is the sample of the call, the pack says what "short" means."""

    name = "llm"

    def __init__(self, model: "ChatModel", pack: "TaskPack") -> None:
        self._model = model
        self._pack = pack
        self._language: Language = pack.settings.language

    async def forge(self, query: Query, tactics: Rules, index: int) -> Forgery:
        """The `index`-th forgery for `query` by `tactics`. Raises `Unscored` if none could be had."""
        requests = [request.words for request in parse(query.text, self._pack.settings.brief_chars)]
        prompt = self._pack.prompt_under("forger", TACTICS, tactics)
        messages = prompt.render(query=query.text, requests=requests)
        reply = await ask(self._model, messages, ForgeryReply, language=self._language, sample=index)
        return Forgery(query.text, reply.response, reply.flaws)
