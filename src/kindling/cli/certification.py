"""The work behind `kindling certify`: from names to judges, the examination, and what it cost.

The certificate is written whole or not at all: a run that a budget or Ctrl-C ends early leaves only the paid answers,
in the ledger beside it, for the next run of the same command.

Repeats are the same judge with another seed, and so other calls: asked with the same seed, the ledger would answer,
and any judge would look steady.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kindling.agents.judge import Judge
from kindling.agents.ledger import Total
from kindling.agents.requests import measure
from kindling.agents.stats import RoleStats
from kindling.cli import casting, certified, console
from kindling.config import Config
from kindling.errors import BudgetSpent, InputError
from kindling.eval.certificate import (
    FORMAT,
    Certificate,
    Cost,
    DataCard,
    Findings,
    JudgeCard,
    lines,
    save_certificate,
)
from kindling.eval.certification import Exam, certify
from kindling.eval.labelled import read_labelled
from kindling.eval.panel import JudgeFor
from kindling.graphs.debate import DebateJudge
from kindling.records import Case, LabelledCase, text_id
from kindling.runs import versions

CUT_SHORT = 3


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; without `labelled`, the golden set of the task."""

    labelled: Path | None
    out: Path
    config: Config
    judge: str
    seed: int

    @property
    def ledger(self) -> Path:
        """Where paid answers are kept between runs."""
        return self.out.with_name(f"{self.out.name}.ledger.sqlite")


@dataclass(slots=True)
class Books:
    """What the judges of all repeats were and asked for."""

    template: str = ""
    served: tuple[str, ...] = ()
    totals: list[Total] = field(default_factory=list)
    roles: list[RoleStats] = field(default_factory=list)

    def close(self, company: casting.Company) -> None:
        """Add what one company did."""
        if company.models is not None and company.ledger is not None:
            self.roles += company.models.stats().roles
            self.totals = company.ledger.totals()
            self.served = company.ledger.served()

    def cost(self, findings: Findings) -> Cost:
        """What 1,000 judgements take: the calls of this process, each at its role's mean price in the ledger."""
        per_1000 = 1000 / findings.judged
        mean = {total.role: total for total in self.totals}
        asked: Counter[str] = Counter()
        for one in self.roles:
            asked[one.role] += one.calls + one.hits
        hits = sum(one.hits for one in self.roles)

        def each(name: str) -> float:
            known = ((calls, mean[role]) for role, calls in asked.items() if role in mean)
            return per_1000 * float(sum(calls * getattr(total, name) / total.calls for calls, total in known))

        return Cost(
            seconds=per_1000 * findings.seconds,
            calls=per_1000 * asked.total(),
            prompt_tokens=each("prompt_tokens"),
            completion_tokens=each("completion_tokens"),
            money=each("cost"),
            recalled=hits / asked.total() if asked.total() else 0.0,
        )


def carry_out(request: Request, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Certify or describe the request; returns the exit status."""
    plan = casting.plan_cast(request.config, request.judge, seed=request.seed)
    _check_out(request.out)
    file = request.labelled or plan.pack.file("golden.jsonl")
    cases = read_labelled(file)
    exam = Exam(cases, partial(_case, brief_chars=plan.pack.settings.brief_chars), request.config.certify, request.seed)
    if dry_run:
        judgements = exam.plan()
        certified.describe(plan.players, judgements, plan.calls(sum(judgements.values()), 1), as_json=as_json)
        return 0
    try:
        findings, books = asyncio.run(_examine(request, plan, exam))
    except BudgetSpent as end:
        console.note(f"stopped: {end}; nothing is written, and the same command with a larger limit goes on from here")
        return CUT_SHORT
    certificate = _certificate(request, plan, file, cases, findings, books)
    save_certificate(request.out, certificate)
    certified.show(certificate, request.out, as_json=as_json)
    return 0 if certificate.passed else 1


def _check_out(out: Path) -> None:
    if out.suffix != ".json":
        raise InputError(f"{out}: --out names a .json file")
    if out.exists():
        raise InputError(f"{out}: exists already; choose another file")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent}: no such folder")


def _case(query: str, response: str, brief_chars: int) -> Case:
    return Case(query, response, measure(query, response, brief_chars))


async def _examine(request: Request, plan: casting.CastPlan, exam: Exam) -> tuple[Findings, Books]:
    books = Books()

    @asynccontextmanager
    async def open_judges(repeat: int) -> AsyncIterator[JudgeFor]:
        async with casting.open_cast(replace(plan, seed=plan.seed + repeat), request.ledger) as company:
            judge = _judge(plan, company)
            books.template = judge.template
            yield lambda _: judge
            books.close(company)

    with console.progress("certifying", sum(exam.plan().values())) as advance:
        return await certify(exam, open_judges, advance), books


def _judge(plan: casting.CastPlan, company: casting.Company) -> Judge:
    if plan.judge != "debate":
        return company.cast.judge
    everyone = text_id(*(f"{role}={value}" for role, value in sorted(plan.templates().items())))
    return DebateJudge(company.cast, plan.config.retriever.show_to, everyone)


def _certificate(
    request: Request,
    plan: casting.CastPlan,
    file: Path,
    cases: tuple[LabelledCase, ...],
    findings: Findings,
    books: Books,
) -> Certificate:
    limits = request.config.certify
    held = lines(findings, limits)
    good = sum(case.label == "good" for case in cases)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    models = sorted({plan.players[role] for role in plan.paid})
    return Certificate(
        format=FORMAT,
        passed=all(line.passed is not False for line in held),
        judge=JudgeCard(plan.judge, books.template, ", ".join(models), books.served, 0),
        data=DataCard(file.name, digest, len(cases), good, len({case.query for case in cases})),
        lines=held,
        findings=findings,
        cost=books.cost(findings),
        limits=limits.model_dump(),
        seed=request.seed,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
