"""The ledger of paid calls: a call is paid for once, and its answer is on disk before anybody may use it.

One SQLite file (WAL, synchronous=NORMAL: safe against `kill -9`; only a power cut can cost the last commits). A row
is one answer as JSON under the key of its call, with role, model, tokens and cost for the sums. No pickle, no header,
no key, no message text. `once` is the way in:

    in the ledger      → the stored answer, free
    in flight already  → wait for that call; if it fails, all who wait get its failure
    neither            → make the call, commit its answer, then return it

A call runs in a task of its own. A waiter that is cancelled only leaves; when the last one has left, the call is
cancelled if nothing was sent yet, and otherwise goes on until its answer is stored, since it is paid. `drain` waits
for those.

Failures are not stored: a resumed run tries them again. Two processes may share a file; each keeps its own calls in
flight, and the answer that was committed first stands for both.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from kindling.agents.calls import Answer, Call
from kindling.errors import RunFolderError
from kindling.records import load

# "kdlg": how a file says that it is ours, before anything is written to it
APPLICATION_ID = 0x6B646C67
VERSION = 1
WAIT_S = 30.0  # for another process that holds the file

_SCHEMA = """CREATE TABLE calls (
    key TEXT PRIMARY KEY, role TEXT NOT NULL, model TEXT NOT NULL, answer TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost REAL NOT NULL,
    seconds REAL NOT NULL, created REAL NOT NULL) WITHOUT ROWID"""


class Paid(NamedTuple):
    """A fresh answer with what it cost (money) and how long it took (seconds)."""

    answer: Answer
    cost: float
    seconds: float


class Recalled(NamedTuple):
    """An answer, and whether this caller's call was the one that paid for it."""

    answer: Answer
    fresh: bool


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over the answers of one role and model in a ledger, whichever process paid them."""

    role: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float


@dataclass(slots=True)
class Flight:
    """A call that is being made: `waiters` want its answer; `sent` while a request is with the endpoint."""

    waiters: int = 0
    sent: bool = False
    closing: bool = False
    task: "asyncio.Task[Answer] | None" = None

    @property
    def wanted(self) -> bool:
        """Whether a further try would be for anybody."""
        return self.waiters > 0 and not self.closing


Pay = Callable[[Flight], Awaitable[Paid]]


class Ledger:
    """An open ledger file. Not shared between threads; raises `RunFolderError` in one line if the file fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._flights: dict[str, Flight] = {}
        with self._readable():
            self._db = self._open(time.monotonic() + WAIT_S)

    def _open(self, deadline: float) -> sqlite3.Connection:
        """A connection to the prepared file; tries again while another process prepares it.

        SQLite's own time-out does not cover that: of two that switch a new file to WAL, one is refused at once.
        """
        while True:
            db = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)
            try:
                self._prepare(db)
            except BaseException as error:
                db.close()
                if not _busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Make the table in an empty file; refuse a file that is not ours before touching it."""
        self._check(db)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("BEGIN IMMEDIATE")
        # a second process may have made the table since the first look
        if not self._check(db):
            db.execute(_SCHEMA)
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={VERSION}")
        db.execute("COMMIT")

    def _check(self, db: sqlite3.Connection) -> bool:
        """Whether the file is a ledger; false if it is empty. Raises if it is something else."""
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (owner,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if not tables and not owner:
            return False
        if owner != APPLICATION_ID:
            raise RunFolderError(f"{self.path}: a database, but not a kindling ledger; name another file")
        if version != VERSION:
            raise RunFolderError(f"{self.path}: a ledger of version {version}; this kindling reads version {VERSION}")
        return True

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise RunFolderError(
                f"{self.path}: the ledger cannot be used: {error}; move it away to start anew"
            ) from error

    def get(self, key: str) -> Answer | None:
        """The stored answer under `key`, or none."""
        with self._readable():
            row = self._db.execute("SELECT answer FROM calls WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        try:
            return load(Answer, orjson.loads(row[0]), str(self.path))
        except (orjson.JSONDecodeError, TypeError, ValueError) as error:
            raise RunFolderError(f"{self.path}: a stored answer cannot be read: {error}; move the file away") from error

    def put(self, key: str, role: str, model: str, paid: Paid) -> Answer:
        """Commit an answer. Returns what now stands under `key`: an earlier answer, if there is one, stays."""
        answer = paid.answer
        tokens = (answer.prompt_tokens, answer.completion_tokens)
        row = (key, role, model, orjson.dumps(answer).decode(), *tokens, paid.cost, paid.seconds, time.time())
        with self._readable():
            written = self._db.execute("INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row).rowcount
        return answer if written else self.get(key) or answer

    async def once(self, call: Call, role: str, pay: Pay) -> Recalled:
        """The answer to `call`, from the file, from the same call in flight, or by `pay`.

        `pay` sets `Flight.sent` while a request is out, and stops retrying when the call is not `wanted` any more.
        """
        key = call.key()
        if (stored := self.get(key)) is not None:
            return Recalled(stored, fresh=False)
        flight = self._flights.get(key)
        fresh = flight is None
        if flight is None:
            flight = self._flights[key] = Flight()
            flight.task = asyncio.create_task(self._fly(key, role, call.model, flight, pay))
            # when every waiter has left, nobody else looks at how it ended, and asyncio would print that
            flight.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        assert flight.task is not None
        flight.waiters += 1
        try:
            return Recalled(await asyncio.shield(flight.task), fresh)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.sent:
                self._abandon(key, flight)

    async def _fly(self, key: str, role: str, model: str, flight: Flight, pay: Pay) -> Answer:
        try:
            # no await between the payment and the commit, so no cancellation can fall between them
            return self.put(key, role, model, await pay(flight))
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _abandon(self, key: str, flight: Flight) -> None:
        """Cancel a call that nobody waits for and that costs nothing yet; later callers start their own."""
        assert flight.task is not None
        if flight.task.done():
            return
        flight.task.cancel()
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def drain(self) -> None:
        """Let the requests that are out come back and be stored; cancel what was not sent. Bounded by the time-outs."""
        flights = list(self._flights.items())
        for key, flight in flights:
            flight.closing = True
            if not flight.sent:
                self._abandon(key, flight)
        await asyncio.gather(*(flight.task for _, flight in flights if flight.task), return_exceptions=True)

    def totals(self) -> list[Total]:
        """Sums per role and model over the whole file, in that order."""
        sums = "count(*), sum(prompt_tokens), sum(completion_tokens), sum(cost)"
        with self._readable():
            rows = self._db.execute(f"SELECT role, model, {sums} FROM calls GROUP BY role, model ORDER BY role, model")  # noqa: S608
            return [Total(*row) for row in rows]

    def served(self) -> tuple[str, ...]:
        """What the endpoints said they are: every "model fingerprint" that stands in an answer, in order."""
        said = "DISTINCT trim(answer ->> 'model' || ' ' || (answer ->> 'system_fingerprint'))"
        with self._readable():
            return tuple(name for (name,) in self._db.execute(f"SELECT {said} AS name FROM calls ORDER BY name"))  # noqa: S608

    def close(self) -> None:
        """Release the file. Idempotent."""
        self._db.close()


def _busy(error: BaseException) -> bool:
    """Whether another connection is in the way (the low byte is the kind of an extended error code)."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
