"""A judge that does as it is told, behind a real server on a real socket, for the tests of `serve` and `export`."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

from kindling.records import Case, Critique, Verdict
from kindling.rl.rewards.judging import CachedJudge
from kindling.rl.serving.app import Limits, Service, listening
from kindling.rl.serving.scoring import Scorer

CARD = {"judge": "scripted", "template": "beef", "model": "", "certificate": {"state": "none"}}


class ScriptedJudge:
    """Scores a text by its share of 好, remembers how often it was asked, and fails as often as it is told to.

    `failing` maps a text to how many judgements of it come back unscored; `before` is awaited before each verdict.
    """

    name = "scripted"
    template = "beef"

    def __init__(self, before: Callable[[Case], Awaitable[None]] | None = None) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self.failing: Counter[str] = Counter()
        self._before = before

    async def judge(self, case: Case, critiques: tuple[Critique, ...] = ()) -> Verdict:
        self.asked[case.query, case.response] += 1
        if self._before is not None:
            await self._before(case)
        if self.failing[case.response] > 0:
            self.failing[case.response] -= 1
            return Verdict.none("the model refused", self.name, self.template)
        score = case.response.count("好") / max(1, len(case.response))
        return Verdict.of(score, f"{score:.0%} of it is good", self.name, self.template)


def service(judge: Any, **settings: Any) -> Service:
    """The service of `judge`; `settings` as for `Service`."""
    return Service(Scorer(CachedJudge(lambda: nullcontext(judge)), Case), CARD, **settings)


@asynccontextmanager
async def served(judge: Any, *, drain_s: float = 10.0, **settings: Any) -> AsyncIterator[str]:
    """The URL of a running server."""
    made = service(judge, **settings)
    try:
        async with listening(made.app(), "127.0.0.1", 0, drain_s) as url:
            yield url
    finally:
        await made.scorer.aclose()


@contextmanager
def served_in_thread(judge: Any, **settings: Any) -> Iterator[str]:
    """The same, in a thread of its own, for clients that block."""
    ready: Future[tuple[str, Callable[[], object]]] = Future()

    async def live() -> None:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        async with served(judge, **settings) as url:
            ready.set_result((url, lambda: loop.call_soon_threadsafe(ended.set)))
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(live()), daemon=True)
    thread.start()
    url, end = ready.result(30)
    try:
        yield url
    finally:
        end()
        thread.join(30)


__all__ = ["CARD", "Limits", "ScriptedJudge", "served", "served_in_thread", "service"]
