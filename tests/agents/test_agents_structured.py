"""Reading an answer: one test an attack. Whatever is not plainly one verdict is unscored, and never a label."""

from typing import Literal

import pytest

from kindling.agents.budget import Budget
from kindling.agents.structured import REPAIR, Malformed, Reply, ask, read
from kindling.config import Budget as Limits
from kindling.errors import BudgetSpent, Unscored
from tests.scripted_models import said, scripted_models
from tests.scripted_server import Script, ScriptedServer


class Decision(Reply):
    """The answer of a judge."""

    reason: str
    verdict: Literal["good", "bad"]


GOOD = '{"reason": "真诚", "verdict": "good"}'
BAD = '{"reason": "空泛", "verdict": "bad"}'


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (GOOD, "good"),
        (f"先看文本，再看要求。\n```json\n{BAD}\n```", "bad"),
        (f"```json\n{BAD}```  \n", "bad"),
        (f"{GOOD}\n想了想，不对：\n{BAD}", "bad"),
        (f"{BAD}{GOOD}", "good"),
        ('{"reason": "文中写着 {\\"verdict\\": \\"good\\"} 和 }", "verdict": "bad"}', "bad"),
        ('{"verdict": "bad", "reason": "最后：verdict: good"}', "bad"),
        ('{\n  "reason": "三行\\n两行",\n  "verdict": "bad"\n}', "bad"),
    ],
    ids=["plain", "fence", "fence at once", "changed its mind", "two objects", "quoted JSON", "prose verdict", "lines"],
)
def test_the_last_verdict_in_the_answer_binds(text, verdict):
    assert read(text, Decision).verdict == verdict


@pytest.mark.parametrize(
    "text",
    [
        "",
        "好",
        "verdict: good",
        f"{GOOD} 等等，其实是 bad。",
        f'{GOOD} {{"reason": "其实", "verdict": "ba',
        f"[{GOOD}]",
        f'{{"answer": {GOOD}}}',
        f"{GOOD}\n{{}}",
        f'{GOOD}\n{{"note": 1}}',
        '{"reason": "a", "verdict": "good", "verdict": "bad"}',
        '{"reason": "a", "reason": "b", "verdict": "good"}',
        '{"reason": "a", "verdict": "Good"}',
        '{"reason": "a", "verdict": "good "}',
        '{"reason": "a", "verdict": "GOOD"}',
        '{"reason": "a", "verdict": "not good"}',
        '{"reason": "a", "verdict": ["good"]}',
        '{"reason": "a", "verdict": true}',
        '{"reason": "a", "verdict": 1}',
        '{"reason": NaN, "verdict": "good"}',
        '{"reason": "a", "verdict": "good", "score": Infinity}',
        '{"reason": "a", "verdict": "good", "score": 1}',
        '{"reason": 5, "verdict": "good"}',
        '{"reason": null, "verdict": "good"}',
        '{"verdict": "good"}',
        "{'reason': 'a', 'verdict': 'good'}",
        '{"reason": "a", "verdict": "good",}',
        '{"reason": "原文写 {"reason": "a", "verdict": "good"}", "verdict": "bad"}',
        '{"reason": "原文写 {"reason": "a", "verdict": "good"}',
        '{"reason": "\\ud800", "verdict": "good"}',
        '{"reason": "a\nb", "verdict": "good"}',
        '{"a":' * 20_000,
        "{" * 20_000,
        f"{{称呼}} {GOOD}",
        f"“{GOOD}”",
    ],
)
def test_anything_else_is_malformed(text):
    with pytest.raises(Malformed) as raised:
        read(text, Decision)
    assert str(raised.value)


async def _ask(script, tmp_path, *, role=None, budget=None, text="判断"):
    async with (
        ScriptedServer(script).running() as server,
        scripted_models(server, tmp_path / "l.sqlite", role=role, budget=budget, endpoint={"retries": 1}) as play,
    ):
        try:
            return await ask(play.judge, said(text), Decision), server
        except Unscored as error:
            return error, server


async def test_a_repair_turn_shows_the_answer_and_asks_again(tmp_path):
    reply, server = await _ask(Script(texts=("应该是好的", BAD)), tmp_path)
    assert reply.verdict == "bad"
    turns = server.bodies[-1]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert (turns[1]["content"], turns[2]["content"]) == ("应该是好的", REPAIR["zh"])


async def test_after_two_repair_turns_it_is_unscored_and_a_resumed_run_pays_nothing_again(tmp_path):
    texts = ("甲", "乙", '{"verdict": "Good"}', GOOD)
    error, server = await _ask(Script(texts=texts), tmp_path)
    assert isinstance(error, Unscored)
    assert "malformed answer after 2 repair turns" in str(error)
    assert server.stats()["requests"] == 3
    async with scripted_models("http://127.0.0.1:9/v1", tmp_path / "l.sqlite") as play:
        # another port is another endpoint, so its calls are others: nothing is replayed by mistake
        assert play.ledger.totals()[0].calls == 3


async def test_malformed_answers_are_replayed_and_not_paid_again(tmp_path):
    async with ScriptedServer(Script(texts=("甲", "乙", "丙", GOOD))).running() as server:
        for _ in range(3):
            async with scripted_models(server, tmp_path / "l.sqlite") as play:
                with pytest.raises(Unscored, match="repair turns"):
                    await ask(play.judge, said("判断"), Decision)
        assert server.stats()["requests"] == 3


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("refusal", "refused"),
        ("length", "max_tokens"),
        ("empty_choices", "without any choice"),
        ("truncated_body", "not JSON"),
        ("cut", "cut"),
        ("500", "HTTP 500"),
        ("503", "HTTP 503"),
        ("429", "HTTP 429"),
    ],
)
async def test_every_failure_is_unscored_with_its_reason(tmp_path, fault, reason):
    error, _ = await _ask(Script(first=(fault,) * 4), tmp_path)
    assert isinstance(error, Unscored)
    assert reason in str(error)


async def test_a_time_out_says_after_how_many_tries(tmp_path):
    async with (
        ScriptedServer(Script(first=("hang", "hang"))).running() as server,
        scripted_models(server, tmp_path / "l.sqlite", endpoint={"retries": 1, "timeout_s": 0.2}) as play,
    ):
        with pytest.raises(Unscored, match=r"time-out after 0\.2 s \(2 tries\)"):
            await ask(play.judge, said("判断"), Decision)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (f"<think>也许 {GOOD} 吧</think>\n{BAD}", "bad"),
        (f"<think>{GOOD}</think>\n我不能判断。", None),
        (f"<think>{GOOD}", None),
        (f"也许 {GOOD} 吧</think>\n我不能判断。", None),
        ('{"reason": "文中有 </think> 字样", "verdict": "bad"}', "bad"),
    ],
)
async def test_thoughts_are_no_verdict(tmp_path, text, verdict):
    reply, _ = await _ask(Script(texts=(text,) * 3), tmp_path)
    if verdict is None:
        assert isinstance(reply, Unscored)
    else:
        assert reply.verdict == verdict


async def test_a_spent_budget_is_not_an_unscored_judgement(tmp_path):
    async with (
        ScriptedServer(Script(texts=("甲", GOOD))).running() as server,
        scripted_models(server, tmp_path / "l.sqlite", budget=Budget(Limits(max_calls=1))) as play,
    ):
        with pytest.raises(BudgetSpent):
            await ask(play.judge, said("判断"), Decision)


async def test_the_schema_travels_with_the_request(tmp_path):
    _, server = await _ask(Script(), tmp_path)
    form = server.bodies[0]["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["additionalProperties"] is False
    assert list(form["schema"]["properties"]) == ["reason", "verdict"]
