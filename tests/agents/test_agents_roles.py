"""The LLM cast against the server: what a role is shown, what it makes of an answer, and what never of a failure."""

import dataclasses

import orjson
import pytest

from kindling.agents.budget import Budget
from kindling.agents.critic import LLMCritic
from kindling.agents.generator import LLMGenerator
from kindling.agents.judge import LLMJudge
from kindling.agents.reflector import LLMReflector, settle
from kindling.config import Budget as Limits
from kindling.errors import BudgetSpent, CallError, ConfigError, Unscored
from kindling.records import Case, Critique, Example, Fact, Point, Query, Verdict
from tests.scripted_models import Play
from tests.scripted_server import FAULTS, Script, ScriptedServer

GOOD = '{"reason": "真诚", "verdict": "good"}'
BAD = '{"reason": "空泛", "verdict": "bad"}'
CASE = Case("写八个字", "晨光入窗,山路转弯", (Fact("characters", "8", "8", True),), (Example("写一句", "清风徐来"),))
CRITIQUES = (
    Critique("merits", (Point("流畅", "顺口"), Point("贴合", "字数对")), "llm"),
    Critique("flaws", (Point("新意", "常见"),), "llm"),
)


class OpenPrompt:
    """A prompt that shows its variables as JSON, so that a test sees what a role is really given."""

    hash = "feed"

    def render(self, **variables):
        """One user message with all of them."""
        return [{"role": "user", "content": orjson.dumps(variables).decode()}]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A server, the models on it, and a look at what they were shown."""

    server: ScriptedServer
    play: Play

    def model(self, role="judge"):
        """The model of a role."""
        return self.play.models.role(role)

    def shown(self):
        """The variables of the last prompt."""
        return orjson.loads(self.server.bodies[-1]["messages"][0]["content"])


async def test_a_generator_is_shown_the_request_in_words_and_each_index_is_another_call(stage):
    async with stage(role={"temperature": 0.9}) as on:
        generator = LLMGenerator(on.model("generator_strong"), OpenPrompt(), "strong", brief_chars=20)
        first, second, again = [await generator.generate(Query("八个字的祝福"), CASE.examples, n) for n in (0, 1, 0)]
        assert first == again
        assert first.text != second.text
        assert (first.source, first.index, second.index, first.temperature) == ("strong", 0, 1, 0.9)
        assert on.server.stats()["requests"] == 2
        shown = on.shown()
        assert shown["query"] == "八个字的祝福"
        assert len(shown["requests"]) == 1
        assert "8" in shown["requests"][0]
        assert shown["examples"] == [{"query": "写一句", "response": "清风徐来", "similarity": 0.0, "popularity": 0}]


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "hang"])
async def test_no_failure_becomes_a_candidate(stage, fault):
    async with stage(Script(first=(fault,))) as on:
        generator = LLMGenerator(on.model("generator_weak"), OpenPrompt(), "weak", brief_chars=20)
        with pytest.raises(CallError) as raised:
            await generator.generate(Query("写一句"), (), 0)
        assert str(raised.value)


async def test_thoughts_are_no_part_of_a_candidate(stage):
    async with stage(Script(texts=("<think>想一想</think>\n清风徐来。\n", "<think>想了很久"))) as on:
        generator = LLMGenerator(on.model("generator_weak"), OpenPrompt(), "weak", brief_chars=20)
        assert (await generator.generate(Query("写一句"), (), 0)).text == "清风徐来。"
        with pytest.raises(CallError, match="empty answer"):
            await generator.generate(Query("写一句"), (), 1)


async def test_a_critic_gives_its_points_and_nothing_found_is_a_finding(stage):
    points = '{"points": [{"aspect": "流畅", "reason": "顺口"}]}'
    async with stage(Script(texts=(points, '{"points": []}'))) as on:
        critic = LLMCritic(on.model("positive"), OpenPrompt(), "merits")
        assert await critic.criticise(CASE) == Critique("merits", (Point("流畅", "顺口"),), "llm", "feed")
        assert on.shown()["facts"] == [{"kind": "characters", "asked": "8", "measured": "8", "met": True}]
        other = dataclasses.replace(CASE, response="小桥流水")
        assert (await critic.criticise(other)).points == ()


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in ("hang", "malformed", "wrong_schema")])
async def test_a_failed_critic_is_no_finding(stage, fault):
    async with stage(Script(first=(fault,))) as on:
        with pytest.raises(Unscored):
            await LLMCritic(on.model("negative"), OpenPrompt(), "flaws").criticise(CASE)


async def test_a_judge_sees_both_sides_and_knows_whether_there_was_a_debate(stage):
    async with stage(Script(texts=(GOOD, BAD))) as on:
        judge = LLMJudge(on.model(), OpenPrompt())
        assert await judge.judge(CASE, CRITIQUES) == Verdict.of(1.0, "真诚", "llm", "feed", ("good",))
        shown = on.shown()
        assert [point["aspect"] for point in shown["merits"]] == ["流畅", "贴合"]
        assert [point["aspect"] for point in shown["flaws"]] == ["新意"]
        assert shown["debated"] is True
        assert await judge.judge(CASE) == Verdict.of(0.0, "空泛", "llm", "feed", ("bad",))
        assert on.shown()["debated"] is False


@pytest.mark.parametrize(
    ("texts", "score", "reason"),
    [((GOOD, BAD, GOOD), 2 / 3, "真诚"), ((BAD, BAD, GOOD), 1 / 3, "空泛"), ((GOOD, BAD), 0.5, "空泛")],
)
async def test_the_score_is_the_share_of_good_and_the_reason_is_of_the_label(stage, texts, score, reason):
    async with stage(Script(texts=texts)) as on:
        verdict = await LLMJudge(on.model(), OpenPrompt(), votes=len(texts)).judge(CASE)
        assert (verdict.score, verdict.reason, len(verdict.votes)) == (score, reason, len(texts))
        assert verdict.label == ("good" if score > 0.5 else "bad")
        assert len({body["seed"] for body in on.server.bodies}) == len(texts)


@pytest.mark.parametrize(
    ("first", "votes", "scored"),
    [(("500", "ok", "ok"), 3, True), (("500", "429", "ok"), 3, False), (("500", "ok"), 2, False), (("cut",), 1, False)],
)
async def test_fewer_than_a_majority_of_votes_is_unscored_and_says_why(stage, first, votes, scored):
    async with stage(Script(first=first)) as on:
        verdict = await LLMJudge(on.model(), OpenPrompt(), votes=votes).judge(CASE)
        assert (verdict.unscored is None) == scored
        if not scored:
            assert (verdict.label, verdict.score) == (None, None)
            failed = [name for name in first if name != "ok"]
            assert all(name in verdict.unscored for name in failed)


@pytest.mark.parametrize(
    ("texts", "label"),
    [((GOOD, BAD), None), ((GOOD, BAD, GOOD, BAD), None), ((GOOD, GOOD, BAD), "good"), ((BAD, BAD, GOOD), "bad")],
)
async def test_a_vote_that_failed_never_decides_a_tie(stage, texts, label):
    """With one more vote than there are texts, the missing one could have turned a tie: a tie is no "bad" then."""
    async with stage(Script(first=("ok",) * len(texts) + ("500",), texts=texts)) as on:
        verdict = await LLMJudge(on.model(), OpenPrompt(), votes=len(texts) + 1).judge(CASE)
        assert verdict.label == label
        assert len(verdict.votes) == len(texts)
        assert (verdict.unscored is None) == (label is not None)


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_failure_is_ever_a_label(stage, fault):
    endpoint = {"retries": 0, "timeout_s": 0.2}
    async with stage(Script(faults={fault: 1.0}), endpoint=endpoint) as on:
        verdict = await LLMJudge(on.model(), OpenPrompt()).judge(CASE)
        first = Verdict.of(1.0, "真诚", "llm")
        reflected = await LLMReflector(on.model("reflector"), OpenPrompt()).reflect(CASE, CRITIQUES, first)
    for each in (verdict, reflected):
        assert (each.label, each.score) == (None, None)
        assert each.unscored


async def test_a_spent_budget_and_a_wrong_key_pass_through_a_judge(stage):
    async with stage(budget=Budget(Limits(max_calls=2))) as on:
        with pytest.raises(BudgetSpent):
            await LLMJudge(on.model(), OpenPrompt(), votes=3).judge(CASE)
    async with stage(Script(key="another")) as on:
        with pytest.raises(ConfigError):
            await LLMJudge(on.model(), OpenPrompt(), votes=3).judge(dataclasses.replace(CASE, query="写"))


@pytest.mark.parametrize(
    ("votes", "text", "score"),
    [
        (("good", "good", "bad"), BAD, 1 / 3),
        (("good", "good", "bad"), GOOD, 2 / 3),
        (("bad",), GOOD, 1.0),
        (("good", "bad"), GOOD, 1.0),
        (("good", "good", "bad", "bad"), GOOD, 3 / 4),
        (("good", "good", "bad", "bad"), BAD, 1 / 2),
    ],
)
async def test_an_overturned_score_is_mirrored_and_a_tie_steps_up(stage, votes, text, score):
    first = Verdict.of(votes.count("good") / len(votes), "初判", "llm", votes=votes)
    async with stage(Script(texts=(text,))) as on:
        verdict = await LLMReflector(on.model("reflector"), OpenPrompt()).reflect(CASE, CRITIQUES, first)
        assert verdict.score == pytest.approx(score)
        assert verdict.label == orjson.loads(text)["verdict"]
        assert verdict.votes == votes
        assert (on.shown()["label"], on.shown()["reason"]) == (first.label, "初判")


def test_a_tie_without_votes_is_overturned_to_the_next_number():
    verdict = settle(Verdict.of(0.5, "", "embedded"), "good", "", "embedded")
    assert verdict.label == "good"
    assert 0.5 < verdict.score < 0.5 + 1e-9


def test_an_unscored_verdict_cannot_be_overturned():
    with pytest.raises(ValueError, match="unscored"):
        settle(Verdict.none("time-out", "llm"), "good", "", "llm")
