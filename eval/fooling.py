"""Can a judge be fooled? The shipped attacks (`kindling.eval.attacks`), and how often each family of them succeeds.

An attack is tried on cases that the judge got right without it: on bad texts called bad, or, where it damages the
text, on good texts called good. It succeeds when the judge calls the result good. So a wrong verdict that was wrong
before is not counted as the attack's success, and a judge that calls everything good has nothing left to be fooled
about: its families have no trials, which no certificate passes.

Each attack is tried on its own seeded sample of cases, so that a family of many attacks meets many different texts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from pydantic import ConfigDict

from kindling.eval.attacks import Attack, Wants
from kindling.eval.intervals import Estimate, share
from kindling.eval.panel import MakeCase, Question
from kindling.records import Case, LabelledCase, Verdict, text_id

WORST = 5


@dataclass(frozen=True, slots=True)
class AttackCount:
    """How often one attack succeeded."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    attack: str
    fooled: int
    trials: int


@dataclass(frozen=True, slots=True)
class Family:
    """One family: of `trials` scored ones, `fooled` succeeded; `worst` names the attacks that succeed most.

    `unscored` trials brought no verdict: they are neither success nor failure. `possible` says whether the file has any
    case that the family acts on, whatever the judge said of it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    family: str
    wants: Wants
    attacks: int
    trials: int
    fooled: int
    unscored: int
    rate: Estimate
    worst: tuple[AttackCount, ...]
    possible: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """An attacked case."""

    attack: Attack
    question: Question


def trials(
    attacks: Sequence[Attack],
    cases: Sequence[LabelledCase],
    made: Sequence[Case],
    right: Sequence[bool],
    make: MakeCase,
    each: int,
    seed: int,
) -> list[Trial]:
    """Draw at most `each` cases for every attack among those that it acts on.

    `made` are the cases as they were judged, `right` says which verdicts were right, both in the order of `cases`.
    """
    drawn = []
    for attack in attacks:
        targets = [index for index, case in enumerate(cases) if right[index] and case.label == attack.target]
        Random(text_id(str(seed), attack.id)).shuffle(targets)  # noqa: S311 - a reproducible sample, no secret
        found = 0
        for index in targets:
            attacked = attack.on(made[index], make)
            if attacked is not None:
                drawn.append(Trial(attack, Question(attacked, cases[index].query)))
                found += 1
            if found == each:
                break
    return drawn


def families(
    attacks: Sequence[Attack], drawn: Sequence[Trial], verdicts: Sequence[Verdict], possible: set[str]
) -> tuple[Family, ...]:
    """Count the successes by family, in the order of `attacks`; `possible` names families that the file can try."""
    results = list(zip(drawn, verdicts, strict=True))
    names = dict.fromkeys(attack.family for attack in attacks)
    return tuple(
        _family([attack for attack in attacks if attack.family == name], results, possible=name in possible)
        for name in names
    )


def _family(attacks: Sequence[Attack], results: Sequence[tuple[Trial, Verdict]], *, possible: bool) -> Family:
    name, wants = attacks[0].family, attacks[0].wants
    ours = [(trial, verdict) for trial, verdict in results if trial.attack.family == name]
    scored = [(trial, verdict) for trial, verdict in ours if verdict.label is not None]
    tried = Counter(trial.attack.id for trial, _ in scored)
    fooled = Counter(trial.attack.id for trial, verdict in scored if verdict.label == "good")
    rate = share(fooled.total(), [trial.question.home for trial, _ in scored])
    worst = sorted(fooled, key=lambda one: (-fooled[one] / tried[one], one))[:WORST]
    return Family(
        name,
        wants,
        len(attacks),
        len(scored),
        fooled.total(),
        len(ours) - len(scored),
        rate,
        tuple(AttackCount(one, fooled[one], tried[one]) for one in worst),
        possible,
    )
