"""One at a time in, many at a time through the model: scores for callers that do not know of each other.

What waits when the model is free is scored in one pass, in one thread, so that no event loop stands still; nothing
waits for a batch to fill. Callers may be on different event loops: a trainer's, a watch's, a server's.

A pass that fails is taken apart, so that a text on which the model breaks costs its neighbours nothing. Only what no
text can be blamed for (`UsageError`: no weights, no torch) is told to all of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from kindling.errors import UsageError

Pair = tuple[str, str]
"""A query and a response to it."""
ScorePairs = Callable[[Sequence[Pair]], Sequence[float]]
"""Raw scores, any real numbers, of N pairs at once."""


class Batches:
    """Scores by `score`, at most `at_once` pairs a pass."""

    def __init__(self, score: ScorePairs, at_once: int) -> None:
        self._score = score
        self._at_once = at_once
        self._waiting: deque[tuple[Pair, Future[float]]] = deque()
        self._thread = ThreadPoolExecutor(1, "reward-model")

    async def score(self, pair: Pair) -> float:
        """The score of one pair. Raises whatever the model raised on it."""
        answer: Future[float] = Future()
        self._waiting.append((pair, answer))
        self._thread.submit(self._pass)  # one for each pair: most find that an earlier one took theirs along
        return await asyncio.wrap_future(answer)

    def _pass(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(self._at_once, len(self._waiting)))]
        # one who was cancelled waits no more
        if live := [one for one in batch if one[1].set_running_or_notify_cancel()]:
            self._answer(live)

    def _answer(self, batch: Sequence[tuple[Pair, Future[float]]]) -> None:
        try:
            scores = self._score([pair for pair, _ in batch])
            scored = list(zip(batch, scores, strict=True))
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, UsageError):
                for one in batch:
                    self._answer([one])
                return
            for _, answer in batch:
                answer.set_exception(error)
            return
        for (_, answer), score in scored:
            answer.set_result(score)
