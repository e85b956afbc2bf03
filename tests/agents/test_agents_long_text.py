"""A text that no prompt takes: the case is unscored before any call, and nobody calls it bad."""

import pytest

from kindling.agents.judge import LLMJudge
from kindling.agents.reflector import LLMReflector
from kindling.prompts.taskpack import load_pack
from kindling.records import Case, Verdict

CASE = Case("给老师的话", "长" * 20_001)


class Unreached:
    """A model that must not be asked."""

    async def complete(self, *_, **__):
        pytest.fail("a call was made")


async def test_the_judge_leaves_it_unscored():
    prompt = load_pack("greetings").prompt("judge")
    verdict = await LLMJudge(Unreached(), prompt, votes=3).judge(CASE)
    assert verdict == Verdict.none("response: 20,001 characters; a prompt takes at most 20,000", "llm", prompt.hash)


async def test_the_reflector_leaves_it_unscored():
    reflector = LLMReflector(Unreached(), load_pack("greetings").prompt("reflector"))
    verdict = await reflector.reflect(CASE, (), Verdict.of(1.0, "好", "llm"))
    assert verdict.label is None
    assert verdict.unscored == "reflector: response: 20,001 characters; a prompt takes at most 20,000"
