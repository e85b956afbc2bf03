"""The work behind `kindling judge`: every distinct case is judged once, and the output is written whole or not at all.

A row without a query or a response is unscored: there is nothing that a verdict could be about. Each row says who
judged it, as rows of `kindling curate` do, so that whoever learns from the file is known for that judge's pupil.

A run that a budget or Ctrl-C ends early writes no output, since a row without a verdict would look like one that could
not be judged; the answers paid so far wait in the ledger for the next run of the same command.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from kindling.agents.requests import measure
from kindling.cli import casting, console
from kindling.config import Config
from kindling.errors import BudgetSpent, InputError
from kindling.records import Case, Verdict
from kindling.tables import check_new_file, read_rows, write_jsonl

ADDED = ("verdict", "score", "reason", "judge", "template")
CUT_SHORT = 3
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    file: Path
    out: Path
    config: Config
    judge: str
    seed: int


def carry_out(request: Request, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Judge or describe the request; returns the exit status."""
    plan = casting.plan_cast(request.config, request.judge, seed=request.seed)
    rows = _rows(request)
    brief = plan.pack.settings.brief_chars
    texts = [(_text(row["query"]), _text(row["response"])) for row in rows]
    cases = {pair: Case(*pair, measure(*pair, brief)) for pair in dict.fromkeys(texts) if all(pair)}
    if dry_run:
        calls = plan.calls(len(cases), 1)
        _describe(plan, len(rows), len(cases), calls, as_json)
        return 0
    try:
        verdicts, spent = asyncio.run(_judge_all(request, plan, cases))
    except BudgetSpent as end:
        console.note(f"stopped: {end}; nothing is written, and the same command with a larger limit goes on from here")
        return CUT_SHORT
    except KeyboardInterrupt:
        console.note("interrupted: nothing is written, and the same command goes on from here")
        return INTERRUPTED
    judged = [verdicts.get(pair) or _nothing_to_judge(request, pair) for pair in texts]
    write_jsonl(request.out, (_judged_row(row, one) for row, one in zip(rows, judged, strict=True)))
    _sum_up(request, judged, spent, as_json)
    return 0


def _rows(request: Request) -> list[dict[str, Any]]:
    """The rows to judge. Refuses an output that exists, or input columns that the verdict would overwrite."""
    check_new_file(request.out, ".jsonl")
    rows = read_rows(request.file, ("query", "response"))
    for number, row in enumerate(rows, 1):
        for name, value in row.items():
            if name in ADDED:
                raise InputError(f"{request.file}: row {number}: has a column {name!r} already; rename it first")
            if not _is_json(value):
                kind = type(value).__name__
                raise InputError(f"{request.file}: row {number}: column {name!r} holds {kind}, which JSON cannot")
    return rows


def _is_json(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def _text(value: Any) -> str:
    """A cell as text, empty if it is null or blank."""
    text = "" if value is None else str(value)
    return text if text.strip() else ""


def _nothing_to_judge(request: Request, texts: tuple[str, str]) -> Verdict:
    query, _ = texts
    return Verdict.none(f"the row has no {'response' if query else 'query'}", request.judge)


async def _judge_all(
    request: Request, plan: casting.CastPlan, cases: dict[tuple[str, str], Case]
) -> tuple[dict[tuple[str, str], Verdict], dict[str, Any]]:
    """The verdict of every distinct case, and what the calls came to. Raises `BudgetSpent` if the budget ends it."""
    async with casting.open_cast(plan, casting.ledger_beside(request.out)) as company:
        gate = asyncio.Semaphore(request.config.curate.in_flight)
        verdicts: dict[tuple[str, str], Verdict] = {}
        with console.progress("judging", len(cases)) as advance:

            async def one(pair: tuple[str, str], case: Case) -> None:
                async with gate:
                    verdicts[pair] = await company.judge.judge(case)
                advance(len(verdicts))

            try:
                async with asyncio.TaskGroup() as group:
                    for pair, case in cases.items():
                        group.create_task(one(pair, case))
            except BaseExceptionGroup as failed:
                # whatever ended one call for good (no budget, no key, no server) ends them all: one is enough to tell
                raise failed.exceptions[0] from None
        return verdicts, company.spent()


def _judged_row(row: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    reason = verdict.reason if verdict.unscored is None else verdict.unscored
    said = {"verdict": verdict.label or "unscored", "score": verdict.score, "reason": reason}
    return {**row, **said, "judge": verdict.judge, "template": verdict.template}


def _describe(plan: casting.CastPlan, rows: int, cases: int, calls: dict[str, int], as_json: bool) -> None:
    if as_json:
        console.answer({"rows": rows, "distinct": cases, "players": plan.players, "calls": calls})
        return
    console.table("Who plays", ("role", "player"), list(plan.players.items()))
    console.table("Calls, without repairs", ("role", "calls"), list(calls.items()) or [("none", 0)])
    console.out.print(f"{rows:,} rows, {cases:,} distinct")


def _sum_up(request: Request, judged: list[Verdict], spent: dict[str, Any], as_json: bool) -> None:
    labels = Counter(one.label or "unscored" for one in judged)
    why = Counter(one.unscored for one in judged if one.unscored)
    if as_json:
        console.answer({"rows": len(judged), "verdicts": labels, "unscored": why, "out": str(request.out), **spent})
        return
    console.table("Verdicts", ("verdict", "rows"), sorted(labels.items()))
    if why:
        console.table("Why unscored", ("rows", "reason"), [(n, reason) for reason, n in why.most_common(10)])
    console.out.print(f"{len(judged):,} rows, {spent['calls']:,} calls, cost {spent['cost']:.4f} → {request.out}")
