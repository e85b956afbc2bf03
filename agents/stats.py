"""What the calls of one process came to: per role, per model and endpoint, and notes of what was not as configured.

Counts of earlier processes stand in the ledger (`Ledger.totals`); these here say what this process did and how fast.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from kindling.agents.calls import Answer

# enough for stable tails; the latest matter most when a run is watched
LATENCIES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class LaneStats:
    """A model on an endpoint: requests in flight and waiting now, and the limit found, with its range so far."""

    endpoint: str
    model: str
    in_flight: int
    waiting: int
    limit: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class RoleStats:
    """One role. `calls` were answered and paid, `hits` came from the ledger or from the same call in flight.

    `requests` went over the wire; `retries` of them were further tries, `rate_limited` came back with 429,
    `timed_out` did not come back; `failures` are calls given up. Latencies are seconds of answered requests; none
    before the first.
    """

    role: str
    calls: int
    hits: int
    requests: int
    retries: int
    rate_limited: int
    timed_out: int
    failures: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of all of it; plain data for run.json."""

    roles: tuple[RoleStats, ...]
    lanes: tuple[LaneStats, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """The running counts of one role. `ungraded` counts why verdicts had no probability, of `decided` in all."""

    calls: int = 0
    hits: int = 0
    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    timed_out: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    decided: int = 0
    ungraded: Counter[str] = field(default_factory=Counter)
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))

    def paid(self, answer: Answer, cost: float, seconds: float) -> None:
        """Count an answered request."""
        self.calls += 1
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens
        self.cost += cost
        self.latencies.append(seconds)

    def ungraded_note(self, where: str) -> str | None:
        """How many verdicts of `where` had no probability, and why; None if all had one, or none was asked for."""
        if not self.ungraded:
            return None
        why = ", ".join(f"{reason}: {count}" for reason, count in self.ungraded.most_common())
        return f"{where}: {self.ungraded.total()} of {self.decided} verdicts are without a probability ({why})"

    def snapshot(self, role: str) -> RoleStats:
        """The counts now, with nearest-rank percentiles of the latencies."""
        ordered = sorted(self.latencies)
        ranks = [ordered[int(share * (len(ordered) - 1))] if ordered else None for share in (0.5, 0.95, 0.99)]
        counts = (self.calls, self.hits, self.requests, self.retries, self.rate_limited, self.timed_out, self.failures)
        return RoleStats(role, *counts, self.prompt_tokens, self.completion_tokens, self.cost, *ranks)
