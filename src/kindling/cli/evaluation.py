"""The work behind `kindling eval`: models write, judges judge, and the scorecard is made of what stands.

What defines a run is who writes, to which queries, and how. Judges, certificates, training files, the tie band and what
is long may differ on a resume: texts stay as they are, only verdicts that are missing are asked for, and the scorecard
is made anew.

    texts.jsonl       a line each text, as it came; a failure is a line too
    verdicts.jsonl    a line each judge and distinct case
    preferences.jsonl a line each pair of texts that was compared
    records.jsonl     at the end: every text with what every judge said of it
    scorecard.json    at the end: the numbers
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kindling.agents.budget import Budget
from kindling.agents.requests import measure
from kindling.agents.retriever import corpus_file, load_examples
from kindling.cli import casting, comparing, console, contestants, evaluators, scored, writing
from kindling.cli.appended import Appended
from kindling.cli.kept import Kept, TextLine, VerdictLine
from kindling.config import Config
from kindling.errors import BudgetSpent, ConfigError, InputError, UsageError
from kindling.eval.scorecard import build
from kindling.eval.scorecard.card import ALL, FILE, FORMAT, Asked, Scorecard, save_scorecard
from kindling.eval.scorecard.novelty import Training
from kindling.eval.scorecard.sheets import Row, Sheet, Written
from kindling.eval.scorecard.wording import FindTaboo
from kindling.graphs.engine import stop_on_interrupt
from kindling.prompts.taskpack import TaskPack, load_pack
from kindling.records import Case
from kindling.runs import RunFolder, open_run, versions
from kindling.tables import read_rows, sha256, write_jsonl

CUT_SHORT = 3
INTERRUPTED = 130
GROUPS = ("group", "frequency")  # columns that are taken for groups where they are there
LONG = 0.9


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    models: tuple[str, ...]
    queries: Path
    out: Path
    config: Config
    judges: tuple[str, ...]
    certificates: tuple[Path, ...]
    taught_by: tuple[str, ...]
    allow_reward_judge: bool
    training: tuple[Path, ...]
    samples: int
    column: str
    group: str | None
    limit: int | None
    long: int | None
    band: float
    sampling: dict[str, Any]
    batch: int
    threads: int | None
    seed: int
    compare: bool = False
    resume: bool = False
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that was checked before anything is written."""

    request: Request
    pack: TaskPack
    rows: tuple[Row, ...]
    group: str | None
    entrants: tuple[contestants.Entrant, ...]
    bench: evaluators.Bench
    training: Training | None
    comparer: casting.CastPlan | None = None
    comparer_free_of: tuple[str, ...] = ()

    @property
    def make(self) -> Callable[[str, str], Case]:
        """Makes a case of a query and a response, with its facts measured."""
        return partial(case_of, brief_chars=self.pack.settings.brief_chars)

    def settings(self) -> dict[str, Any]:
        """What defines the run: a resume with anything else here is another run."""
        asked, config = self.request, self.request.config
        writes = any(one.plan for one in self.entrants)
        return {
            "task": config.project.task,
            "queries": {"file": asked.queries.name, "sha256": sha256(asked.queries), "column": asked.column},
            "limit": asked.limit,
            "samples": asked.samples,
            "models": {one.name: one.identity for one in self.entrants},
            "sampling": asked.sampling,
            "seed": asked.seed,
            "retriever": config.retriever.model_dump(mode="json") if writes else None,
        }


def carry_out(request: Request, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Evaluate, or describe what it would take; returns the exit status."""
    if request.retry and not request.resume:
        raise ConfigError("--retry goes with --resume: it asks again for what that run could not have")
    evaluation = _prepare(request)
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


def _prepare(request: Request) -> Evaluation:
    """Check everything that can be wrong with the input. Raises `UsageError` for the first that is."""
    config = request.config
    pack = load_pack(config.project.task, config.prompts_dir / config.project.task)
    found = contestants.entrants(request.models, config, request.seed, request.taught_by)
    rows, group = _rows(request)
    for one in found:
        if one.recorded is not None:
            contestants.read_texts(one.recorded, rows)
    plans = [casting.plan_cast(config, judge, seed=request.seed) for judge in request.judges]
    models = [one.contestant for one in found]
    bench = evaluators.bench(plans, models, request.certificates, allowed=request.allow_reward_judge)
    training = Training.of(_training_texts(request.training)) if request.training else None
    comparer, free_of = None, tuple[str, ...]()
    if request.compare:
        comparer = casting.plan_cast(config, "llm", seed=request.seed)
        pack.prompt("comparer")
        (judge,) = evaluators.bench([comparer], models, (), allowed=request.allow_reward_judge).judges
        free_of = judge.independent_of
    return Evaluation(request, pack, rows, group, found, bench, training, comparer, free_of)


def _rows(request: Request) -> tuple[tuple[Row, ...], str | None]:
    """Each distinct query with its group, as often as it is asked, and the column that groups come from."""
    column = request.column
    read = read_rows(request.queries, (column,), column)
    group = request.group or next((name for name in GROUPS if name in read[0] and name != column), None)
    groups: dict[str, str] = {}
    for number, row in enumerate(read, 1):
        text = row[column].strip() if isinstance(row[column], str) else ""
        if group is not None and group not in row:
            raise InputError(f"{request.queries}: row {number}: no column {group!r} to tell groups by")
        of = "" if group is None or row[group] is None else str(row[group]).strip()
        if of == ALL:
            raise InputError(f"{request.queries}: row {number}: a group cannot be called {ALL!r}, which is every query")
        if text:
            groups.setdefault(text, of)
    queries = list(groups)[: request.limit]
    if not queries:
        raise InputError(f"{request.queries}: no queries in column {column!r}")
    return tuple(Row(query, index, groups[query]) for query in queries for index in range(request.samples)), group


def _training_texts(files: Sequence[Path]) -> list[str]:
    """The texts that a model may have learned from: of pairs, both."""
    from kindling.rl.training import data

    texts = []
    for file in files:
        path = file / data.IN_RUN["sft"] if file.is_dir() and (file / data.IN_RUN["sft"]).is_file() else file
        pairs = path.is_dir() or (path.suffix != ".txt" and "chosen" in read_rows(path, ())[0])
        found = data.read("rm" if pairs else "sft", path).rows
        texts += [
            data.text(row, name) for row in found for name in (("chosen", "rejected") if pairs else ("completion",))
        ]
    return texts


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
        try:
            spent, stopped = asyncio.run(_run(evaluation, run, texts, verdicts, pairs, quiet=as_json))
        except BudgetSpent as end:
            run.save(status="stopped")
            run.event("stopped", why=str(end))
            console.note(f"stopped: {end}; --resume with a larger limit goes on, and pays for nothing twice")
            return CUT_SHORT
        if stopped:
            run.save(status="interrupted", **spent)
            run.event("stopped", why="interrupted")
            console.note("interrupted: the same command with --resume goes on")
            return INTERRUPTED
        scorecard = _score(evaluation, Kept(texts, verdicts, retry=request.retry), pairs, run)
    run.save(status="finished", **spent)
    run.event("finished")
    scored.show(scorecard, spent, request.out, as_json=as_json)
    return 0


async def _run(
    evaluation: Evaluation,
    run: RunFolder,
    texts: Appended[TextLine],
    verdicts: Appended[VerdictLine],
    pairs: comparing.Comparing | None,
    *,
    quiet: bool,
) -> tuple[dict[str, Any], bool]:
    """Have every text written, judged and compared; says what it came to, and whether Ctrl-C ended it."""
    request = evaluation.request
    kept = Kept(texts, verdicts, retry=request.retry)
    budget = _budget(request.config, run)
    with stop_on_interrupt() as stop:
        for entrant in evaluation.entrants:
            await _write(evaluation, entrant, kept, texts, run, budget, stop, quiet=quiet)
        kept = Kept(texts, verdicts, retry=request.retry)
        for place, plan in enumerate(evaluation.bench.plans):
            template = evaluation.bench.judges[place].template
            await _judge(evaluation, plan, template, kept, verdicts, run, budget, stop, quiet=quiet)
        if pairs is not None and not stop.is_set():
            asked = comparing.pairs_of(evaluation.rows, _sheets(evaluation, kept))
            await pairs.ask(asked, run, budget, stop, retry=request.retry, quiet=quiet)
        stopped = stop.is_set()
    return {"calls": budget.calls, "cost": budget.cost}, stopped


def _budget(config: Config, run: RunFolder) -> Budget:
    """What is left of the limits, after all that this run has paid before."""
    ledger = run.path / casting.LEDGER
    if not ledger.exists():
        return Budget(config.budget)
    from kindling.agents.ledger import Ledger

    with closing(Ledger(ledger)) as paid:
        totals = paid.totals()
    return Budget(config.budget, sum(one.calls for one in totals), sum(one.cost for one in totals))


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


def case_of(query: str, response: str, brief_chars: int) -> Case:
    """The case with its facts measured."""
    return Case(query, response, measure(query, response, brief_chars))


def _score(evaluation: Evaluation, kept: Kept, pairs: comparing.Comparing | None, run: RunFolder) -> Scorecard:
    """Make the scorecard and write it, and the records, into the run folder."""
    request, bench, sheets = evaluation.request, evaluation.bench, _sheets(evaluation, kept)
    duels = pairs.duels(evaluation.rows, sheets, evaluation.comparer_free_of) if pairs else None
    found = build.measure(evaluation.rows, sheets, bench.models, bench.judges, _tools(evaluation), duels)
    groups = build.groups(evaluation.rows)
    settings = evaluation.pack.settings
    scorecard = Scorecard(
        format=FORMAT,
        task=request.config.project.task,
        title=settings.title,
        language=settings.language,
        asked=Asked(
            file=request.queries.name,
            sha256=sha256(request.queries),
            queries=len({row.query for row in evaluation.rows}),
            samples=request.samples,
            groups={name: len(places) // request.samples for name, places in groups.items()},
        ),
        models=bench.models,
        judges=bench.judges,
        cards=found.cards,
        comparisons=found.comparisons,
        strengths=found.strengths,
        power=found.power,
        conclusions=found.conclusions,
        sampling=request.sampling,
        seed=request.seed,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_jsonl(run.path / "records.jsonl", _records(evaluation, kept))
    save_scorecard(run.path / FILE, scorecard)
    return scorecard


def _sheets(evaluation: Evaluation, kept: Kept) -> list[Sheet]:
    """A sheet for each model."""
    return [_sheet(evaluation, model.name, kept) for model in evaluation.bench.models]


def _sheet(evaluation: Evaluation, model: str, kept: Kept) -> Sheet:
    """What a model wrote, with the scores of every judge."""
    lines = [kept.texts[model, row.query, row.index] for row in evaluation.rows]
    scores = {}
    for place, plan in enumerate(evaluation.bench.plans):
        template = evaluation.bench.judges[place].template
        said = [None if one.failure else kept.verdict(plan, template, (one.query, one.text)) for one in lines]
        scores[plan.judge] = np.array([np.nan if one is None or one.score is None else one.score for one in said])
    return Sheet(model, tuple(Written(one.text, one.failure, one.reason) for one in lines), scores)


def _records(evaluation: Evaluation, kept: Kept) -> list[dict[str, Any]]:
    """Every text with what every judge said of it, row by row."""
    bench = evaluation.bench
    found = []
    for row in evaluation.rows:
        for model in bench.models:
            line = kept.texts[model.name, row.query, row.index]
            said = {
                plan.judge: kept.verdict(plan, judge.template, (line.query, line.text))
                for plan, judge in zip(bench.plans, bench.judges, strict=True)
                if line.failure is None
            }
            record = {"model": model.name, "group": row.group, "query": row.query, "index": row.index}
            ended = {"response": line.text, "failure": line.failure, "why": line.reason}
            found.append({**record, **ended, "verdicts": said})
    return found


def _tools(evaluation: Evaluation) -> build.Tools:
    request, pack = evaluation.request, evaluation.pack
    return build.Tools(
        make=evaluation.make,
        find_taboo=_taboo(pack),
        training=evaluation.training,
        long=request.long or _long(request.config, pack),
        unit="characters" if pack.settings.language == "zh" else "words",
        band=request.band,
        seed=request.seed,
    )


def _long(config: Config, pack: TaskPack) -> int:
    """What nine in ten of the task's good examples do not exceed, in characters."""
    lengths = sorted(len(one.response) for one in load_examples(corpus_file(config, pack)))
    return lengths[min(len(lengths) - 1, int(LONG * len(lengths)))] if lengths else 0


def _taboo(pack: TaskPack) -> FindTaboo | None:
    """What finds wording that the task's lexicon forbids; None for a task without such a check."""
    from kindling.agents.embedded.cast import LEXICON, embedded_examiner

    if not any((folder / LEXICON).is_file() for folder in pack.folders):
        return None
    examiner = embedded_examiner(pack)
    if "taboo" not in examiner.lexicon.checks:
        return None

    def find(query: str, response: str) -> list[str]:
        found = examiner.examine(case_of(query, response, pack.settings.brief_chars))
        return [one.evidence for one in found if one.check == "taboo"]

    return find
