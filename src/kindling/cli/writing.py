"""Letting models write for an evaluation: every text that is missing, kept as it comes.

A policy draws a batch at a time; a cast writes as many texts at once as the configuration allows. A text that is cut
off, empty or could not be had is kept as what it is, with the reason.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from kindling.agents.budget import Budget
from kindling.cli import casting
from kindling.cli.contestants import Entrant, read_texts
from kindling.config import GENERATORS
from kindling.errors import CallError
from kindling.eval.scorecard.sheets import Failure, Row, Written
from kindling.records import Query
from kindling.runs import RunFolder

if TYPE_CHECKING:
    from kindling.agents.generator import Generator

T = TypeVar("T")
Keep = Callable[[Row, Written], None]


async def at_once(items: Iterable[T], work: Callable[[T], Awaitable[None]], many: int, stop: asyncio.Event) -> None:
    """Do `work` on the items, `many` at once, beginning none when `stop` is set. Raises what one of them raises."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            if stop.is_set():
                return
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(many):
                group.create_task(worker())
    except BaseExceptionGroup as failed:
        # whatever ended one for good (no budget, no key, no server) ends them all: one is enough to tell
        raise failed.exceptions[0] from None


async def write(
    entrant: Entrant,
    rows: Sequence[Row],
    keep: Keep,
    stop: asyncio.Event,
    *,
    run: RunFolder,
    budget: Budget | None,
    sampling: Mapping[str, Any],
    batch: int,
    threads: int | None,
) -> None:
    """Let a model answer `rows`; those that it has answered when something ends it are kept."""
    if entrant.recorded is not None:
        for row, written in zip(rows, read_texts(entrant.recorded, rows), strict=True):
            keep(row, written)
    elif entrant.policy is not None:
        await _draw(entrant.policy, rows, keep, stop, sampling, batch, threads)
    else:
        assert entrant.plan is not None, "a model is a policy, a file or a cast"
        await _ask(entrant.plan, entrant.role, rows, keep, stop, run, budget)


async def _draw(
    model: str,
    rows: Sequence[Row],
    keep: Keep,
    stop: asyncio.Event,
    sampling: Mapping[str, Any],
    batch: int,
    threads: int | None,
) -> None:
    """A policy, batch by batch, in a thread so that Ctrl-C is heard."""
    from kindling.rl.policy.sampling import Sampler, Sampling

    sampler = Sampler(model, threads, batch)
    drawn = Sampling(**sampling)
    for start in range(0, len(rows), batch):
        if stop.is_set():
            return
        part = rows[start : start + batch]
        for row, sample in zip(
            part,
            await asyncio.to_thread(sampler.batch, [(row.query, row.index) for row in part], drawn),
            strict=True,
        ):
            if not sample.finished:
                keep(row, Written(sample.text, "cut_off", f"cut off at {drawn.max_new_tokens} tokens"))
            else:
                keep(row, Written(sample.text) if sample.text else Written("", "empty", "empty"))


async def _ask(
    plan: casting.CastPlan,
    role: str | None,
    rows: Sequence[Row],
    keep: Keep,
    stop: asyncio.Event,
    run: RunFolder,
    budget: Budget | None,
) -> None:
    """A cast's generators: the one of `role`, or all in turns."""
    show = "generator" in plan.config.retriever.show_to
    async with casting.open_cast(plan, run.path / casting.LEDGER, budget) as company:
        writers: Sequence[Generator] = company.cast.generators
        if role is not None and len(writers) > 1:
            writers = [writers[GENERATORS.index(role)]]

        async def answer(row: Row) -> None:
            query = Query(row.query)
            examples = await company.cast.retriever.retrieve(query) if show else ()
            try:
                candidate = await writers[row.index % len(writers)].generate(query, examples, row.index)
            except CallError as error:
                keep(row, Written("", _kind(str(error)), str(error)))
            else:
                keep(row, Written(candidate.text))

        await at_once(rows, answer, plan.config.curate.in_flight, stop)


def _kind(reason: str) -> Failure:
    """Which failure a call's error is, by the words of `kindling.agents.calls`."""
    if "truncated: " in reason:
        return "cut_off"
    return "empty" if "empty answer" in reason else "failed"
