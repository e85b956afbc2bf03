"""A cast for tests that plays by the real contracts, deterministic in its words and as slow, faulty or poor as asked.

`World.oracle` is what the judge says of a text when nothing goes wrong: tests compare every verdict with it, so a
failure that turned into a label would be seen.
"""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kindling.agents.cast import Cast
from kindling.errors import BudgetSpent, CallError, Unscored
from kindling.records import Candidate, Case, Critique, Example, Point, Query, Side, Verdict

# what an agent may do instead of answering; None stands for an answer of the wrong type
FAULTS: tuple[Any, ...] = (
    CallError("429 after 5 tries"),
    Unscored("the answer is no JSON"),
    TimeoutError("60 s"),
    RuntimeError("a bug\nin two lines"),
    KeyError("verdict"),
    UnicodeError("\ud800"),
    MemoryError(),
    None,
)


def chance(*parts: object) -> float:
    """Draw a number in [0, 1) that depends on `parts` alone."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:6]) / 2**48


@dataclass
class World:
    """What the actors share. `faulty` maps (role, key) to what happens instead, or `fault_rate` decides."""

    fault_rate: float = 0.0
    delay: float = 0.0  # seconds at most, different each time
    budget: int | None = None
    faulty: Callable[[str, tuple[object, ...]], Any] = lambda role, key: False
    score: Callable[[str, str], float] = lambda query, text: round(chance("score", query, text), 1)
    write: Callable[[str, int], str] = lambda query, index: f"{query}:{index}" + "好" * int(40 * chance(query, index))
    calls: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    cancelled: Counter[str] = field(default_factory=Counter)
    cases: dict[str, list[Case]] = field(default_factory=dict)
    examples: tuple[Example, ...] = (Example("near", "an example", 0.9),)
    seen: list[tuple[Example, ...]] = field(default_factory=list)

    async def call(self, role: str, *key: object) -> bool:
        """One paid call. False if the actor is to answer something of the wrong type."""
        if self.budget is not None and self.calls.total() >= self.budget:
            raise BudgetSpent("max_calls is used up")
        self.calls[role] += 1
        try:
            await asyncio.sleep(self.delay * random.random())
        except asyncio.CancelledError:
            self.cancelled[role] += 1
            raise
        fault = self.faulty(role, key)
        if fault is False and chance("fault", role, *key) < self.fault_rate:
            fault = FAULTS[int(chance("kind", role, *key) * len(FAULTS))]
        if isinstance(fault, Exception):
            raise fault
        self.finished[role] += 1
        return fault is False

    def oracle(self, query: str, text: str) -> Verdict:
        """Give the verdict that stands on `text` when nothing goes wrong."""
        return Verdict.of(self.score(query, text), "said so", "judge", "t1")

    def cast(self, **changes: Any) -> Cast:
        """Cast everyone of this world, two generators, with some members changed."""
        everyone = {
            "retriever": Retriever(self),
            "generators": (Writer(self, "strong"), Writer(self, "weak")),
            "positive": Critic(self, "merits"),
            "negative": Critic(self, "flaws"),
            "judge": Judge(self),
            "reflector": Reflector(self),
            "brief_chars": 20,
        }
        return Cast(**{**everyone, **changes})


@dataclass
class Retriever:
    """Finds the same examples for everyone."""

    world: World

    async def retrieve(self, query: Query) -> tuple[Example, ...]:
        """Examples."""
        return self.world.examples


@dataclass
class Writer:
    """Writes what `World.write` says."""

    world: World
    name: str

    async def generate(self, query: Query, examples: tuple[Example, ...], index: int) -> Candidate:
        """One candidate."""
        self.world.seen.append(examples)
        if not await self.world.call("generator", query.text, index):
            return None  # type: ignore[return-value]
        return Candidate(self.world.write(query.text, index), self.name, index, 0.9)


@dataclass
class Critic:
    """Makes one point."""

    world: World
    side: Side
    name: str = "critic"

    async def criticise(self, case: Case) -> Critique:
        """One side."""
        role = "positive" if self.side == "merits" else "negative"
        self.world.cases.setdefault(role, []).append(case)
        if not await self.world.call(role, case.query, case.response):
            return None  # type: ignore[return-value]
        return Critique(self.side, (Point("length", str(len(case.response))),), role, "t0")


@dataclass
class Judge:
    """Says what the oracle says."""

    world: World
    name: str = "judge"
    template: str = "t1"

    async def judge(self, case: Case, critiques: tuple[Critique, ...] = ()) -> Verdict:
        """Ask the oracle."""
        self.world.cases.setdefault("judge", []).append(case)
        try:
            if not await self.world.call("judge", case.query, case.response):
                return None  # type: ignore[return-value]
        except Unscored as error:
            return Verdict.none(str(error), self.name, self.template)
        return self.world.oracle(case.query, case.response)


@dataclass
class Reflector:
    """Upholds every verdict."""

    world: World
    name: str = "reflector"

    async def reflect(self, case: Case, critiques: tuple[Critique, ...], first: Verdict) -> Verdict:
        """Uphold."""
        self.world.cases.setdefault("reflector", []).append(case)
        try:
            if not await self.world.call("reflector", case.query, case.response):
                return None  # type: ignore[return-value]
        except Unscored as error:
            return Verdict.none(str(error), self.name)
        return first
