"""The engine: every row accounted for, whatever ends the run and in whatever order rows finish."""

import asyncio
import gc
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import orjson
import pytest

from kindling.errors import BudgetSpent, ConfigError, RunFolderError, TemplateError
from kindling.graphs import engine
from kindling.graphs.engine import count_rows, run_rows, stop_on_interrupt
from kindling.graphs.journal import RowJournal
from kindling.graphs.rejection_sampling import build, sampler
from kindling.records import Outcome, Query
from tests.graphs.actors import World, chance

ROOT = Path(__file__).parents[2]


def queries(count):
    return [Query(f"query {n}", 3 * n + 1) for n in range(count)]


@pytest.fixture
def journal(tmp_path):
    with RowJournal(tmp_path / "journal.jsonl", "k") as made:
        yield made


def lines(journal, until=None):
    return [orjson.dumps(one) for one in journal.outcomes(until)]


class Work:
    """Rows that take up to `delay` seconds; a third of them are accepted."""

    def __init__(self, delay=0.0):
        self.delay = delay
        self.begun = Counter()
        self.running = self.most_running = 0

    async def __call__(self, query):
        """Take a while, then give the outcome."""
        self.begun[query.row] += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.delay * random.random())
            return self.outcome(query)
        finally:
            self.running -= 1

    def outcome(self, query):
        """Give what the text alone decides."""
        if chance(query.text) < 1 / 3:
            return Outcome(query, "accepted", "paired")
        return Outcome(query, "rejected", "all_bad" if chance(query.text) < 2 / 3 else "all_good")


async def test_every_row_is_run_once_and_counted(journal):
    work = Work(0.002)
    tally = await run_rows(queries(200), work, journal, in_flight=8)
    assert work.begun == {query.row: 1 for query in queries(200)}
    assert work.most_running == 8
    assert tally.reasons.total() == tally.rows == 200
    assert tally.reasons == Counter((one.status, one.reason) for one in map(work.outcome, queries(200)))
    assert (tally.pending, tally.last_row) == (0, None)
    again = await run_rows(queries(200), work, journal, in_flight=8)
    assert again.reasons == tally.reasons
    assert work.begun.total() == 200, "what is journaled is not run again"


async def test_no_rows_are_no_work(journal):
    tally = await run_rows([], Work(), journal, in_flight=4)
    assert (tally.rows, tally.reasons.total()) == (0, 0)


@pytest.mark.parametrize("rows", [[Query("a", 1), Query("b", 1)], [Query("a", 2), Query("b", 1)]])
async def test_rows_out_of_order_are_refused(journal, rows):
    with pytest.raises(ValueError, match="input order"):
        await run_rows(rows, Work(), journal, in_flight=4)


async def test_the_order_in_which_rows_finish_changes_nothing(tmp_path):
    """The real graph, a random delay in every call, 20 % faults: the same bytes each time."""
    found = []
    for attempt, in_flight in enumerate((1, 64, 7)):
        work = sampler(build(World(delay=0.002 * attempt, fault_rate=0.2).cast()))
        with RowJournal(tmp_path / f"{attempt}.jsonl", "k") as journal:
            tally = await run_rows(queries(60), work, journal, in_flight=in_flight)
            found.append((lines(journal), tally.reasons))
    assert found[0] == found[1] == found[2]
    assert found[0][1].total() == 60
    assert {status for status, _ in found[0][1]} >= {"accepted", "unscored"}


@pytest.mark.parametrize("accept", [1, 5, 20])
async def test_the_accepted_rows_that_count_are_the_first_in_input_order(tmp_path, accept):
    rows = queries(120)
    first = [query.row for query in rows if Work().outcome(query).status == "accepted"][:accept]
    for attempt in range(4):
        with RowJournal(tmp_path / f"{attempt}.jsonl", "k") as journal:
            work = Work(0.003)
            tally = await run_rows(rows, work, journal, in_flight=16, accept=accept)
            counted = list(journal.outcomes(tally.last_row))
            assert [one.query.row for one in counted if one.status == "accepted"] == first
            assert tally.last_row == first[-1]
            assert [one.query.row for one in counted] == [query.row for query in rows if query.row <= first[-1]]
            assert tally.reasons["pending", "not_needed"] == sum(query.row > first[-1] for query in rows)
            assert tally.reasons.total() == 120
            assert tally.pending == 0
            assert max(work.begun) == first[-1], "no row runs for nothing"
            assert work.most_running <= min(16, accept)


async def test_wanting_more_later_goes_on_from_there(journal):
    work = Work(0.002)
    await run_rows(queries(120), work, journal, in_flight=8, accept=5)
    await run_rows(queries(120), work, journal, in_flight=8, accept=15)
    tally = await run_rows(queries(120), work, journal, in_flight=8, accept=15)
    assert max(work.begun.values()) == 1
    assert tally.statuses["accepted"] == 15


async def test_acceptances_beyond_a_gap_do_not_stand_in_for_earlier_rows(journal):
    """A killed run may have journaled late rows and not the early ones; the early ones are still needed."""
    rows, work = queries(120), Work(0.002)
    for query in rows[:20:2] + rows[60:90]:
        journal.add(work.outcome(query))
    first = [query.row for query in rows if work.outcome(query).status == "accepted"][:12]
    assert first[-1] < rows[60].row
    tally = await run_rows(rows, work, journal, in_flight=16, accept=12)
    counted = list(journal.outcomes(tally.last_row))
    assert [one.query.row for one in counted if one.status == "accepted"] == first
    assert tally.pending == 0
    assert max(work.begun) <= first[-1], "later rows cannot be needed"


async def test_wanting_more_than_there_is_runs_everything(journal):
    tally = await run_rows(queries(30), Work(), journal, in_flight=8, accept=1000)
    assert tally.reasons["pending", "not_needed"] == 0
    assert tally.last_row is None
    assert len(journal) == 30


async def test_a_spent_budget_stops_new_rows_and_a_resumed_run_comes_to_the_same(tmp_path):
    with RowJournal(tmp_path / "whole.jsonl", "k") as journal:
        await run_rows(queries(40), sampler(build(World().cast())), journal, in_flight=8)
        whole = lines(journal)
    world = World(delay=0.002, budget=300)
    with RowJournal(tmp_path / "cut.jsonl", "k") as journal:
        tally = await run_rows(queries(40), sampler(build(world.cast())), journal, in_flight=8)
        assert world.calls.total() == 300
        assert not world.cancelled, "a call in flight is paid for"
        assert 0 < tally.reasons["pending", "budget"] == tally.pending == 40 - len(journal)
        assert tally.reasons.total() == 40
        assert set(lines(journal)) < set(whole)
        world.budget = None
        assert (await run_rows(queries(40), sampler(build(world.cast())), journal, in_flight=8)).pending == 0
        assert lines(journal) == whole


async def test_a_row_in_flight_may_still_finish_after_another_met_the_budget(journal):
    async def work(query):
        await asyncio.sleep(0.001 if query.row == 1 else 0.02)
        if query.row == 1:
            raise BudgetSpent("max_cost")
        return Outcome(query, "accepted", "paired")

    tally = await run_rows(queries(10), work, journal, in_flight=4)
    assert tally.reasons == {("accepted", "paired"): 3, ("pending", "budget"): 7}


@pytest.mark.parametrize(
    "bug", [RuntimeError("a bug"), KeyError("x"), MemoryError(), "other row", "no outcome", "text"]
)
async def test_one_bad_row_never_ends_the_batch(journal, bug):
    async def work(query):
        if query.row != 7:
            return Outcome(query, "accepted", "paired")
        if isinstance(bug, Exception):
            raise bug
        return {
            "other row": Outcome(Query("query 0", 1), "accepted", "paired"),
            "no outcome": None,
            "text": Outcome(query, "accepted", "paired", "half a character: \ud83d"),
        }[bug]

    tally = await run_rows(queries(5), work, journal, in_flight=2)
    assert tally.reasons == {("accepted", "paired"): 4, ("failed", "error"): 1}
    (failed,) = [one for one in journal.outcomes() if one.status == "failed"]
    assert failed.query.row == 7
    assert failed.detail.startswith("row 7: ")
    assert type(bug).__name__ in failed.detail or isinstance(bug, str)


async def test_what_no_row_can_mend_ends_the_run_after_what_is_in_flight(journal):
    """From the 41st call on the judge is told that the key is refused; another try would only repeat that."""
    world = World()
    world.faulty = lambda role, key: role == "judge" and world.calls["judge"] > 40 and ConfigError("the key is refused")
    with pytest.raises(ConfigError, match="the key is refused"):
        await run_rows(queries(40), sampler(build(world.cast())), journal, in_flight=4)
    assert 0 < len(journal) < 12
    assert world.calls["judge"] < 40 + 4 * 4 + 1, "no row is begun after that"
    world.faulty = lambda role, key: False
    assert (await run_rows(queries(40), sampler(build(world.cast())), journal, in_flight=4)).pending == 0


async def test_a_text_that_no_template_takes_is_one_rows_trouble(journal):
    world = World()
    world.faulty = lambda role, key: (
        role == "judge" and key[0] == "query 3" and TemplateError("judge.j2:1: renders more than 262144 characters")
    )
    tally = await run_rows(queries(8), sampler(build(world.cast())), journal, in_flight=4)
    assert tally.reasons["unscored", "too_few_verdicts"] == 1
    assert tally.pending == 0


async def test_a_retriever_with_a_bug_fails_its_row_alone(journal):
    class Retriever:
        async def retrieve(self, query):
            if query.row == 4:
                raise ZeroDivisionError("similarity of nothing")
            return ()

    tally = await run_rows(queries(4), sampler(build(World().cast(retriever=Retriever()))), journal, in_flight=4)
    assert tally.reasons["failed", "error"] == 1
    assert tally.reasons.total() == 4


async def test_stop_finishes_what_is_in_flight(journal):
    stop = asyncio.Event()
    work = Work(0.005)

    async def stopping(query):
        if query.row == 19:
            stop.set()
        return await work(query)

    tally = await run_rows(queries(50), stopping, journal, in_flight=4, stop=stop)
    assert work.begun.total() == len(journal) < 15
    assert tally.pending == tally.reasons["pending", "stopped"] == 50 - len(journal)


async def test_ctrl_c_once_finishes_and_twice_cancels(journal):
    work = Work(0.01)

    async def interrupted(query):
        if query.row == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return await work(query)

    with stop_on_interrupt() as stop:
        tally = await run_rows(queries(50), interrupted, journal, in_flight=4, stop=stop)
    assert 0 < len(journal) == work.begun.total() < 12
    assert tally.reasons["pending", "stopped"] == 50 - len(journal)

    async def endless(query):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(600)

    before = lines(journal)

    async def run():
        with stop_on_interrupt() as stop:
            await run_rows(queries(50), endless, journal, in_flight=2, stop=stop)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.create_task(run()), 10)
    assert lines(journal) == before
    assert count_rows(queries(50), journal).pending == 50 - len(before)


@pytest.mark.parametrize(("size", "count"), [(1000, 50), (30, 1)])
async def test_a_full_disk_ends_the_run_and_the_journal_stays_whole(tmp_path, size, count):
    """A limit on the file size plays the full disk: the write that meets it comes back short, or fails."""
    path = tmp_path / "journal.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with RowJournal(path, "k") as journal, pytest.raises(RunFolderError, match=r"journal\.jsonl"):
            await run_rows(queries(count), Work(0.001), journal, in_flight=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with RowJournal(path, "k") as journal:
        assert len(journal) == len(path.read_bytes().splitlines()) < min(10, count)
        assert (await run_rows(queries(count), Work(), journal, in_flight=4)).pending == 0


async def test_progress_is_told_and_adds_up(journal, monkeypatch):
    monkeypatch.setattr(engine, "PROGRESS_SECONDS", 0)
    told = []
    await run_rows(queries(40), Work(0.005), journal, in_flight=4, on_progress=told.append)
    assert len(told) == 41, "after every row and at the end"
    for now in told:
        assert now.done == now.statuses.total() <= now.rows == 40
        assert now.rate >= 0
    assert [now.done for now in told] == sorted(now.done for now in told)
    middle, last = told[len(told) // 2], told[-1]
    assert 0 < middle.eta < 60
    assert middle.in_flight > 0
    assert (last.done, last.in_flight, last.eta) == (40, 0, 0)


async def test_progress_towards_acceptances_foresees_their_end(journal):
    told = []
    await run_rows(queries(400), Work(0.005), journal, in_flight=4, accept=10, on_progress=told.append)
    assert told[-1].eta == 0
    assert told[-1].statuses["accepted"] == 10


async def test_the_collector_is_left_as_it_was(journal):
    before = gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()
    await run_rows(queries(3), Work(), journal, in_flight=4)
    assert (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()) == before


CHILD = """
import asyncio, sys
from pathlib import Path
from kindling.graphs.engine import run_rows
from kindling.graphs.journal import RowJournal
from tests.graphs.test_graphs_engine import killed_work, queries
folder = Path(sys.argv[1])
with RowJournal(folder / "journal.jsonl", "k") as journal:
    asyncio.run(run_rows(queries(80), killed_work(folder / "begun.txt"), journal, in_flight=8))
"""


def killed_work(log):
    """Run the real graph; every row that begins is noted in `log`."""
    inner = sampler(build(World(delay=0.02).cast()))

    async def work(query):
        with log.open("a") as file:
            file.write(f"{query.row}\n")
        return await inner(query)

    return work


async def test_kill_9_at_half_way_loses_no_row_and_repeats_only_those_in_flight(tmp_path):
    path, log = tmp_path / "journal.jsonl", tmp_path / "begun.txt"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, str(tmp_path), cwd=ROOT)
    deadline = time.monotonic() + 30
    while not path.exists() or path.read_bytes().count(b"\n") < 30:
        assert time.monotonic() < deadline, "the child makes no progress"
        assert child.returncode is None, "the child ended by itself"
        await asyncio.sleep(0.005)
    child.kill()
    await child.wait()
    with RowJournal(path, "k") as journal:
        assert 30 <= len(journal) < 80
        tally = await run_rows(queries(80), killed_work(log), journal, in_flight=8)
        resumed = lines(journal)
    assert tally.reasons.total() == 80
    assert tally.pending == 0
    begun = Counter(log.read_text().split())
    assert len(begun) == 80
    assert begun.total() <= 80 + 8
    with RowJournal(tmp_path / "undisturbed.jsonl", "k") as journal:
        await run_rows(queries(80), sampler(build(World().cast())), journal, in_flight=8)
        assert lines(journal) == resumed


async def test_a_missing_key_or_server_ends_the_run_with_its_line_and_fails_no_row(tmp_path):
    done = []

    async def work(query):
        if query.row == 3:
            raise ConfigError("endpoint 'main': HTTP 401: check the key in MAIN_KEY")
        await asyncio.sleep(0.01)
        done.append(query.row)
        return Outcome(query, "rejected", "all_bad")

    with RowJournal(tmp_path / "journal.jsonl", "key") as journal:
        with pytest.raises(ConfigError, match="MAIN_KEY"):
            await run_rows([Query(f"q{row}", row) for row in range(50)], work, journal, in_flight=4)
        assert sorted(one.query.row for one in journal.outcomes()) == sorted(done)
        assert {one.status for one in journal.outcomes()} == {"rejected"}
        assert len(done) < 10
