"""A policy as a candidate source: the contract of `kindling.agents.generator.Generator` over a `Sampler`.

Calls that wait at the same time are drawn in one batch, in a thread, so that the rest of the graph works on. A text
that the limit cut off is no candidate: judged, it would teach that its topic is bad.
"""

import asyncio

from kindling.errors import CallError
from kindling.records import Candidate, Example, Query
from kindling.rl.policy.sampling import Asked, Sample, Sampler, Sampling


class PolicyGenerator:
    """Writes responses with a policy. What it writes depends on the seed, the query and the index.

    The query is all that the policy is given: examples are for models that can read them.
    """

    def __init__(self, sampler: Sampler, sampling: Sampling | None = None) -> None:
        self.name = f"policy:{sampler.name}"
        self._sampler = sampler
        self._sampling = sampling or Sampling()
        self._waiting: list[tuple[Asked, asyncio.Future[Sample]]] = []
        self._work: asyncio.Task[None] | None = None

    async def generate(self, query: Query, examples: tuple[Example, ...], index: int) -> Candidate:
        """The candidate at place `index` of the row. Raises `CallError` if the text is empty or cut off."""
        answer: asyncio.Future[Sample] = asyncio.get_running_loop().create_future()
        self._waiting.append(((query.text, index), answer))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._draw())
        sample = await answer
        if not sample.finished:
            raise CallError(f"{self.name}: cut off at {self._sampling.max_new_tokens} tokens")
        if not sample.text:
            raise CallError(f"{self.name}: empty")
        return Candidate(sample.text, self.name, index, self._sampling.temperature)

    async def _draw(self) -> None:
        """Draw until nobody waits."""
        while self._waiting:
            await asyncio.sleep(0)  # let the others that are ready ask too
            drawn, self._waiting = self._waiting[: self._sampler.size], self._waiting[self._sampler.size :]
            try:
                samples = await asyncio.to_thread(self._sampler.batch, [asked for asked, _ in drawn], self._sampling)
            except Exception as error:  # whoever asked is told, and may go on without
                for _, answer in drawn:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), sample in zip(drawn, samples, strict=True):
                if not answer.done():  # one who was cancelled waits no more
                    answer.set_result(sample)
