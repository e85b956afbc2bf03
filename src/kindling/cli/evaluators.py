"""Judges of `kindling eval`: who they are, which models they are independent of, and how far they may be believed.

A judge is tied to a model that learned from its verdicts, or from texts that it chose, or was trained from one that
did, by name or by the model that plays in it: a debate of the embedded critics is no other opinion than the embedded
judge's. Such a judge is refused unless it is allowed to evaluate all the same. One that watched as a shadow, or that is
played by the model whose texts it judges, is only said to be tied.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kindling.cli import casting
from kindling.cli.contestants import ITSELF, TAUGHT
from kindling.cli.lineage import CHOSE, REWARD, SHADOW, TAUGHT_REWARD, placed
from kindling.errors import ConfigError
from kindling.eval.certificate import Certificate, fits, load_certificate
from kindling.eval.scorecard.card import Accuracy, Contestant, Evaluator, Tie

# the closest first; what a model learned by makes a judge no judge of it
LEARNED = {
    REWARD: "learned from its verdicts",
    TAUGHT: "learned from its verdicts",
    TAUGHT_REWARD: "learned from a reward model that its verdicts taught",
    CHOSE: "learned from texts that it chose",
}
CLOSEST = (*LEARNED, SHADOW, ITSELF)
NO_CERTIFICATE = "no certificate was given"


@dataclass(frozen=True, slots=True)
class Bench:
    """The judges with their plans, in one order, and the models with the ties that these judges have to them."""

    plans: tuple[casting.CastPlan, ...]
    judges: tuple[Evaluator, ...]
    models: tuple[Contestant, ...]


def bench(
    plans: Sequence[casting.CastPlan], models: Sequence[Contestant], certificates: Sequence[Path], *, allowed: bool
) -> Bench:
    """Say who judges whom. Raises `ConfigError` for a judge that rewarded a model, or another judge's certificate."""
    tied = tuple(replace(model, ties=tuple(_ties(model, plans))) for model in models)
    for model in tied:
        for tie in model.ties:
            if tie.how in LEARNED and not allowed:
                raise ConfigError(
                    f"--judge {tie.judge}: {model.name} {LEARNED[tie.how]}, so it is no judge of it; "
                    "evaluate by another, or add --allow-reward-judge"
                )
    spoken_for = _spoken_for(plans, certificates)
    known = asyncio.run(_templates(plans))
    found = [_accuracy(plan, template, spoken_for.get(plan.judge)) for plan, template in zip(plans, known, strict=True)]
    judges = tuple(
        Evaluator(
            name=plan.judge,
            template=template,
            model=plan.models,
            accuracy=accuracy,
            uncorrected=uncorrected,
            independent_of=tuple(one.name for one in tied if plan.judge not in {tie.judge for tie in one.ties}),
        )
        for plan, template, (accuracy, uncorrected) in zip(plans, known, found, strict=True)
    )
    return Bench(tuple(plans), judges, tied)


def _ties(model: Contestant, plans: Sequence[casting.CastPlan]) -> list[Tie]:
    """The ties of a model to these judges: to each one at most, the closest."""
    found: dict[str, Tie] = {}
    for plan in plans:
        kin = {placed(name) for name in (plan.judge, *plan.players.values())}
        for tie in sorted(model.ties, key=lambda one: CLOSEST.index(one.how)):
            if tie.judge in kin:
                found.setdefault(plan.judge, Tie(plan.judge, tie.how))
    return list(found.values())


async def _templates(plans: Sequence[casting.CastPlan]) -> list[str]:
    """The hashes of the judges' prompts, as certificates name them."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for plan in plans:
            async with casting.open_cast(plan, Path(scratch) / casting.LEDGER) as company:
                found.append(company.judge.template)
    return found


def _spoken_for(plans: Sequence[casting.CastPlan], files: Sequence[Path]) -> dict[str, tuple[Path, Certificate]]:
    """The certificate of each judge that has one. Raises `ConfigError` for one of nobody here, and for a second one."""
    names, found = [plan.judge for plan in plans], dict[str, tuple[Path, Certificate]]()
    for file in files:
        certificate = load_certificate(file)
        name = certificate.judge.name
        if name not in names:
            raise ConfigError(f"{file}: speaks for {name}, which is none of the judges ({', '.join(names)})")
        if name in found:
            raise ConfigError(f"{file}: speaks for {name}, as {found[name][0]} does; give one of them")
        found[name] = file, certificate
    return found


def _accuracy(
    plan: casting.CastPlan, template: str, spoken: tuple[Path, Certificate] | None
) -> tuple[Accuracy | None, str]:
    """What its certificate says of a judge, or why that is nothing. Raises `ConfigError` for one of another prompt."""
    if spoken is None:
        return None, NO_CERTIFICATE
    file, certificate = spoken
    # one that failed still says how often the judge errs
    reasons = fits(replace(certificate, passed=True), plan.judge, template, plan.models, plan.grading)
    if reasons:
        raise ConfigError(f"{file}: {'; '.join(reasons)}; certify the judge as it is now")
    # but not on texts that it knew: there it errs less than on any other
    if certificate.data.seen:
        return None, f"it learned from {certificate.data.seen:,} of the texts in its certificate ({file})"
    return _errors(file, certificate), ""


def _errors(file: Path, certificate: Certificate) -> Accuracy:
    found, queries = certificate.findings.agreement, certificate.data.queries
    bad = found.false_good + found.true_bad
    if not found.good or not bad:
        raise ConfigError(f"{file}: has no scored {'bad' if found.good else 'good'} case, so no errors to correct by")
    return Accuracy(
        file=str(file),
        passed=certificate.passed,
        good=found.good,
        true_good=found.true_good,
        trials_good=min(found.good, queries),
        bad=bad,
        true_bad=found.true_bad,
        trials_bad=min(bad, queries),
    )
