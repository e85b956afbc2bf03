"""The explainer: what the judge should have seen, where its verdict contradicts the label that people gave."""

from typing import TYPE_CHECKING, Protocol

from kindling.agents.structured import Language, Reply, Said, ask
from kindling.game import Rules
from kindling.prompts.rules import PRINCIPLES
from kindling.records import Case, Label, Verdict

if TYPE_CHECKING:
    from kindling.agents.models import ChatModel
    from kindling.prompts.taskpack import TaskPack


class Explainer(Protocol):
    """Explains the judge's errors on labelled cases."""

    name: str

    async def explain(self, case: Case, truth: Label, verdict: Verdict, principles: Rules) -> str:
        """Which general point the judge of `principles` missed or weighed too much when it gave the scored `verdict`.

        Raises `CallError` or `Unscored` if no explanation could be had.
        """
        ...


class ExplainerReply(Reply):
    """An explanation as a model writes it."""

    why: Said


class LLMExplainer:
    """A chat model as an explainer."""

    name = "llm"

    def __init__(self, model: "ChatModel", pack: "TaskPack") -> None:
        self._model = model
        self._pack = pack
        self._language: Language = pack.settings.language

    async def explain(self, case: Case, truth: Label, verdict: Verdict, principles: Rules) -> str:
        """Which general point the judge missed or weighed too much. Raises `Unscored` if no answer could be had."""
        messages = self._pack.prompt_under("explainer", PRINCIPLES, principles).render(
            query=case.query,
            response=case.response,
            facts=list(case.facts),
            label=verdict.label,
            truth=truth,
            reason=verdict.reason,
        )
        return (await ask(self._model, messages, ExplainerReply, language=self._language)).why
