"""How many calls may be in flight: found out while running, a limit a model on an endpoint.

    Gate   an endpoint: the cap over all its models, the pause that a Retry-After asks for, the order of arrival
    Lane   a model behind a gate: its limit, between 1 and the cap

The limit doubles a round until the first sign of congestion (slow start), then grows by one a round (additive
increase). A caller that waits for a whole batch can say beforehand how many calls that makes (`Lane.expect`): as long
as the endpoint has said nothing else, the lane is so wide from the start, since a batch that is sent in parts only ends
later. Each 429, 503 or time-out takes one half off the limit, so a round in which a share p is refused costs p/2 of it
(multiplicative decrease by the share, as in DCTCP, RFC 8257): an endpoint that refuses everything halves it every
round, while a few stray faults do not throttle a healthy one. Latency slows the growth before errors come: with
`short`, a moving average of it, and `base`, the lowest that `short` has been (drifting up by 2 % a round), the step
is whole up to short = 2 base, which batching on a server and a busy client cost anyway, and nothing from 8 base on,
where requests only queue. Only a round that fills the lane raises its limit: the calls that were out when it was full.

Waiters are served in order of arrival over all lanes of a gate; one whose lane is full does not hold up the others.
No lock and no task of its own: everything happens inside `acquire`, `release`, `pause` and one timer for the end of a
pause.
"""

import asyncio
from collections import deque
from itertools import count
from typing import NamedTuple

DECREASE = 0.5
FIRST_LIMIT = 16.0
SHORT_WEIGHT = 0.1
# a round: an endpoint that has become slower for good is forgiven in some tens of rounds
BASE_DRIFT = 0.02
# in units of the base latency: from where the growth is slowed, and where it ends
SLOWED_FROM, STOPPED_AT = 2.0, 8.0


class _Waiter(NamedTuple):
    ticket: int
    future: "asyncio.Future[None]"


class Gate:
    """One endpoint. `cap` bounds the requests in flight over all its lanes."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.in_flight = 0
        self._lanes: dict[str, Lane] = {}
        self._tickets = count()
        self._open_at = 0.0

    def lane(self, model: str) -> "Lane":
        """The lane of `model`, made on first use."""
        return self._lanes.setdefault(model, Lane(self))

    def pause(self, seconds: float) -> None:
        """Let nobody through for `seconds` from now; a longer pause that is on already stays."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if until > self._open_at:
            self._open_at = until
            loop.call_at(until, self._open, until)

    def _open(self, until: float) -> None:
        """End the pause, unless a longer one was asked for since."""
        # by the name of the pause, not by the clock: a timer may fire a tick early
        if until == self._open_at:
            self._open_at = 0.0
            self.serve()

    def ticket(self) -> int:
        """The place of the next waiter in the order of arrival."""
        return next(self._tickets)

    def serve(self) -> None:
        """Let through all who may go now, in order of arrival."""
        while not self._open_at and self.in_flight < self.cap:
            ready = [lane for lane in self._lanes.values() if lane.has_room()]
            if not ready:
                return
            min(ready, key=Lane.first_ticket).let_one_in()


class Lane:
    """One model behind a gate."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.in_flight = 0
        self.limit = min(FIRST_LIMIT, float(gate.cap))
        self.lowest = self.highest = self.limit
        self._queue: deque[_Waiter] = deque()
        self._slow_start = True
        self._expected = 0
        self._of_a_full_round = 0  # so many of the calls that are out were so when the lane was last full
        self._short = self._base = 0.0

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return len(self._queue)

    def expect(self, calls: int) -> None:
        """Be told of a batch that will make so many calls, besides those that were told of: begin as wide as that.

        What the endpoint has shown counts more: after its first answer or refusal this changes nothing.
        """
        self._expected += calls
        if self._slow_start and not self._base:
            self.limit = min(float(self.gate.cap), max(FIRST_LIMIT, float(self._expected)))
            self.lowest = self.highest = self.limit

    def has_room(self) -> bool:
        """Whether somebody waits here who may go. Drops waiters that were cancelled."""
        while self._queue and self._queue[0].future.done():
            self._queue.popleft()
        return bool(self._queue) and self.in_flight < int(self.limit)

    def first_ticket(self) -> int:
        """The ticket of the longest waiting."""
        return self._queue[0].ticket

    def let_one_in(self) -> None:
        """Give the longest waiting its permit."""
        self.in_flight += 1
        self.gate.in_flight += 1
        if self.in_flight >= int(self.limit):
            self._of_a_full_round = self.in_flight
        self._queue.popleft().future.set_result(None)

    async def acquire(self) -> None:
        """Wait for the permit to send one request; whoever gets it must `release` it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiter(self.gate.ticket(), future))
        self.gate.serve()
        try:
            await future
        except asyncio.CancelledError:
            # the permit may have come in the same turn of the loop as the cancellation
            if future.done() and not future.cancelled():
                self.release()
            raise

    def release(self, *, seconds: float | None = None, congested: bool = False) -> None:
        """Give a permit back: after an answer that took `seconds`, a sign of congestion, or nothing to learn from."""
        filled = self._of_a_full_round > 0
        self._of_a_full_round -= filled
        if congested:
            self._decrease()
        elif seconds is not None:
            self._increase(seconds, filled)
        self.in_flight -= 1
        self.gate.in_flight -= 1
        self.gate.serve()

    def _decrease(self) -> None:
        self._slow_start = False
        self.limit = max(1.0, self.limit - DECREASE)
        self.lowest = min(self.lowest, self.limit)

    def _increase(self, seconds: float, filled: bool) -> None:
        self._short += SHORT_WEIGHT * (seconds - self._short) if self._short else seconds
        drifted = self._base * (1 + BASE_DRIFT / self.limit) if self._base else seconds
        self._base = min(drifted, self._short)
        if not filled:
            return
        step = 1.0 if self._slow_start else 1.0 / self.limit
        self.limit = min(float(self.gate.cap), self.limit + self._slack() * step)
        self.highest = max(self.highest, self.limit)

    def _slack(self) -> float:
        """The share of a step that the latency leaves, in [0, 1]."""
        if not self._base:
            return 1.0
        share = (STOPPED_AT - self._short / self._base) / (STOPPED_AT - SLOWED_FROM)
        return min(1.0, max(0.0, share))
