"""Chat models against a server that fails in every way: nothing is paid twice, nothing leaks, nobody waits forever."""

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from typing import TypedDict

import pytest
from langgraph.graph import StateGraph

from kindling.agents.budget import Budget
from kindling.agents.models import LOST_CALLS, backoff, request_seed
from kindling.config import Budget as Limits
from kindling.errors import BudgetSpent, CallError, ConfigError
from tests.scripted_models import said, scripted_models
from tests.scripted_server import BROKEN, FAULTS, Script, ScriptedServer

SECRET = "sk-geheim-0123456789"


async def _all(play, count, **kwargs):
    calls = (play.judge.complete(said(f"row {number}"), **kwargs) for number in range(count))
    async with asyncio.timeout(60):
        return await asyncio.gather(*calls, return_exceptions=True)


async def test_with_a_fifth_of_all_requests_broken_every_call_gets_its_answer_and_none_is_paid_twice(tmp_path):
    faults = dict.fromkeys(BROKEN, 0.2 / len(BROKEN))
    endpoint = {"timeout_s": 1.5, "retries": 8}
    async with (
        ScriptedServer(Script(faults=faults, retry_after="0")).running() as server,
        scripted_models(server, tmp_path / "l.sqlite", endpoint=endpoint) as play,
    ):
        answers = await _all(play, 200)
        assert [answer for answer in answers if isinstance(answer, BaseException)] == []
        assert server.stats()["repeated"] == 0
        assert set(server.stats()["kinds"]) == {*BROKEN, "ok"}
        role = play.models.stats().roles[0]
        assert (role.requests, role.calls) == (server.stats()["requests"], 200)
        assert role.retries == role.requests - role.calls
        assert (role.rate_limited, role.timed_out) == (server.kinds["429"], server.kinds["hang"])
        assert role.p50 <= role.p95 <= role.p99


@pytest.mark.parametrize("name", FAULTS)
async def test_a_retry_is_made_for_what_may_pass_and_for_nothing_else(tmp_path, name):
    async with (
        ScriptedServer(Script(first=(name,))).running() as server,
        scripted_models(server, tmp_path / "l.sqlite", endpoint={"timeout_s": 0.3}) as play,
    ):
        answer = await play.judge.complete(said("x"))
        assert server.stats()["requests"] == (2 if name in BROKEN else 1)
        assert (answer.problem is None) == (name in BROKEN or name in ("malformed", "wrong_schema"))


@pytest.mark.parametrize("seconds", [1, 0.4])
async def test_retry_after_pauses_everybody_on_the_endpoint(tmp_path, seconds):
    async with (
        ScriptedServer(Script(first=("429",), retry_after=str(seconds))).running() as server,
        scripted_models(server, tmp_path / "l.sqlite") as play,
    ):
        started = time.monotonic()
        first = asyncio.create_task(play.judge.complete(said("first")))
        while not play.judge.tally.rate_limited:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        others = [play.models.role(name).complete(said(name)) for name in ("positive", "negative")]
        await asyncio.gather(*others)
        assert seconds <= time.monotonic() - started < seconds + 2
        await first
        assert server.stats()["requests"] == 4


async def test_concurrency_falls_to_what_the_endpoint_takes_and_comes_back(tmp_path):
    script = Script(latency_s=0.01, capacity=6)
    async with (
        ScriptedServer(script).running() as server,
        scripted_models(server, tmp_path / "l.sqlite", endpoint={"retries": 20}) as play,
    ):
        answers = await _all(play, 300)
        assert not any(isinstance(answer, BaseException) for answer in answers)
        refused = server.kinds["429"]
        lane = play.models.stats().lanes[0]
        assert lane.lowest < 8 <= lane.highest
        assert refused < 100
        server.script = Script(latency_s=0.01)
        await _all(play, 900, sample=1)
        assert play.models.stats().lanes[0].limit > lane.limit
        assert server.kinds["429"] == refused


async def test_max_in_flight_holds_over_all_roles_of_an_endpoint(tmp_path):
    async with (
        ScriptedServer(Script(latency_s=0.005)).running() as server,
        scripted_models(server, tmp_path / "l.sqlite", endpoint={"max_in_flight": 5}) as play,
    ):
        models = [play.models.role(name) for name in ("judge", "positive", "negative")]
        await asyncio.gather(*(models[n % 3].complete(said(f"row {n}")) for n in range(90)))
        assert server.peak == 5


async def test_max_calls_is_exact_with_64_tasks_racing(tmp_path):
    async with (
        ScriptedServer(Script(latency_s=0.005)).running() as server,
        scripted_models(server, tmp_path / "l.sqlite", budget=Budget(Limits(max_calls=37))) as play,
    ):
        results = await _all(play, 64)
        assert server.stats()["requests"] == server.stats()["answered"] == play.budget.calls == 37
        assert sum(isinstance(result, BudgetSpent) for result in results) == 64 - 37
        # what is in the ledger costs nothing, spent or not
        paid = [n for n, result in enumerate(results) if not isinstance(result, BaseException)]
        assert await play.judge.complete(said(f"row {paid[0]}")) == results[paid[0]]


async def test_faults_do_not_let_the_calls_pass_the_limit(tmp_path):
    faults = {"cut": 0.2, "429": 0.2, "truncated_body": 0.2}
    async with (
        ScriptedServer(Script(faults=faults, retry_after="0")).running() as server,
        scripted_models(server, tmp_path / "l.sqlite", budget=Budget(Limits(max_calls=30))) as play,
    ):
        await _all(play, 64)
        chargeable = server.stats()["requests"] - server.kinds["429"]
        assert chargeable == play.budget.calls == 30


async def test_max_cost_counts_what_is_in_flight(tmp_path):
    # a prompt of 5 characters is 5 tokens, an answer at most 100: at most 105 a call before the first has come back
    role = {"price_in": 1e6, "price_out": 1e6, "max_tokens": 100}
    async with (
        ScriptedServer(Script(latency_s=0.05)).running() as server,
        scripted_models(server, tmp_path / "l.sqlite", role=role, budget=Budget(Limits(max_cost=1000))) as play,
    ):
        results = await _all(play, 64)
        assert sum(isinstance(result, BudgetSpent) for result in results) > 0
        assert 0 < play.budget.cost <= 1000
        assert play.budget.cost == sum(total.cost for total in play.ledger.totals())
        assert server.stats()["answered"] == play.budget.calls


async def test_minutes_end_a_run_that_waits_for_the_endpoint(tmp_path):
    limits = Limits(max_minutes=0.5 / 60)
    async with (
        ScriptedServer(Script(first=("429",) * 9, retry_after="60")).running() as server,
        scripted_models(server, tmp_path / "l.sqlite", budget=Budget(limits)) as play,
    ):
        started = time.monotonic()
        results = await _all(play, 3)
        assert [type(result) for result in results] == [BudgetSpent] * 3
        assert time.monotonic() - started < 3


async def test_a_run_repeats_its_seeds_and_another_run_has_others(tmp_path):
    async with ScriptedServer().running() as server:
        for seed in (7, 7, 8):
            async with scripted_models(server, tmp_path / "l.sqlite", seed=seed) as play:
                await asyncio.gather(*(play.judge.complete(said("x"), sample=sample) for sample in range(3)))
        seeds = [body["seed"] for body in server.bodies]
    assert len(seeds) == len(set(seeds)) == 6
    assert set(seeds) == {request_seed(seed, sample) for seed in (7, 8) for sample in range(3)}
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_backoff_doubles_within_bounds_and_repeats():
    waits = [backoff("key", tries) for tries in range(1, 12)]
    assert waits == [backoff("key", tries) for tries in range(1, 12)]
    assert waits != [backoff("other", tries) for tries in range(1, 12)]
    assert all(min(30, 0.5 * 2**n) / 2 <= wait < min(30, 0.5 * 2**n) for n, wait in enumerate(waits))


@pytest.mark.parametrize("status", ["401", "404"])
async def test_what_no_call_can_mend_stops_the_run_in_one_line(tmp_path, monkeypatch, status):
    monkeypatch.setenv("SCRIPTED_KEY", SECRET)
    async with ScriptedServer(Script(key="another")).running() as server:
        url = server.url if status == "401" else server.url.replace("/v1", "/v2")
        async with scripted_models(url, tmp_path / "l.sqlite", endpoint={"api_key_env": "SCRIPTED_KEY"}) as play:
            with pytest.raises(ConfigError) as raised:
                await play.judge.complete(said("x"))
    assert status in str(raised.value)
    assert "\n" not in str(raised.value)
    if status == "401":
        assert "SCRIPTED_KEY" in str(raised.value)
        assert server.stats()["requests"] == 1


async def test_a_missing_key_an_embedded_role_and_a_closed_port_are_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("SCRIPTED_KEY", raising=False)
    closed = "http://127.0.0.1:9/v1"
    async with scripted_models(closed, tmp_path / "a.sqlite", endpoint={"api_key_env": "SCRIPTED_KEY"}) as play:
        with pytest.raises(ConfigError, match="export SCRIPTED_KEY"):
            play.models.role("judge")
    async with scripted_models(closed, tmp_path / "b.sqlite", role={"endpoint": "embedded", "model": ""}) as play:
        with pytest.raises(ConfigError, match=r"\[roles.judge\]"):
            play.models.role("judge")
    async with scripted_models(closed, tmp_path / "c.sqlite", endpoint={"retries": 0}) as play:
        with pytest.raises(ConfigError, match="is the server up"):
            await play.judge.complete(said("x"))


async def test_an_endpoint_that_goes_away_costs_rows_and_not_the_run(tmp_path):
    async with AsyncExitStack() as stack:
        async with ScriptedServer().running() as server:
            models = scripted_models(server, tmp_path / "l.sqlite", endpoint={"retries": 1})
            play = await stack.enter_async_context(models)
            await play.judge.complete(said("x"))
        with pytest.raises(CallError, match=r"cannot connect.*\(2 tries\)"):
            await play.judge.complete(said("y"))


@pytest.mark.parametrize(
    ("field", "told", "then"),
    [
        ("max_tokens", "max_completion_tokens", lambda body: body["max_completion_tokens"] == 1024),
        ("seed", "no seed", lambda body: "seed" not in body),
    ],
)
async def test_a_field_that_the_endpoint_does_not_know_is_changed_once_and_noted(tmp_path, field, told, then):
    async with (
        ScriptedServer(Script(rejects=(field,), latency_s=0.01)).running() as server,
        scripted_models(server, tmp_path / "l.sqlite", budget=Budget(Limits(max_calls=20))) as play,
    ):
        answers = await _all(play, 20)
        assert not any(isinstance(answer, BaseException) for answer in answers)
        assert server.stats()["answered"] == 20
        assert then(server.bodies[-1])
        (note,) = play.models.stats().notes
        assert told in note


async def test_when_the_run_is_cancelled_the_answers_on_their_way_are_stored(tmp_path):
    path = tmp_path / "l.sqlite"
    async with ScriptedServer(Script(latency_s=0.2)).running() as server:

        async def run():
            async with scripted_models(server, path, endpoint={"max_in_flight": 4}) as play:
                await _all(play, 50)

        task = asyncio.create_task(run())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.stats()["answered"] == 4
        async with scripted_models(server, path) as play:
            assert play.ledger.totals()[0].calls == 4


async def test_the_secret_is_in_no_file_log_error_or_repr(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SCRIPTED_KEY", SECRET)
    caplog.set_level(logging.DEBUG)
    shown = []
    async with ScriptedServer(Script(key=SECRET, first=("ok", "500", "cut", "429"))).running() as server:
        endpoint = {"api_key_env": "SCRIPTED_KEY", "retries": 0}
        async with scripted_models(server, tmp_path / "l.sqlite", endpoint=endpoint) as play:
            shown += await _all(play, 6)
            # and once more with the key turned away and quoted
            server.script = Script(key="another")
            shown += await _all(play, 1, sample=1)
            model = play.judge
            shown += [
                model,
                vars(model),
                model._chat,
                model._chat.model_dump(),
                model._server.client,
                vars(play.models),
            ]
            shown += [play.models.stats(), vars(model._server.client)]
    errors = [thing for thing in shown if isinstance(thing, BaseException)]
    assert len(errors) == 4
    causes = [error.__cause__ for error in errors]
    text = "\n".join(repr(thing) + str(thing) for thing in (*shown, *causes)) + caplog.text
    assert SECRET not in text
    assert not any(SECRET.encode() in file.read_bytes() for file in tmp_path.iterdir())


async def test_inside_a_graph_nothing_is_streamed_and_its_listeners_hear_of_the_call(tmp_path):
    class State(TypedDict):
        text: str

    async with (
        ScriptedServer(Script(texts=("清风徐来",))).running() as server,
        scripted_models(server, tmp_path / "l.sqlite") as play,
    ):

        async def write(state: State) -> State:
            return {"text": (await play.judge.complete(said("写"))).text}

        graph = StateGraph(State).add_node("write", write).set_entry_point("write").compile()
        heard = [message.content async for message, _ in graph.astream({"text": ""}, stream_mode="messages")]
        assert heard == ["清风徐来"]
        assert not server.bodies[0].get("stream")


async def test_a_server_that_goes_away_fails_a_few_calls_and_then_ends_the_run(tmp_path):
    """Each call is given up after its retries; the eighth in a row that finds nobody there says so for all."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ScriptedServer(Script()).running())
        async with scripted_models(server, tmp_path / "l.sqlite", endpoint={"retries": 0}) as play:
            await play.judge.complete(said("while it is there"))
            await stack.aclose()
            for number in range(LOST_CALLS - 1):
                with pytest.raises(CallError):
                    await play.judge.complete(said(f"gone {number}"))
            with pytest.raises(ConfigError, match="is the server up"):
                await play.judge.complete(said("gone for good"))
