"""The engine: a compiled graph over many rows in one process.

Rows start in input order, up to `in_flight` at once, finish in any order and are journaled as they finish. Every row
ends with an `Outcome` in the journal or stays *pending* with a reason; the `Tally` counts both, and adds up to the rows
that were given.

What ends a run early, and what happens to the rows in flight:

    stop is set (first Ctrl-C)   they finish
    a row meets the budget       they finish as far as they get without the budget; what is cut short stays pending
    accept rows are accepted     they finish
    cancellation (second Ctrl-C) they are cancelled, and the cancellation goes on to the caller
    a `UsageError`               they finish, and the error goes on to the caller: no key, no server, no disk

A row whose work raises anything else has failed, with the type of the exception: one bad row never ends the batch.

**Accepting N rows.** Which rows count must not depend on which finish first. So the N accepted rows that count are the
first N *in input order*: the result ends at the N-th of them (`Tally.last_row`), and later rows are pending, "not
needed". A row starts only if fewer than N rows before it are accepted and no more rows are in flight than acceptances
are missing. Hence no row ever starts that lies beyond the end, at the price of fewer rows in flight near it. Rows
beyond the end that an earlier run finished stay in the journal, where a later run with a larger N finds them.

LangGraph makes reference cycles; left to itself, the garbage collector walks the whole heap so often that it takes a
third of the CPU time. During a run, what was there before is exempt from collection and collections are rarer.
"""

import asyncio
import gc
import signal
import time
from bisect import bisect, insort
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

from kindling.errors import BudgetSpent, UsageError
from kindling.graphs.faults import fault_of
from kindling.graphs.journal import RowJournal
from kindling.records import Outcome, Query, Status

Work = Callable[[Query], Awaitable[Outcome]]
PROGRESS_SECONDS = 0.1
GC_THRESHOLD = 20_000


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the rows that were given. `reasons` counts (status, reason) and adds up to `rows`.

    The reasons of pending rows are "stopped", "budget" and "not_needed". `last_row` is the row of the last
    acceptance that counts, once the wanted number stands; None otherwise. `elapsed` is in seconds.
    """

    rows: int
    reasons: Counter[tuple[Status, str]]
    last_row: int | None
    elapsed: float

    @property
    def statuses(self) -> Counter[Status]:
        """The rows by status alone."""
        found: Counter[Status] = Counter()
        for (status, _), count in self.reasons.items():
            found[status] += count
        return found

    @property
    def pending(self) -> int:
        """Rows that a resumed run still has to work on."""
        return sum(n for (status, why), n in self.reasons.items() if status == "pending" and why != "not_needed")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. `done` counts finished rows, earlier runs' too; `rate` is rows a second in this one.

    `eta` is in seconds (None before the first row finished): for all rows, or for the acceptances still missing.
    """

    rows: int
    done: int
    statuses: Counter[Status]
    in_flight: int
    rate: float
    eta: float | None


async def run_rows(
    rows: Sequence[Query],
    work: Work,
    journal: RowJournal,
    *,
    in_flight: int,
    accept: int | None = None,
    stop: asyncio.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Tally:
    """Do `work` on every row that has no outcome in `journal` yet.

    `rows` are in input order: their `row` numbers increase. `work` gives an outcome or raises `BudgetSpent`; whatever
    else it raises makes the row failed. Raises `ValueError` for rows out of order, `UsageError` if no row could be
    done or kept, and `CancelledError` when it is cancelled; each time the journal is intact, and `count_rows` says what
    stands.
    """
    if any(second.row <= first.row for first, second in pairwise(rows)):
        raise ValueError("rows must be in input order, each row number once")
    batch = _Batch(rows, work, journal, in_flight, accept, stop or asyncio.Event(), on_progress)
    with _rare_collections():
        await batch.run()
    return count_rows(rows, journal, accept, "budget" if batch.budget_spent else "stopped", batch.elapsed)


def count_rows(
    rows: Sequence[Query],
    journal: RowJournal,
    accept: int | None = None,
    why_pending: str = "stopped",
    elapsed: float = 0.0,
) -> Tally:
    """Count what stands in `journal`; rows without an outcome are pending for the reason given."""
    reasons: Counter[tuple[Status, str]] = Counter()
    accepted, last_row = 0, None
    for query in rows:
        entry = journal.entry(query)
        if last_row is not None:
            reasons["pending", "not_needed"] += 1
        elif entry is None:
            reasons["pending", why_pending] += 1
        else:
            reasons[entry.status, entry.reason] += 1
            accepted += entry.status == "accepted"
            last_row = query.row if accepted == accept else None
    assert reasons.total() == len(rows), "every row has one status"
    return Tally(len(rows), reasons, last_row, elapsed)


@contextmanager
def stop_on_interrupt() -> Iterator[asyncio.Event]:
    """Make the `stop` of `run_rows` out of Ctrl-C: the first sets it, the second cancels the current task."""
    loop, task, stop = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert task is not None, "a running loop runs a task"

    def on_interrupt() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    loop.add_signal_handler(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        loop.remove_signal_handler(signal.SIGINT)


class _Batch:
    """One call of `run_rows`."""

    def __init__(
        self,
        rows: Sequence[Query],
        work: Work,
        journal: RowJournal,
        in_flight: int,
        accept: int | None,
        stop: asyncio.Event,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._rows, self._work, self._journal = rows, work, journal
        self._limit, self._accept, self._stop, self._on_progress = in_flight, accept, stop, on_progress
        self._error: UsageError | None = None
        self.budget_spent = False
        self._running = 0
        self._slot_freed = asyncio.Event()
        entries = [(query.row, entry) for query in rows if (entry := journal.entry(query))]
        self._statuses = Counter(entry.status for _, entry in entries)
        self._accepted = [row for row, entry in entries if entry.status == "accepted"]
        self._done_before, self._accepted_before = len(entries), len(self._accepted)
        self._started = self._reported = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    async def run(self) -> None:
        """Start rows in order until there are no more or something ends the run; wait for those in flight."""
        async with asyncio.TaskGroup() as group:
            for query in self._rows:
                if self._journal.entry(query) is not None:
                    continue
                if not await self._slot(query):
                    break
                self._running += 1
                group.create_task(self._row(query))
        self._report(last=True)
        if self._error is not None:
            raise self._error

    async def _slot(self, query: Query) -> bool:
        """Wait until `query` may start; False if neither it nor a later row may."""
        while not (self._stop.is_set() or self.budget_spent or self._error):
            limit = self._limit
            if self._accept is not None:
                missing = self._accept - bisect(self._accepted, query.row)
                if missing <= 0:
                    return False
                limit = min(limit, missing)
            if self._running < limit:
                return True
            self._slot_freed.clear()
            await self._slot_freed.wait()
        return False

    async def _row(self, query: Query) -> None:
        """Work on one row; raises nothing but cancellation, or the task group would cancel the other rows."""
        try:
            self._finish(query, await self._outcome(query))
        except BudgetSpent:
            self.budget_spent = True
        except UsageError as error:
            self._error = error
        finally:
            self._running -= 1
            self._slot_freed.set()
            self._report()

    async def _outcome(self, query: Query) -> Outcome:
        try:
            outcome = await self._work(query)
            if outcome.query != query:
                raise ValueError(f"the work on row {query.row} gave an outcome of row {outcome.query.row}")
        except (BudgetSpent, UsageError):
            raise
        except Exception as error:  # the boundary where one row's bug ends
            return _failed(query, error)
        return outcome

    def _finish(self, query: Query, outcome: Outcome) -> None:
        try:
            self._journal.add(outcome)
        except TypeError as error:  # a lone surrogate, for example, that some endpoint sent
            outcome = _failed(query, error)
            self._journal.add(outcome)
        self._statuses[outcome.status] += 1
        if outcome.status == "accepted":
            insort(self._accepted, query.row)

    def _report(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if self._on_progress is None or not (last or now - self._reported >= PROGRESS_SECONDS):
            return
        self._reported = now
        done, elapsed = self._statuses.total(), max(self.elapsed, 1e-6)
        rate = (done - self._done_before) / elapsed
        if self._accept is None:
            missing, pace = len(self._rows) - done, rate
        else:
            missing = max(0, self._accept - len(self._accepted))
            pace = (len(self._accepted) - self._accepted_before) / elapsed
        eta = missing / pace if pace else None
        self._on_progress(Progress(len(self._rows), done, self._statuses.copy(), self._running, rate, eta))


def _failed(query: Query, error: Exception) -> Outcome:
    return Outcome(query, "failed", "error", str(fault_of(f"row {query.row}", error)))


@contextmanager
def _rare_collections() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
