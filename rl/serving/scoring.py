"""From pairs of texts to verdicts, for many clients at once.

Equal pairs share one judgement, whoever sent them: in flight, and for the last `REMEMBERED` verdicts. A client waits no
longer than its time limit, and gets an unscored verdict for what is late; the judgement itself goes on, so that a
client that asks again finds it.

An empty response is judged like any other: it is what the policy wrote, and no failure of the judge.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from kindling.errors import BudgetSpent, UsageError
from kindling.records import Verdict
from kindling.rl.rewards.judging import CachedJudge
from kindling.rl.rewards.shape import CaseOf

REMEMBERED = 200_000  # verdicts; some 2 KB each
Pair = tuple[str, str]
"""A query and a response to it."""


@dataclass(slots=True)
class Counts:
    """What was asked of a scorer: `items` in all, of which `unscored` got no verdict, and `late` not in time."""

    items: int = 0
    unscored: int = 0
    late: int = 0


class Scorer:
    """Judges pairs with `judge`; `case_of` measures a pair's facts. `stopped` says what ended judging for good."""

    def __init__(self, judge: CachedJudge, case_of: CaseOf) -> None:
        self.counts = Counts()
        self.stopped: str | None = None
        self._judge = judge
        self._case_of = case_of
        self._late: set[asyncio.Task[Verdict]] = set()

    @property
    def judged(self) -> int:
        """How many judgements were really made; the other items were known already."""
        return self._judge.judged

    async def score(self, pairs: Sequence[Pair], seconds: float) -> list[Verdict]:
        """The verdict on each pair, in order, within `seconds`.

        Raises `UsageError` or `BudgetSpent` if one of them could not be judged since none can be from now on.
        """
        tasks = {pair: asyncio.create_task(self._verdict(pair)) for pair in dict.fromkeys(pairs)}
        if tasks:
            await asyncio.wait(tasks.values(), timeout=seconds)
        verdicts = {pair: self._outcome(task, seconds) for pair, task in tasks.items()}
        failed = next((one for one in verdicts.values() if isinstance(one, Exception)), None)
        if failed is not None:
            self.stopped = str(failed)
            raise failed
        scored = [verdict for pair in pairs if isinstance(verdict := verdicts[pair], Verdict)]
        self.counts.items += len(scored)
        self.counts.unscored += sum(verdict.unscored is not None for verdict in scored)
        return scored

    async def _verdict(self, pair: Pair) -> Verdict:
        query, response = pair
        if not query.strip():
            return Verdict.none("there is no query", "serve")
        try:
            return await self._judge.judge(self._case_of(query, response))
        except (UsageError, BudgetSpent):
            raise
        except Exception as error:  # facts that cannot be measured are one item's trouble
            return Verdict.none(f"{type(error).__name__}: {error}", "serve")

    def _outcome(self, task: asyncio.Task[Verdict], seconds: float) -> Verdict | Exception:
        """What became of one judgement by the end of the wait."""
        if not task.done():
            self.counts.late += 1
            self._late.add(task)
            task.add_done_callback(self._came)
            return Verdict.none(f"no verdict within {seconds:g} s; it is being made, ask again", "serve")
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, (UsageError, BudgetSpent)):
            return error
        raise error

    def _came(self, task: asyncio.Task[Verdict]) -> None:
        self._late.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.stopped = str(task.exception())

    async def aclose(self) -> None:
        """Give up what nobody waits for any more, and close the judge."""
        late = tuple(self._late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._judge.aclose()
