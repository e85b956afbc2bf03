"""The debate: who is called, who is not, what a failure becomes."""

import asyncio
import logging

import pytest

from kindling.agents.requests import measure
from kindling.errors import BudgetSpent, CallError, Unscored
from kindling.graphs.debate import DebateJudge, build, debate
from kindling.graphs.faults import attempt
from kindling.records import Candidate, Case, Example, Verdict
from tests.graphs.actors import Critic, World

CASE = ("八个字的话", Candidate("一二三四五六七八", "file", 2))
NODES = {"positive", "negative", "judge", "reflect", "measure"}


async def run(world, show_to=(), examples=(), **changes):
    return await debate(build(world.cast(**changes), show_to), *CASE, examples)


def failing(role, fault):
    return World(faulty=lambda who, key: fault if who == role else False, score=lambda query, text: 0.8)


async def test_everyone_is_heard_once_and_the_record_is_complete():
    world = World()
    judgement = await run(world)
    assert world.calls == {"positive": 1, "negative": 1, "judge": 1, "reflector": 1}
    assert judgement.candidate == CASE[1]
    assert judgement.verdict == judgement.first == world.oracle(CASE[0], CASE[1].text)
    assert {critique.side for critique in judgement.critiques} == {"merits", "flaws"}


async def test_everyone_gets_the_measured_facts():
    world = World()
    judgement = await run(world)
    facts = measure(CASE[0], CASE[1].text, 20)
    assert facts
    assert judgement.facts == facts
    assert [case.facts for cases in world.cases.values() for case in cases] == [facts] * 4


@pytest.mark.parametrize("show_to", [(), ("positive",), ("negative",), ("generator", "positive", "negative")])
async def test_examples_are_shown_to_the_named_critics_alone(show_to):
    world = World()
    examples = (Example("q", "r"),)
    await run(world, show_to, examples)
    shown = {role for role, (case,) in world.cases.items() if case.examples == examples}
    assert shown == set(show_to) - {"generator"}


async def test_the_critics_work_at_the_same_time():
    """Each waits for the other; one after the other would wait for ever."""
    both = asyncio.Barrier(2)

    class Waiting(Critic):
        async def criticise(self, case):
            await both.wait()
            return await super().criticise(case)

    world = World()
    critics = {"positive": Waiting(world, "merits"), "negative": Waiting(world, "flaws")}
    async with asyncio.timeout(5):
        judgement = await run(world, **critics)
    assert judgement.verdict.label is not None


@pytest.mark.parametrize("role", ["positive", "negative"])
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Unscored("no JSON"), "no JSON"),
        (CallError("429 five\ntimes"), "429 five times"),
        (RuntimeError("a bug"), "RuntimeError: a bug"),
        (MemoryError(), "MemoryError"),
    ],
)
async def test_a_critic_that_fails_leaves_the_case_unscored_and_nothing_more_is_paid(role, fault, why):
    world = failing(role, fault)
    judgement = await run(world)
    assert judgement.verdict == Verdict.none(f"{role} critic: {why}", "judge", "t1")
    assert judgement.first is None
    assert world.calls == {"positive": 1, "negative": 1}
    assert len(judgement.critiques) == 1, "what the other critic found is kept"


async def test_both_critics_failures_are_named():
    world = World(faulty=lambda role, key: Unscored(f"{role} is mute"))
    verdict = (await run(world)).verdict
    assert "positive critic: positive is mute" in verdict.unscored
    assert "negative critic: negative is mute" in verdict.unscored


@pytest.mark.parametrize("fault", [Unscored("refused"), RuntimeError("a bug"), CallError("cut")])
async def test_a_judge_that_fails_is_not_reflected_on(fault):
    world = failing("judge", fault)
    judgement = await run(world)
    assert judgement.verdict.label is None
    assert judgement.verdict.score is None
    assert str(fault) in judgement.verdict.unscored
    assert world.calls["reflector"] == 0


@pytest.mark.parametrize("fault", [Unscored("refused"), RuntimeError("a bug")])
async def test_a_reflector_that_fails_leaves_no_label_behind(fault):
    """The judge's verdict was to be reflected on; without that it must not stand as if it had been."""
    judgement = await run(failing("reflector", fault))
    assert judgement.verdict.label is None
    assert str(fault) in judgement.verdict.unscored
    assert judgement.first.label == "good"


@pytest.mark.parametrize("role", ["positive", "negative", "judge", "reflector"])
async def test_an_answer_of_the_wrong_type_is_no_label(role):
    verdict = await DebateJudge(failing(role, None).cast()).judge(Case(*CASE[:1], CASE[1].text))
    assert verdict.label is None


async def test_what_no_contract_foresees_is_logged_with_its_traceback(caplog):
    with caplog.at_level(logging.ERROR, "kindling.graphs"):
        await run(failing("positive", RuntimeError("a bug")))
        await run(failing("negative", Unscored("foreseen")))
    (record,) = caplog.records
    assert "positive critic failed: RuntimeError: a bug" in record.getMessage()
    assert record.exc_info


@pytest.mark.parametrize("role", ["positive", "negative", "judge", "reflector"])
async def test_a_spent_budget_passes_through_and_cuts_no_call_short(role):
    """The other critic's call is in flight when the budget is met: its answer has been paid for."""
    world = failing(role, BudgetSpent("max_calls"))
    world.delay = 0.01
    with pytest.raises(BudgetSpent):
        await run(world)
    assert not world.cancelled
    assert world.finished.total() == world.calls.total() - 1
    with pytest.raises(BudgetSpent):
        await DebateJudge(world.cast()).judge(Case(CASE[0], CASE[1].text))


async def test_cancellation_passes_through():
    world = World(delay=600)
    task = asyncio.create_task(run(world))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.cancelled == {"positive": 1, "negative": 1}


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, set()),
        ({"positive": None}, {"positive"}),
        ({"negative": None}, {"negative"}),
        ({"reflector": None}, {"reflect"}),
        ({"positive": None, "negative": None, "reflector": None}, {"positive", "negative", "reflect"}),
    ],
)
async def test_who_is_not_in_the_cast_has_no_node_and_no_call(changes, missing):
    world = World()
    assert set(build(world.cast(**changes)).nodes) - {"__start__"} == NODES - missing
    judgement = await run(world, **changes)
    assert judgement.verdict == world.oracle(CASE[0], CASE[1].text)
    assert set(world.calls) == {"positive", "negative", "judge", "reflector"} - set(changes)
    assert len(judgement.critiques) == 2 - len({"positive", "negative"} & missing)


async def test_the_debate_is_a_judge():
    world = World()
    judge = DebateJudge(world.cast(), ("positive",), template="all templates")
    verdict = await judge.judge(Case(CASE[0], CASE[1].text))
    assert verdict == world.oracle(CASE[0], CASE[1].text)
    assert (judge.name, judge.template) == ("debate", "all templates")
    assert world.cases["positive"][0].examples == world.examples, "retrieved, as a curation does"
    assert world.cases["negative"][0].examples == ()


async def test_a_judge_never_raises_even_if_its_retriever_does():
    class Broken:
        async def retrieve(self, query):
            raise OSError("the index is gone")

    judge = DebateJudge(World().cast(retriever=Broken()), ("positive",))
    verdict = await judge.judge(Case(CASE[0], CASE[1].text))
    assert verdict.unscored == "OSError: the index is gone"


async def test_plain_json_is_taken_as_studio_sends_it():
    world = World()
    start = {"query": CASE[0], "candidate": {"text": CASE[1].text, "source": "typed"}}
    result = await build(world.cast(), ("positive",)).ainvoke({**start, "examples": [{"query": "q", "response": "r"}]})
    assert result["judgement"].candidate == Candidate(CASE[1].text, "typed")
    assert world.cases["positive"][0].examples == (Example("q", "r"),)


async def test_an_attempt_turns_errors_into_faults_but_not_cancellation():
    async def endless() -> None:
        await asyncio.sleep(600)

    task = asyncio.create_task(attempt("someone", type(None), endless()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
