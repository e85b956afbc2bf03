"""The work behind `kindling certify`: from names to judges, the examination, the certificate.

The certificate is written whole or not at all: a run that a budget or Ctrl-C ends early leaves only the paid answers,
in the ledger beside it, for the next run of the same command.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kindling.agents.requests import measure
from kindling.cli import benches, casting, certified, console
from kindling.config import Config
from kindling.errors import BudgetSpent
from kindling.eval.certificate import FORMAT, Certificate, DataCard, Findings, lines, save_certificate
from kindling.eval.certification import Exam, certify
from kindling.eval.labelled import read_labelled
from kindling.prompts.library import load_pack
from kindling.records import Case, LabelledCase
from kindling.runs import versions
from kindling.tables import check_new_file

CUT_SHORT = 3


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; without `labelled`, the golden set of the task."""

    labelled: Path | None
    out: Path
    config: Config
    judge: str
    seed: int


def carry_out(request: Request, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Certify or describe the request; returns the exit status."""
    check_new_file(request.out, ".json")
    project = request.config.project
    pack = load_pack(project.task, request.config.prompts_dir / project.task)
    file = request.labelled or pack.file("golden.jsonl")
    cases = read_labelled(file)
    bench = _bench(request, cases)
    exam = Exam(cases, partial(_case, brief_chars=pack.settings.brief_chars), request.config.certify, request.seed)
    judgements = exam.plan()
    if dry_run:
        calls = bench.estimate(sum(judgements.values()), cases[0].query)
        certified.describe(bench.players, judgements, calls, as_json=as_json)
        return 0
    try:
        with console.progress("certifying", sum(judgements.values()), quiet=as_json) as advance:
            findings = asyncio.run(certify(exam, bench.open, advance))
    except BudgetSpent as end:
        console.note(f"stopped: {end}; nothing is written, and the same command with a larger limit goes on from here")
        return CUT_SHORT
    certificate = _certificate(request, bench, file, cases, findings)
    save_certificate(request.out, certificate)
    certified.show(certificate, request.out, as_json=as_json)
    return 0 if certificate.passed else 1


def _case(query: str, response: str, brief_chars: int) -> Case:
    return Case(query, response, measure(query, response, brief_chars))


def _bench(request: Request, cases: tuple[LabelledCase, ...]) -> benches.Bench:
    if request.judge == benches.LEARNED:
        return benches.LearnedBench(cases, request.seed)
    return benches.CastBench(
        casting.plan_cast(request.config, request.judge, seed=request.seed), casting.ledger_beside(request.out)
    )


def _certificate(
    request: Request, bench: benches.Bench, file: Path, cases: tuple[LabelledCase, ...], findings: Findings
) -> Certificate:
    limits = request.config.certify
    held = lines(findings, limits)
    good = sum(case.label == "good" for case in cases)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Certificate(
        format=FORMAT,
        passed=all(line.passed is not False for line in held),
        judge=bench.card(),
        data=DataCard(file.name, digest, len(cases), good, len({case.query for case in cases})),
        lines=held,
        findings=findings,
        cost=bench.cost(findings),
        limits=limits.model_dump(),
        seed=request.seed,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
