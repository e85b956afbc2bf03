"""The work behind `kindling certify`: from names to judges, the examination, the certificate.

The certificate is written whole or not at all: a run that a budget or Ctrl-C ends early leaves only the paid answers,
in the ledger beside it, for the next run of the same command.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kindling.agents.requests import case_of
from kindling.cli import benches, beside, casting, certified, console
from kindling.config import Config
from kindling.errors import BudgetSpent
from kindling.eval.certificate import FORMAT, Certificate, DataCard, lines, save_certificate
from kindling.eval.certification import Exam, certify
from kindling.eval.hard_negatives import HardNegative, read_hard_negatives
from kindling.eval.labelled import read_labelled
from kindling.prompts.taskpack import TaskPack, load_pack
from kindling.records import LabelledCase
from kindling.runs import versions
from kindling.tables import check_new_file, sha256

CUT_SHORT = 3


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; without `labelled`, the golden set of the task."""

    labelled: Path | None
    out: Path
    config: Config
    judge: str
    seed: int
    hard_negatives: Path | None = None
    beside: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an exam's cases and hard negatives come from: a name, and digests (SHA-256) of the files' bytes."""

    file: str
    sha256: str
    hard_negatives: str = ""


def carry_out(request: Request, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Certify or describe the request; returns the exit status."""
    check_new_file(request.out, ".json")
    project = request.config.project
    pack = load_pack(project.task, request.config.prompts_dir / project.task)
    file, forged = request.labelled or pack.file("golden.jsonl"), request.hard_negatives
    cases = read_labelled(file)
    others = beside.read(request.beside, file, request.seed)
    bench = _bench(request, cases)
    hard_negatives = read_hard_negatives(forged) if forged else ()
    exam = exam_of(cases, pack, request.config, request.seed, hard_negatives)
    judgements = exam.plan()
    if dry_run:
        calls = bench.estimate(sum(judgements.values()), cases[0].query)
        certified.describe(bench.players, judgements, calls, as_json=as_json)
        return 0
    origin = Origin(file.name, sha256(file), sha256(forged) if forged else "")
    try:
        with console.progress("certifying", sum(judgements.values()), quiet=as_json) as advance:
            certificate = asyncio.run(examine(exam, bench, origin, advance))
    except BudgetSpent as end:
        console.note(f"stopped: {end}; nothing is written, and the same command with a larger limit goes on from here")
        return CUT_SHORT
    save_certificate(request.out, certificate)
    certified.show(certificate, request.out, others, as_json=as_json)
    return 0 if certificate.passed else 1


def exam_of(
    cases: Sequence[LabelledCase],
    pack: TaskPack,
    config: Config,
    seed: int,
    hard_negatives: Sequence[HardNegative] = (),
) -> Exam:
    """Prepare the examination of a judge of `pack`'s task. Raises `InputError` for too few cases."""
    make = partial(case_of, brief_chars=pack.settings.brief_chars)
    return Exam(cases, make, config.certify, seed, hard_negatives=hard_negatives)


def _bench(request: Request, cases: tuple[LabelledCase, ...]) -> benches.Bench:
    if request.judge == benches.LEARNED:
        return benches.LearnedBench(cases, request.seed)
    return benches.CastBench(
        casting.plan_cast(request.config, request.judge, seed=request.seed), casting.ledger_beside(request.out)
    )


async def examine(
    exam: Exam, bench: benches.Bench, origin: Origin, advance: Callable[[int], None] = lambda done: None
) -> Certificate:
    """Examine the judges of `bench` and make their certificate. Raises `BudgetSpent`: then there is none.

    `advance` is told how many judgements are made.
    """
    findings = await certify(exam, bench.open, advance)
    cases, limits = exam.cases, exam.limits
    data = DataCard(
        file=origin.file,
        sha256=origin.sha256,
        cases=len(cases),
        good=sum(case.label == "good" for case in cases),
        queries=len({case.query for case in cases}),
        seen=bench.seen(cases),
        hard_negatives=origin.hard_negatives,
    )
    held = lines(findings, limits, data)
    return Certificate(
        format=FORMAT,
        passed=all(line.passed is not False for line in held),
        judge=bench.card(),
        data=data,
        lines=held,
        findings=findings,
        cost=bench.cost(findings),
        limits=limits.model_dump(),
        seed=exam.seed,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
