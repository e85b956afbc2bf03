"""The server that tests and benchmarks rely on: repeatable, varied, and honest in its counts."""

import asyncio
import statistics
import subprocess
import sys
import urllib.request
from pathlib import Path

import aiohttp
import orjson
import pytest

from tests.scripted_server import Script, ScriptedServer


async def _ask(server, number, model="strong", session=None):
    body = {"model": model, "messages": [{"role": "user", "content": f"第{number}条"}]}
    async with session.post(f"{server.url}/chat/completions", json=body) as response:
        data = await response.json()
        return data["choices"][0]["message"]["content"] if response.status == 200 else response.status


async def _texts(script, model, count=40, order=1):
    async with ScriptedServer(script).running() as server, aiohttp.ClientSession() as session:
        numbers = list(range(count))[::order]
        texts = await asyncio.gather(*(_ask(server, number, model, session) for number in numbers))
        return dict(zip(numbers, texts, strict=True)), server.stats()


async def test_answers_and_faults_do_not_depend_on_the_order_of_arrival():
    script = Script(faults={"500": 0.2, "429": 0.2})
    first, stats = await _texts(script, "judge")
    second, _ = await _texts(script, "judge", order=-1)
    assert first == second
    assert {429, 500} <= set(first.values())
    other, _ = await _texts(Script(faults={"500": 0.2, "429": 0.2}, seed=1), "judge")
    assert other != first
    assert stats["answered"] == stats["kinds"]["ok"]


async def test_texts_vary_in_words_and_length_and_judges_give_both_verdicts():
    texts, _ = await _texts(Script(), "strong")
    assert len(set(texts.values())) == 40
    assert statistics.pstdev(len(text) for text in texts.values()) > 5
    verdicts, _ = await _texts(Script(), "judge")
    assert {orjson.loads(text)["verdict"] for text in verdicts.values()} == {"good", "bad"}


@pytest.mark.parametrize(
    ("role", "fields"),
    [
        ("forger", {"flaws", "response"}),
        ("explainer", {"why"}),
        ("optimizer", {"reason", "principles"}),
        ("tactician", {"reason", "tactics"}),
    ],
)
async def test_the_players_of_the_game_answer_in_their_forms_and_fail_like_everybody_else(role, fields):
    script = Script(faults={"500": 0.2, "wrong_schema": 0.2, "malformed": 0.2})
    first, stats = await _texts(script, f"{role}-model", count=60)
    second, _ = await _texts(script, f"{role}-model", count=60, order=-1)
    assert first == second
    assert {"500", "wrong_schema", "malformed", "ok"} == set(stats["kinds"])
    assert stats["roles"] == {role: stats["answered"]}
    answers, _ = await _texts(Script(), f"{role}-model", count=60)
    assert len(set(answers.values())) > 40
    for text in answers.values():
        answer = orjson.loads(text)
        assert set(answer) == fields
        for rules in (answer.get("principles"), answer.get("tactics")):
            assert rules is None or 1 <= len(set(rules)) == len(rules) <= 10


async def test_a_test_may_say_what_a_role_answers_and_faults_still_fall():
    script = Script(answers={"forger": lambda prompt: f'{{"heard": "{prompt}"}}'}, first=("500", "wrong_schema"))
    async with ScriptedServer(script).running() as server, aiohttp.ClientSession() as session:
        assert await _ask(server, 1, "forger", session) == 500
        assert await _ask(server, 2, "forger", session) == '{"answer": 1}'
        assert await _ask(server, 3, "forger", session) == '{"heard": "第3条"}'
        assert set(orjson.loads(await _ask(server, 4, "explainer", session))) == {"why"}
    with pytest.raises(ValueError, match="unknown role 'forgr'"):
        Script(answers={"forgr": str})


async def test_a_request_answered_twice_is_counted():
    async with ScriptedServer(Script(first=("500",))).running() as server, aiohttp.ClientSession() as session:
        for repeated in (0, 0, 1, 2):
            await _ask(server, 1, "judge", session)
            assert server.stats()["repeated"] == repeated


def test_an_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="unknown fault '418'"):
        Script(faults={"418": 0.1})


def test_it_runs_as_a_process_of_its_own():
    command = [sys.executable, "-m", "tests.scripted_server", "--latency-ms", "1", "--fault", "500=1"]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=10) as answer:
            assert orjson.loads(answer.read())["requests"] == 0
    finally:
        process.terminate()
        process.communicate(timeout=10)
