"""The work behind `kindling curate`: read, cast, run, write, sum up.

The run folder is made only when everything that can be wrong with the input has been checked. A resumed run re-runs rows
that have no finished record under the present templates; calls that were paid come out of the ledger.
"""

import asyncio
import hashlib
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling.cli import casting, console, curated
from kindling.config import Config
from kindling.errors import InputError
from kindling.graphs.engine import Tally, run_rows
from kindling.graphs.intake import Intake, take_in
from kindling.graphs.journal import RowJournal
from kindling.graphs.rejection_sampling import build
from kindling.records import text_id
from kindling.runs import RunFolder, cpu_seconds, open_run, peak_memory_mb, versions
from kindling.tables import read_rows

if TYPE_CHECKING:
    from kindling.agents.models import Models

INTERRUPTED = 130


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
    resume: bool


def carry_out(request: Request, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Run or describe the request; returns the exit status."""
    source = request.source or casting.default_source(request.config)
    plan = casting.plan_cast(request.config, request.judge, source, seed=request.seed)
    intake = _take_in(request, plan)
    if dry_run:
        _describe(request, plan, intake, as_json)
        return 0
    run = open_run(request.out, "curate", _settings(request, plan), resume=request.resume)
    try:
        return _work(request, plan, intake, run, as_json)
    finally:
        run.close()


def _take_in(request: Request, plan: casting.CastPlan) -> Intake:
    """The file's queries and drops. Raises `InputError` if no usable query is left."""
    column = request.column
    rows = read_rows(request.queries, (column,), text_column=column)[: request.limit]
    texts = ["" if row[column] is None else str(row[column]) for row in rows]
    intake = take_in(texts, plan.pack.settings.language, request.config.curate.max_query_chars)
    if not intake.queries:
        reasons = ", ".join(sorted({outcome.reason for outcome in intake.dropped}))
        raise InputError(f"{request.queries}: none of its {len(rows)} rows is a usable query ({reasons})")
    return intake


def _settings(request: Request, plan: casting.CastPlan) -> dict[str, Any]:
    """What defines the run: a resume with anything else here is another run."""
    config = request.config
    roles = {role: config.role(role).model_dump(mode="json") for role in plan.paid}
    endpoints = {config.role(role).endpoint for role in plan.paid}
    retriever = config.retriever.model_dump(mode="json")
    examples = config.root / config.retriever.examples if config.retriever.examples else None
    return {
        "task": config.project.task,
        "queries": {"file": request.queries.name, "sha256": _sha256(request.queries), "column": request.column},
        "limit": request.limit,
        "seed": request.seed,
        "judge": request.judge,
        "players": plan.players,
        "roles": roles,
        "endpoints": {name: config.endpoints[name].base_url for name in sorted(endpoints)},
        "retriever": {**retriever, "sha256": _sha256(examples) if examples else None},
        "curate": config.curate.model_dump(mode="json", exclude={"in_flight"}),
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
