"""The work behind `kindling eval`: models write, judges judge, and the scorecard is made of what stands.

On a resume texts stay as they are, only verdicts that are missing are asked for, and the scorecard is made anew.

    texts.jsonl       a line each text, as it came; a failure is a line too
    verdicts.jsonl    a line each judge and distinct case
    preferences.jsonl a line each pair of texts that was compared
    records.jsonl     at the end: every text with what every judge said of it
    scorecard.json    at the end: the numbers
"""

import asyncio
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling.agents.budget import Budget
from kindling.cli import casting, comparing, console, contestants, scored, writing
from kindling.cli.appended import Appended
from kindling.cli.evaluated import score, sheets_of
from kindling.cli.kept import Kept, TextLine, VerdictLine
from kindling.cli.preparation import Evaluation, Request, prepare
from kindling.config import Config
from kindling.errors import BudgetSpent, ConfigError, UsageError
from kindling.eval.scorecard.sheets import Row, Written
from kindling.graphs.engine import stop_on_interrupt
from kindling.runs import RunFolder, open_run, versions

if TYPE_CHECKING:
    from kindling.agents.ledger import Total

CUT_SHORT = 3
INTERRUPTED = 130


def carry_out(request: Request, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Evaluate, or describe what it would take; returns the exit status."""
    if request.retry and not request.resume:
        raise ConfigError("--retry goes with --resume: it asks again for what that run could not have")
    evaluation = prepare(request)
    if dry_run:
        scored.describe(evaluation, as_json=as_json)
        return 0
    try:
        with closing(open_run(request.out, "eval", evaluation.settings(), resume=request.resume)) as run:
            try:
                return _work(evaluation, run, as_json=as_json)
            except BaseException as error:
                if isinstance(error, UsageError) and run.new and not _anything_done(run.path):
                    run.discard()
                else:
                    failed = "failed" if isinstance(error, Exception) else "interrupted"
                    run.save(status=failed, error=type(error).__name__)
                raise
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.note("interrupted: the same command with --resume goes on")
        return INTERRUPTED


def _anything_done(folder: Path) -> bool:
    """Whether a run got as far as a text or a paid answer."""
    texts = folder / "texts.jsonl"
    return (texts.exists() and texts.stat().st_size > 0) or casting.anything_paid(folder / casting.LEDGER)


def _work(evaluation: Evaluation, run: RunFolder, *, as_json: bool) -> int:
    """Write, judge, measure, sum up."""
    request = evaluation.request
    run.save(
        status="running",
        error=None,
        config=request.config.model_dump(mode="json"),
        templates={judge.name: judge.template for judge in evaluation.bench.judges},
        judges=evaluation.bench.judges,
        models=evaluation.bench.models,
        versions=versions(),
        seed=request.seed,
    )
    with (
        closing(Appended(run.path / "texts.jsonl", TextLine)) as texts,
        closing(Appended(run.path / "verdicts.jsonl", VerdictLine)) as verdicts,
        closing(Appended(run.path / "preferences.jsonl", comparing.PreferenceLine)) as preferences,
    ):
        comparer = evaluation.comparer
        pairs = comparing.Comparing(comparer, preferences, evaluation.make) if comparer else None
        budget = _budget(request.config, run)
        try:
            stopped = asyncio.run(_run(evaluation, run, texts, verdicts, pairs, budget, quiet=as_json))
        except BudgetSpent as end:
            run.save(status="stopped")
            run.event("stopped", why=str(end))
            console.note(f"stopped: {end}; --resume with a larger limit goes on, and pays for nothing twice")
            return CUT_SHORT
        finally:
            run.save(**(spent := _spent(budget, run)))
        if stopped:
            run.save(status="interrupted")
            run.event("stopped", why="interrupted")
            console.note("interrupted: the same command with --resume goes on")
            return INTERRUPTED
        scorecard = score(evaluation, Kept(texts, verdicts, retry=request.retry), pairs, run)
    run.save(status="finished")
    run.event("finished")
    scored.show(scorecard, spent, request.out, as_json=as_json)
    return 0


async def _run(
    evaluation: Evaluation,
    run: RunFolder,
    texts: Appended[TextLine],
    verdicts: Appended[VerdictLine],
    pairs: comparing.Comparing | None,
    budget: Budget,
    *,
    quiet: bool,
) -> bool:
    """Have every text written, judged and compared; says whether Ctrl-C ended it."""
    request = evaluation.request
    kept = Kept(texts, verdicts, retry=request.retry)
    with stop_on_interrupt() as stop:
        for entrant in evaluation.entrants:
            await _write(evaluation, entrant, kept, texts, run, budget, stop, quiet=quiet)
        kept = Kept(texts, verdicts, retry=request.retry)
        for place, plan in enumerate(evaluation.bench.plans):
            template = evaluation.bench.judges[place].template
            await _judge(evaluation, plan, template, kept, verdicts, run, budget, stop, quiet=quiet)
        if pairs is not None and not stop.is_set():
            asked = comparing.pairs_of(evaluation.rows, sheets_of(evaluation, kept))
            await pairs.ask(asked, run, budget, stop, retry=request.retry, quiet=quiet)
        return stop.is_set()


def _budget(config: Config, run: RunFolder) -> Budget:
    """What is left of the limits, after all that this run has paid before."""
    paid = _paid(run)
    return Budget(config.budget, sum(one.calls for one in paid), sum(one.cost for one in paid))


def _spent(budget: Budget, run: RunFolder) -> dict[str, Any]:
    """What all processes that worked on the run came to, however it ended, for run.json."""
    return {"calls": budget.calls, "cost": budget.cost, "roles": [asdict(one) for one in _paid(run)]}


def _paid(run: RunFolder) -> "list[Total]":
    """The sums of the run's ledger by role; none where nobody was paid."""
    from kindling.agents.ledger import Ledger

    file = run.path / casting.LEDGER
    if not file.exists():
        return []
    with closing(Ledger(file)) as ledger:
        return ledger.totals()


async def _write(
    evaluation: Evaluation,
    entrant: contestants.Entrant,
    kept: Kept,
    texts: Appended[TextLine],
    run: RunFolder,
    budget: Budget,
    stop: asyncio.Event,
    *,
    quiet: bool,
) -> None:
    """Have one model write what it has not written yet."""
    request = evaluation.request
    rows = kept.wanted(entrant.name, evaluation.rows)
    if not rows or stop.is_set():
        return
    done = 0
    with console.progress(f"{entrant.name} writes", len(rows), quiet=quiet) as advance:

        def keep(row: Row, one: Written) -> None:
            nonlocal done
            texts.add(TextLine(entrant.name, row.query, row.index, one.text, one.failure, one.reason))
            done += 1
            advance(done)

        await writing.write(
            entrant,
            rows,
            keep,
            stop,
            run=run,
            budget=budget,
            sampling={**request.sampling, "seed": request.seed},
            batch=request.batch,
            threads=request.threads,
        )


async def _judge(
    evaluation: Evaluation,
    plan: casting.CastPlan,
    template: str,
    kept: Kept,
    verdicts: Appended[VerdictLine],
    run: RunFolder,
    budget: Budget,
    stop: asyncio.Event,
    *,
    quiet: bool,
) -> None:
    """Have one judge judge every distinct case that it has not judged yet."""
    asked = {(row.query, row.index) for row in evaluation.rows}
    cases = [
        (one.query, one.text) for one in kept.texts.values() if one.failure is None and (one.query, one.index) in asked
    ]
    waiting = kept.unjudged(plan, template, cases)
    if not waiting or stop.is_set():
        return
    done = 0
    async with casting.open_cast(plan, run.path / casting.LEDGER, budget) as company:
        with console.progress(f"{plan.judge} judges", len(waiting), quiet=quiet) as advance:

            async def judge(case: tuple[str, str]) -> None:
                nonlocal done
                verdict = await company.judge.judge(evaluation.make(*case))
                verdicts.add(VerdictLine(plan.judge, template, plan.models, *case, verdict))
                done += 1
                advance(done)

            await writing.at_once(waiting, judge, plan.config.curate.in_flight, stop)
