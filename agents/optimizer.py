"""The optimizer: a new list of rules from what went wrong under the old one.

One contract, two players. The *optimizer* rewrites the judge's principles from its errors; the *tactician* rewrites the
forger's tactics from the forgeries that were caught. What a model writes is taken as it is, but for numbers, white
space, blank entries and repetitions: whether a list may stand is for the gate to say, for all implementations alike.

A prompt takes a limited number of characters. Of the lessons that are too many, the longest are left out: one endless
text must not keep all the others from being learned.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import AfterValidator

from kindling.agents.structured import Language, Reply, ask
from kindling.game import Lesson, Rewrite, Rules
from kindling.prompts.roles import MAX_TEXT
from kindling.prompts.rules import PRINCIPLES, TACTICS, unnumbered

if TYPE_CHECKING:
    from kindling.agents.models import ChatModel
    from kindling.prompts.taskpack import TaskPack


class Optimizer(Protocol):
    """Rewrites rules. The same rules, lessons and index give the same call."""

    name: str

    async def rewrite(self, rules: Rules, lessons: tuple[Lesson, ...], index: int) -> Rewrite:
        """A new list of rules, learned from `lessons`. Raises `CallError` or `Unscored` if none could be had."""
        ...


def _rules(entries: list[str]) -> list[str]:
    """`entries` as rules: on one line each, without numbers, blanks and repetitions. Raises `ValueError` if none."""
    rules = list(dict.fromkeys(filter(None, (unnumbered(" ".join(entry.split())) for entry in entries))))
    if not rules:
        raise ValueError("no rules")
    return rules


def _fitting(lessons: Sequence[Lesson]) -> list[Lesson]:
    """As many lessons as one prompt takes, in their order; the shortest one in any case."""
    sizes = [len(one.query) + len(one.response) + len(one.reason) + len(one.why) for one in lessons]
    shortest_first = sorted(range(len(lessons)), key=lambda place: (sizes[place], place))
    total = list(accumulate(sizes[place] for place in shortest_first))
    kept = {place for place, size in zip(shortest_first, total, strict=True) if size <= MAX_TEXT}
    return [lesson for place, lesson in enumerate(lessons) if place in kept or place in shortest_first[:1]]


RuleList = Annotated[list[str], AfterValidator(_rules)]


class PrinciplesReply(Reply):
    """New principles as a model writes them: the reason first."""

    reason: str
    principles: RuleList


class TacticsReply(Reply):
    """New tactics as a model writes them: the reason first."""

    reason: str
    tactics: RuleList


class LLMOptimizer:
    """A chat model as the optimizer of a judge's principles; `index` is the sample of the call."""

    name = "llm"

    def __init__(self, model: "ChatModel", pack: "TaskPack") -> None:
        self._model = model
        self._pack = pack
        self._language: Language = pack.settings.language

    async def rewrite(self, rules: Rules, lessons: tuple[Lesson, ...], index: int) -> Rewrite:
        """New principles. Raises `Unscored` if none could be had."""
        messages = self._pack.prompt_under("optimizer", PRINCIPLES, rules).render(
            too_kind=_fitting([lesson for lesson in lessons if lesson.said == "good"]),
            too_strict=_fitting([lesson for lesson in lessons if lesson.said == "bad"]),
        )
        reply = await ask(self._model, messages, PrinciplesReply, language=self._language, sample=index)
        return Rewrite(tuple(reply.principles), reply.reason)


class LLMTactician:
    """A chat model as the optimizer of a forger's tactics; every lesson is a forgery that was caught."""

    name = "llm"

    def __init__(self, model: "ChatModel", pack: "TaskPack") -> None:
        self._model = model
        self._pack = pack
        self._language: Language = pack.settings.language

    async def rewrite(self, rules: Rules, lessons: tuple[Lesson, ...], index: int) -> Rewrite:
        """New tactics. Raises `Unscored` if none could be had."""
        messages = self._pack.prompt_under("tactician", TACTICS, rules).render(caught=_fitting(lessons))
        reply = await ask(self._model, messages, TacticsReply, language=self._language, sample=index)
        return Rewrite(tuple(reply.tactics), reply.reason)
