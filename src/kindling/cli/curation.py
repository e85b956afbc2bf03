"""The work behind `kindling curate`: read, cast, run, write, sum up.

The run folder is made only when everything that can be wrong with the input has been checked. A resumed run re-runs
rows that have no finished record under the present templates; calls that were paid come out of the ledger.
"""

import asyncio
import heapq
import logging
import time
import traceback
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from kindling.agents.retriever import corpus_file
from kindling.cli import casting, console, curated
from kindling.config import Config
from kindling.errors import ConfigError, UsageError
from kindling.graphs.engine import Progress, Tally, run_rows, stop_on_interrupt
from kindling.graphs.intake import Intake, read_queries
from kindling.graphs.journal import RowJournal
from kindling.graphs.rejection_sampling import Settings, build, sampler
from kindling.records import text_id
from kindling.runs import RunFolder, cpu_seconds, open_run, peak_memory_mb, versions
from kindling.tables import sha256

INTERRUPTED = 130
TROUBLES = 10  # the most frequent ones are shown


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for. `source` None means the configuration decides."""

    queries: Path
    column: str
    limit: int | None
    out: Path
    config: Config
    source: str | None
    judge: str
    accept: int | None
    seed: int
    resume: bool = False
    retry: bool = False


def carry_out(request: Request, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Run or describe the request; returns the exit status."""
    if request.retry and not request.resume:
        raise ConfigError("--retry goes with --resume: it runs rows of that run again")
    source = request.source or casting.default_source(request.config)
    plan = casting.plan_cast(request.config, request.judge, source, seed=request.seed)
    intake = _take_in(request, plan)
    settings = _settings(request, plan)
    if dry_run:
        _describe(request, plan, intake, as_json)
        return 0
    try:
        with closing(open_run(request.out, "curate", settings, resume=request.resume)) as run:
            try:
                return _work(request, plan, intake, run, as_json)
            except UsageError:
                if run.new and not _anything_done(run.path):
                    run.discard()
                raise
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.note("interrupted: the same command with --resume goes on, and writes the datasets")
        return INTERRUPTED


def _anything_done(folder: Path) -> bool:
    """Whether a run got as far as a paid answer or a finished row."""
    journal = folder / "journal.jsonl"
    return (journal.exists() and journal.stat().st_size > 0) or casting.anything_paid(folder / casting.LEDGER)


def _take_in(request: Request, plan: casting.CastPlan) -> Intake:
    """The file's queries and drops. Raises `InputError` if no usable query is left."""
    longest = request.config.curate.max_query_chars
    language = plan.pack.settings.language
    return read_queries(request.queries, language, longest, column=request.column, limit=request.limit)


def _settings(request: Request, plan: casting.CastPlan) -> dict[str, Any]:
    """What defines the run: a resume with anything else here is another run."""
    config = request.config
    retriever = config.retriever.model_dump(mode="json")
    return {
        "task": config.project.task,
        "queries": {"file": request.queries.name, "sha256": sha256(request.queries), "column": request.column},
        "limit": request.limit,
        "seed": request.seed,
        "judge": request.judge,
        "players": plan.players,
        "source": _written_by(plan),
        **plan.paid_by(),
        "retriever": {**retriever, "sha256": sha256(corpus_file(config, plan.pack))},
        "pack": plan.pack.settings.model_dump(),
        "curate": config.curate.model_dump(mode="json", exclude={"in_flight"}),
    }


def _written_by(plan: casting.CastPlan) -> dict[str, Any] | None:
    """The contents behind the source's path, where it has one: other ones make another run."""
    if responses := casting.responses_from(plan.source):
        return {"sha256": sha256(responses)}
    if model := casting.policy_from(plan.source):
        return {"sha256": {file.name: sha256(file) for file in sorted(Path(model).glob("*.safetensors"))}}
    return None


def _work(request: Request, plan: casting.CastPlan, intake: Intake, run: RunFolder, as_json: bool) -> int:
    """Run the rows, write the datasets, sum up."""
    templates = plan.templates()
    changed = sorted(role for role, known in run.previous_templates.items() if templates.get(role) != known)
    if changed:
        run.event("templates_changed", roles=changed)
        console.note(f"templates changed since the last stop: {', '.join(changed)}; what depends on them is run again")
    run.save(
        status="running",
        error=None,
        config=plan.config.model_dump(mode="json"),
        templates=templates,
        versions=versions(),
        seed=request.seed,
    )
    handler = _EventHandler(run)
    logging.getLogger("kindling").addHandler(handler)
    cpu, started = cpu_seconds(), time.monotonic()
    try:
        key = text_id(orjson.dumps([_settings(request, plan), templates]).decode())
        with RowJournal(run.path / "journal.jsonl", key) as journal:
            if request.retry:
                run.event("retried", rows=journal.forget(("unscored", "failed")))
            finished_before = len(journal)
            tally, spent = asyncio.run(_run(request, plan, intake, run, journal, quiet=as_json))
            work_s = time.monotonic() - started
            pace = (len(journal) - finished_before) / work_s
            work = {"work_s": work_s, "work_cpu_s": cpu_seconds() - cpu, "rows_per_s": pace}
            outcomes = heapq.merge(journal.outcomes(tally.last_row), intake.dropped, key=lambda one: one.query.row)
            facts = _card_facts(request, plan)
            settings = plan.pack.settings
            title = f"Preference pairs: {settings.title}"
            datasets = curated.write_datasets(run.path, outcomes, title, settings.language, facts)
    except BaseException as error:
        run.save(status="failed" if isinstance(error, Exception) else "interrupted", error=type(error).__name__)
        raise
    finally:
        logging.getLogger("kindling").removeHandler(handler)
    report = _report(request, plan, intake, tally, datasets, spent, work)
    run.save(status="finished" if not tally.pending else "stopped", **report)
    run.event("stopped", pending=tally.pending)
    if as_json:
        console.answer(report)
    else:
        _show(request, report, datasets)
    return INTERRUPTED if tally.reasons["pending", "stopped"] else 0


async def _run(
    request: Request, plan: casting.CastPlan, intake: Intake, run: RunFolder, journal: RowJournal, *, quiet: bool
) -> tuple[Tally, dict[str, Any]]:
    """The rows through the graph; Ctrl-C once lets what is in flight finish, twice cancels it."""
    async with casting.open_cast(plan, run.path / casting.LEDGER) as company:
        graph = build(company.cast, Settings.of(request.config, request.seed))
        with stop_on_interrupt() as stop, console.progress("curating", len(intake.queries), quiet=quiet) as advance:
            tally = await run_rows(
                intake.queries,
                sampler(graph),
                journal,
                in_flight=_rows_at_once(request.config, plan),
                accept=request.accept,
                stop=stop,
                on_progress=lambda now: advance(now.done, _words(now, company)),
            )
        return tally, company.spent()


def _rows_at_once(config: Config, plan: casting.CastPlan) -> int:
    """Rows in flight: no more than `max_calls` can finish, or a small budget would begin many and finish none."""
    limit, each = config.budget.max_calls, sum(plan.calls(1, config.curate.candidates).values())
    affordable = config.curate.in_flight if limit is None or not each else max(1, limit // each)
    return min(config.curate.in_flight, affordable)


def _words(now: Progress, company: casting.Company) -> str:
    """The words beside the progress bar."""
    pace = f"{now.statuses['accepted']:,} accepted · {now.rate:.1f} rows/s"
    return f"{pace} · cost {company.cost:.4f}" if company.models else pace


def _report(
    request: Request,
    plan: casting.CastPlan,
    intake: Intake,
    tally: Tally,
    datasets: curated.Datasets,
    spent: dict[str, Any],
    work: dict[str, float],
) -> dict[str, Any]:
    """What run.json and --json say. The rows add up to what came in, or this raises: no wrong number is shown."""
    rows = Counter(datasets.statuses)
    rows["pending"] += tally.statuses["pending"]
    came_in = len(intake.queries) + len(intake.dropped)
    if rows.total() != came_in:
        raise AssertionError(f"{came_in} rows came in, but {dict(rows)} are accounted for: please report this")
    reasons = Counter(datasets.reasons) + Counter({k: n for k, n in tally.reasons.items() if k[0] == "pending"})
    return {
        "rows": {status: count for status, count in sorted(rows.items()) if count},
        "reasons": [{"status": status, "reason": why, "rows": n} for (status, why), n in sorted(reasons.items())],
        "verdicts": dict(sorted(datasets.verdicts.items())),
        "troubles": dict(datasets.troubles.most_common(TROUBLES)),
        "pairs": len(datasets.pairs),
        "sft": len(datasets.sft),
        "length_bias": datasets.bias(),
        "players": plan.players,
        "calls": spent["calls"],
        "cost": spent["cost"],
        "roles": spent["roles"],
        "this_process": spent["this_process"],
        **work,
        "peak_memory_mb": peak_memory_mb(),
        "out": str(request.out),
    }


def _card_facts(request: Request, plan: casting.CastPlan) -> list[str]:
    curate = request.config.curate
    return [
        *(f"{role}: {player}" for role, player in plan.players.items()),
        f"{curate.candidates} candidates a query, pairing {curate.pairing}, margin {curate.margin:g}",
        f"seed: {request.seed}",
        *(f"template {role}: {known}" for role, known in plan.templates().items()),
        f"queries: {request.queries.name}, sha256 {sha256(request.queries)}",
    ]


def _describe(request: Request, plan: casting.CastPlan, intake: Intake, as_json: bool) -> None:
    """The dry run: who plays, how many rows, how many calls, and roughly what they cost."""
    rows, candidates = len(intake.queries), request.config.curate.candidates
    calls = plan.calls(rows, candidates)
    dropped = Counter(outcome.reason for outcome in intake.dropped)
    cost = plan.cost(intake.queries[0].text, calls)
    if as_json:
        console.answer({"players": plan.players, "rows": rows, "dropped": dropped, "calls": calls, "cost": cost})
        return
    console.table("Who plays", ("role", "player"), list(plan.players.items()))
    console.table(
        "Rows", ("what", "rows"), [("to work on", rows), *((f"dropped: {why}", n) for why, n in dropped.items())]
    )
    if calls:
        console.table(
            "Calls at most, without repairs and retries",
            ("role", "calls", "cost, about"),
            [(role, count, f"{cost[role]:.4f}") for role, count in calls.items()],
        )
        total = sum(cost.values())
        console.out.print(f"{sum(calls.values()):,} calls, cost about {total:.4f}; nothing was run or written")
    else:
        console.out.print("No paid call; nothing was run or written")


def _show(request: Request, report: dict[str, Any], datasets: curated.Datasets) -> None:
    """The tables at the end of a run."""
    came_in = sum(report["rows"].values())
    rows = [(one["status"], one["reason"], one["rows"]) for one in report["reasons"]]
    console.table(f"What became of {_many(came_in, 'row')}", ("status", "reason", "rows"), rows)
    console.table("Verdicts on the candidates", ("verdict", "texts"), list(report["verdicts"].items()))
    console.table("Why unscored or failed", ("times", "reason"), [(n, why) for why, n in report["troubles"].items()])
    also = {name: " (also .parquet)" if report[name] else "" for name in ("pairs", "sft")}
    files = [
        ("pairs.jsonl", f"{_many(report['pairs'], 'preference pair')}{also['pairs']}"),
        ("sft.jsonl", f"{_many(report['sft'], 'best good response')}{also['sft']}"),
        ("records.jsonl", "every row with every candidate and its debate"),
        ("README.md", "the dataset card"),
    ]
    console.table(f"Files in {request.out}", ("file", "what"), files)
    bias = datasets.bias()
    if bias is not None:
        interval = f"{bias.low:.1%} to {bias.high:.1%}"
        words = f"The longer text is the chosen one in {bias.longer_chosen:.1%} of the pairs ({interval})"
        if bias.acceptable:
            console.out.print(words)
        elif bias.low <= 0.5 <= bias.high:
            console.out.print(f"{words}: too few pairs to tell", style="yellow")
        else:
            console.out.print(f"{words}: length decides too much here", style="bold red")
    pace = f"{console.duration(report['work_s'])}, {report['rows_per_s']:.1f} rows/s"
    console.out.print(f"{pace}, {report['calls']:,} calls in all, cost {report['cost']:.4f}")
    for line in (report["this_process"] or {}).get("notes", ()):
        console.note(f"note: {line}")
    _say_how_to_go_on(request, report)


def _say_how_to_go_on(request: Request, report: dict[str, Any]) -> None:
    """One line for each kind of row that another run could do something about."""
    pending = {one["reason"]: one["rows"] for one in report["reasons"] if one["status"] == "pending"}
    rows = report["rows"]
    if "stopped" in pending:
        console.note(f"{_many(pending['stopped'], 'row')} pending: the same command with --resume goes on")
    if "budget" in pending:
        console.note(f"{_many(pending['budget'], 'row')} pending: --resume with a larger budget goes on")
    again = rows.get("unscored", 0) + rows.get("failed", 0)
    if again:
        console.note(f"{_many(again, 'row')} unscored or failed: --resume --retry runs them again")
    accepted = rows.get("accepted", 0)
    if request.accept and accepted < request.accept and not pending:
        console.note(f"accepted {accepted:,} of the {request.accept:,} wanted: the file has no more rows")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class _EventHandler(logging.Handler):
    """Copies the house's warnings and errors into the run's event log."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__(logging.WARNING)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        """One event a log record, with the traceback where there is one."""
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else None
        self._run.event("log", level=record.levelname, message=record.getMessage(), traceback=trace)
