"""CPU of one chat call in this process, the server being another: ours beside the stock client and a bare one.

    bare     aiohttp and orjson alone: no client can cost less
    thin     `ChatOpenAI` with our transport: messages, callbacks and usage are langchain's
    ours     `ChatModel.complete`: the thin one with ledger, limiter, budget and statistics
    stock    `ChatOpenAI` as it comes, one client for all calls

Every call carries the same two messages of 800 characters in all and a number, and answers with a judge's verdict.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import orjson
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from bench.served import scripted_server
from kindling.agents.transport import Completions, RootClient
from tests.scripted_models import scripted_models

CALLS, IN_FLIGHT = 2000, 64

Call = Callable[[int], Awaitable[object]]


def run(queries: Path) -> None:
    """Print milliseconds of CPU per call. `queries` is not used: the messages are the same for all."""
    with scripted_server() as port, tempfile.TemporaryDirectory() as folder:
        costs = asyncio.run(_all(f"http://127.0.0.1:{port}/v1", Path(folder)))
    for name, cost in costs.items():
        print(f"{name:6} {cost:6.2f} ms CPU a call, {cost / costs['ours']:5.2f} x ours")


async def _all(url: str, folder: Path) -> dict[str, float]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        client = Completions(session, url, SecretStr("none"), 60)
        root = RootClient(client)
        settings = {"model": "judge", "base_url": url, "api_key": SecretStr("none"), "max_retries": 0}
        thin = ChatOpenAI(**settings, client=root, root_client=root, async_client=client, root_async_client=root)
        stock = ChatOpenAI(**settings)

        async def bare(number: int) -> None:
            body = orjson.dumps({"model": "judge", "messages": _messages(number)})
            async with session.post(f"{url}/chat/completions", data=body) as response:
                orjson.loads(await response.read())

        async with scripted_models(url, folder / "ledger.sqlite", endpoint={"max_in_flight": IN_FLIGHT}) as play:
            ways: dict[str, Call] = {
                "bare": bare,
                "thin": lambda number: thin.ainvoke(_messages(number)),
                "ours": lambda number: play.judge.complete(_messages(number)),
                "stock": lambda number: stock.ainvoke(_messages(number)),
            }
            return {name: await _cost(way) for name, way in ways.items()}


async def _cost(call: Call) -> float:
    """Milliseconds of CPU a call, after a first round that opens the connections."""
    numbers = iter(range(IN_FLIGHT + CALLS))

    async def work(until: int) -> None:
        for number in numbers:
            await call(number)
            if number >= until:
                return

    await asyncio.gather(*(work(0) for _ in range(IN_FLIGHT)))
    started = time.process_time()
    await asyncio.gather(*(work(IN_FLIGHT + CALLS) for _ in range(IN_FLIGHT)))
    return 1000 * (time.process_time() - started) / CALLS


def _messages(number: int) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": "你是一位严格的评审。" * 40},
        {"role": "user", "content": f"第{number}条:" + "请评判这段文字。" * 50},
    ]
