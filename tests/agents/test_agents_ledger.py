"""Invariant 2, a call is paid for once: attacked by races, cancellation, kill -9, second processes and broken files."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from kindling.agents.calls import Answer, Call
from kindling.agents.ledger import Flight, Ledger, Paid
from kindling.errors import CallError, RunFolderError
from tests.scripted_models import said, scripted_models
from tests.scripted_server import Script, ScriptedServer

ROOT = Path(__file__).parents[2]
CALL = Call("http://a/v1", "m", ({"role": "user", "content": "你好"},), {"temperature": 0.7, "extra": {"a": 1, "b": 2}})
PAID = Paid(Answer("好", model="m", prompt_tokens=3, completion_tokens=1, logprobs={"content": []}), 0.5, 0.1)


@pytest.fixture
def ledger(tmp_path):
    book = Ledger(tmp_path / "ledger.sqlite")
    yield book
    book.close()


async def test_an_answer_is_on_disk_before_it_is_returned(ledger):
    async def pay(flight: Flight) -> Paid:
        return PAID

    recalled = await ledger.once(CALL, "judge", pay)
    with sqlite3.connect(ledger.path) as other:
        assert other.execute("SELECT key, role FROM calls").fetchall() == [(CALL.key(), "judge")]
    other.close()
    assert (recalled.fresh, recalled.answer) == (True, PAID.answer)
    again = await ledger.once(CALL, "judge", pay)
    assert (again.fresh, again.answer) == (False, PAID.answer)


async def test_equal_calls_in_flight_are_paid_once(ledger):
    paid = 0

    async def pay(flight: Flight) -> Paid:
        nonlocal paid
        paid += 1
        await asyncio.sleep(0.01)
        return PAID

    recalled = await asyncio.gather(*(ledger.once(CALL, "judge", pay) for _ in range(50)))
    assert paid == 1
    assert sum(one.fresh for one in recalled) == 1
    assert {one.answer.text for one in recalled} == {"好"}


async def test_a_cancelled_waiter_takes_nothing_from_the_others(ledger):
    async def pay(flight: Flight) -> Paid:
        flight.sent = True
        await asyncio.sleep(0.02)
        flight.sent = False
        return PAID

    first, second = (asyncio.create_task(ledger.once(CALL, "judge", pay)) for _ in range(2))
    await asyncio.sleep(0.005)
    first.cancel()
    assert (await second).answer == PAID.answer
    assert first.cancelled()


@pytest.mark.parametrize("sent", [True, False])
async def test_a_call_that_nobody_waits_for_is_kept_if_it_was_sent_and_cancelled_if_not(ledger, sent):
    async def pay(flight: Flight) -> Paid:
        flight.sent = sent
        await asyncio.sleep(0.02)
        flight.sent = False
        return PAID

    waiters = [asyncio.create_task(ledger.once(CALL, "judge", pay)) for _ in range(2)]
    await asyncio.sleep(0.005)
    for waiter in waiters:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    await ledger.drain()
    assert ledger.get(CALL.key()) == (PAID.answer if sent else None)


async def test_a_waiter_that_comes_while_a_call_is_being_abandoned_gets_its_own(ledger):
    tries = 0

    async def pay(flight: Flight) -> Paid:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0.01)
        return PAID

    first = asyncio.create_task(ledger.once(CALL, "judge", pay))
    await asyncio.sleep(0.002)
    first.cancel()
    await asyncio.sleep(0)
    assert (await ledger.once(CALL, "judge", pay)).answer == PAID.answer
    assert tries == 2


async def test_a_failure_reaches_all_who_wait_and_is_not_remembered(ledger):
    async def fail(flight: Flight) -> Paid:
        await asyncio.sleep(0.01)
        raise CallError("no")

    results = await asyncio.gather(*(ledger.once(CALL, "judge", fail) for _ in range(5)), return_exceptions=True)
    assert [str(result) for result in results] == ["no"] * 5

    async def pay(flight: Flight) -> Paid:
        return PAID

    assert (await ledger.once(CALL, "judge", pay)).fresh


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "http://b/v1"},
        {"model": "n"},
        {"messages": ({"role": "system", "content": "你好"},)},
        {"sampling": {"temperature": 0.8, "extra": {"a": 1, "b": 2}}},
        {"sampling": {"temperature": 0.7, "extra": {"a": 1, "b": 3}}},
        {"schema": {"type": "object"}},
        {"sample": 1},
        {"choice": "verdict"},
        {"choice": "label"},
    ],
)
def test_whatever_can_change_the_answer_changes_the_key(change):
    assert replace(CALL, **change).key() != CALL.key()


def test_ledgers_that_were_filled_before_there_were_log_probabilities_stay_valid(ledger):
    key = "84be8e78f15273a6cce740ef5140f24bba4579b7c195c5722f9ee6555c0ac797"
    answer = (
        '{"text":"好","finish_reason":"stop","model":"m","system_fingerprint":"","prompt_tokens":3,'
        '"completion_tokens":1,"logprobs":null}'
    )
    with sqlite3.connect(ledger.path) as other:
        other.execute("INSERT INTO calls VALUES (?, 'judge', 'm', ?, 3, 1, 0.5, 0.1, 0.0)", (key, answer))
    other.close()
    assert CALL.key() == key
    assert ledger.get(key) == Answer("好", model="m", prompt_tokens=3, completion_tokens=1)


def test_the_order_of_fields_does_not_change_the_key():
    swapped = {"extra": {"b": 2, "a": 1}, "temperature": 0.7}
    assert replace(CALL, sampling=swapped, messages=({"content": "你好", "role": "user"},)).key() == CALL.key()


def test_sums_come_from_the_file(tmp_path):
    for name in ("first", "second"):
        book = Ledger(tmp_path / "l.sqlite")
        for sample in range(3):
            book.put(f"{name}-{sample}", name, "m", PAID)
        book.put("first-0", "second", "m", PAID)
        book.close()
    book = Ledger(tmp_path / "l.sqlite")
    assert [(t.role, t.calls, t.prompt_tokens, t.completion_tokens, t.cost) for t in book.totals()] == [
        ("first", 3, 9, 3, 1.5),
        ("second", 3, 9, 3, 1.5),
    ]
    book.close()


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE calls (key TEXT PRIMARY KEY, answer TEXT)")
    db.close()


def _newer(path: Path) -> None:
    Ledger(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()


def _torn(path: Path) -> None:
    Ledger(path).close()
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    "spoil",
    [_foreign, _newer, _torn, lambda path: path.write_text("query,response\n" * 100), lambda path: path.mkdir()],
    ids=["another database", "a newer version", "torn", "text", "a folder"],
)
def test_a_file_that_is_no_ledger_is_refused_in_one_line_and_left_as_it_is(tmp_path, spoil):
    path = tmp_path / "ledger.sqlite"
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(RunFolderError) as raised:
        Ledger(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_stored_answer_that_was_tampered_with_is_noticed(ledger):
    ledger.put("k", "judge", "m", PAID)
    with sqlite3.connect(ledger.path) as db:
        db.execute("""UPDATE calls SET answer = '{"text": 5, "verdict": "good"}'""")
    db.close()
    with pytest.raises(RunFolderError, match="stored answer cannot be read"):
        ledger.get("k")


WRITER = """
import sys
import threading
from contextlib import closing
from pathlib import Path
from kindling.agents.calls import Answer
from kindling.agents.ledger import Ledger, Paid
book = Ledger(Path(sys.argv[1]))
for number in range(200):
    kept = book.put(f"key-{number}", "judge", "m", Paid(Answer(sys.argv[2]), 0.0, 0.0))
    assert kept == book.get(f"key-{number}"), (kept, number)
"""


def test_processes_may_share_a_file_from_its_creation_on(tmp_path):
    path = tmp_path / "ledger.sqlite"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stderr=subprocess.PIPE) for name in "abc"
    ]
    errors = [writer.communicate(timeout=60)[1].decode() for writer in writers]
    assert errors == ["", "", ""]
    book = Ledger(path)
    assert sum(total.calls for total in book.totals()) == 200
    book.close()


def test_a_file_that_another_process_is_making_is_waited_for(tmp_path):
    path = tmp_path / "ledger.sqlite"
    maker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    maker.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"), closing(sqlite3.connect(path, timeout=30)) as other:
        other.execute("PRAGMA journal_mode=WAL")  # SQLite's own time-out does not help here
    threading.Timer(0.3, maker.close).start()
    Ledger(path).close()


CALLER = """
import asyncio, sys
from pathlib import Path
from tests.scripted_models import said, scripted_models

async def main():
    async with scripted_models(sys.argv[1], Path(sys.argv[2]), endpoint={"max_in_flight": 8}) as play:
        print("open", flush=True)
        await asyncio.gather(*(play.judge.complete(said(f"row {n}")) for n in range(400)))

asyncio.run(main())
"""


async def test_kill_9_costs_at_most_the_calls_in_flight(tmp_path):
    path = tmp_path / "ledger.sqlite"
    async with ScriptedServer(Script(latency_s=0.05)).running() as server:
        command = [sys.executable, "-c", CALLER, server.url, str(path)]
        child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(60):
            while server.stats()["answered"] < 150:  # noqa: ASYNC110 - the count has no event
                await asyncio.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL
        before = server.stats()["answered"]

        async with scripted_models(server, path, endpoint={"max_in_flight": 8}) as play:
            stored = sum(total.calls for total in play.ledger.totals())
            assert before - stored <= 8
            async with asyncio.timeout(60):
                await asyncio.gather(*(play.judge.complete(said(f"row {n}")) for n in range(400)))
            role = play.models.stats().roles[0]
        assert (role.hits, role.calls) == (stored, 400 - stored)
        assert server.stats()["distinct"] == 400
        assert server.stats()["repeated"] == before - stored


async def test_no_header_and_no_key_is_in_the_file(tmp_path, monkeypatch):
    secret = "sk-geheim-0123456789"
    monkeypatch.setenv("SCRIPTED_KEY", secret)
    path = tmp_path / "ledger.sqlite"
    async with (
        ScriptedServer(Script(key=secret)).running() as server,
        scripted_models(server, path, endpoint={"api_key_env": "SCRIPTED_KEY"}) as play,
    ):
        await asyncio.gather(*(play.judge.complete(said(f"row {n}")) for n in range(20)))
        written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"reason" in written
    assert secret.encode() not in written
    assert b"Bearer" not in written
