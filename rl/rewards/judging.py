"""A judge as a reward uses it: opened where it is called, asked about each text once, many at a time.

A trainer calls its reward on an event loop in a thread of its own, while connections, ledgers and locks belong to the
loop and thread in which they were made. So the judge comes as something to open, and is opened by a task on the loop of
the first call; the same task closes it, since a context must be left by the task that entered it.

Identical cases (query and response) are judged once: those in flight share one call, and a scored verdict is
remembered, for the run or for the last so many. An unscored one is not: the next step may try again.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from kindling.agents.judge import Judge
from kindling.errors import BudgetSpent, UsageError
from kindling.records import Case, Verdict

OpenJudge = Callable[[], AbstractAsyncContextManager[Judge]]
"""Opens the judge; `lambda: contextlib.nullcontext(judge)` for one that needs no opening."""

IN_FLIGHT = 256
CLOSING = 120.0  # seconds for the calls that are out to come back and be stored


class CachedJudge:
    """A judge with a memory, at most `in_flight` cases with it at a time; `judged` counts what it was asked.

    `remember` bounds the memory: beyond it the oldest verdicts are forgotten. Without it the memory lasts a run.

    Bound to the event loop of its first call. `close` it when the run is over, also after an error.
    """

    def __init__(self, open_judge: OpenJudge, in_flight: int = IN_FLIGHT, remember: int | None = None) -> None:
        self.judged = 0
        self._remember = remember
        self._open_judge = open_judge
        self._in_flight = in_flight
        self._verdicts: dict[tuple[str, str], asyncio.Task[Verdict]] = {}
        self._keeper: asyncio.Task[None] | None = None

    async def judge(self, case: Case) -> Verdict:
        """The verdict on `case`; whatever fails about this case alone gives an unscored one.

        `UsageError` and `BudgetSpent` pass through, also from opening the judge.
        """
        key = (case.query, case.response)
        if key not in self._verdicts:
            self._verdicts[key] = asyncio.create_task(self._judge(case))
        task = self._verdicts[key]
        try:
            verdict = await task
        except BaseException:
            self._verdicts.pop(key, None)
            raise
        if verdict.unscored is not None and self._verdicts.get(key) is task:
            del self._verdicts[key]
        while self._remember is not None and len(self._verdicts) > self._remember:
            del self._verdicts[next(iter(self._verdicts))]
        return verdict

    async def _judge(self, case: Case) -> Verdict:
        judge = await self._opened()
        async with self._gate:
            self.judged += 1
            try:
                return await judge.judge(case)
            except (UsageError, BudgetSpent):
                raise
            except Exception as error:  # a judge that breaks its contract must not end a run
                return Verdict.none(f"{type(error).__name__}: {error}", judge.name)

    async def _opened(self) -> Judge:
        if self._keeper is None:
            self._loop = asyncio.get_running_loop()
            self._gate = asyncio.Semaphore(self._in_flight)
            self._stop = asyncio.Event()
            self._ready: asyncio.Future[Judge] = self._loop.create_future()
            self._keeper = asyncio.create_task(self._keep())
        return await asyncio.shield(self._ready)

    async def _keep(self) -> None:
        """Hold the judge open until `close`."""
        try:
            async with self._open_judge() as judge:
                self._ready.set_result(judge)
                await self._stop.wait()
        except Exception as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def aclose(self) -> None:
        """Close the judge, from whichever event loop; nothing happens if it was never asked."""
        if self._keeper is None:
            return
        if asyncio.get_running_loop() is self._loop:
            await self._leave()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._leave(), self._loop))

    def close(self) -> None:
        """Close the judge from a thread that runs no event loop. Raises `TimeoutError` after two minutes."""
        if self._keeper is not None and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(CLOSING)

    async def _leave(self) -> None:
        assert self._keeper is not None
        self._stop.set()
        keeper, self._keeper = self._keeper, None
        await keeper
