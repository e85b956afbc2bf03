"""How a judge is certified: every measurement, in an order in which nothing is asked twice.

    agreement    every case once; the verdicts serve all that follows
    reading      good cases under another query
    attacks      on cases that were judged rightly, and hard negatives, if there are any
    steadiness   a sample of cases again, by the judges of the further repeats

`certify` takes judges behind their contract and cases made by a function that it is given, so it knows neither models
nor tasks. All draws come from the seed. Verdicts are never changed into anything: an unscored one is counted, and
stands for nothing.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import numpy as np

from kindling.config import CertifySection
from kindling.eval.agreement import agreement, auc
from kindling.eval.attacks import Attack, load_attacks
from kindling.eval.baselines import TOLERANCE, baselines, length_matched
from kindling.eval.certificate import Beside, Findings, Unscored
from kindling.eval.fooling import Family, Trial, families, trials
from kindling.eval.hard_negatives import HardNegative
from kindling.eval.hard_negatives import family as hard_negative_family
from kindling.eval.intervals import resample, resampled, share
from kindling.eval.panel import MakeCase, OpenJudges, Panel, Question
from kindling.eval.reading import Kind, Reading, reading, swaps
from kindling.eval.steadiness import Steadiness, steadiness
from kindling.records import LabelledCase, Verdict

REASONS = 20


class Exam:
    """What depends on the file, the limits and the seed, but on no verdict: questions, baselines, matched lengths.

    Raises `InputError` for a file that is too small to be measured on, before anything is judged.
    """

    def __init__(
        self,
        cases: Sequence[LabelledCase],
        make: MakeCase,
        limits: CertifySection,
        seed: int,
        attacks: Sequence[Attack] | None = None,
        hard_negatives: Sequence[HardNegative] = (),
    ) -> None:
        self.cases = cases
        self.make = make
        self.limits = limits
        self.seed = seed
        self.attacks = load_attacks() if attacks is None else attacks
        self.hard_negatives = hard_negatives
        self.baselines = baselines(cases, seed)
        self.matched = length_matched(cases, seed)
        self.made = [make(case.query, case.response) for case in cases]
        self.questions = [Question(made, case.query) for made, case in zip(self.made, cases, strict=True)]
        self.forged = [Question(make(one.query, one.response), one.query) for one in hard_negatives]
        self.swaps = swaps(cases, make, seed)
        # what could be tried if every verdict were right: a bound for the plan, and what the file makes possible
        self.possible = self.trials([True] * len(cases))
        self.again = sorted(Random(seed).sample(range(len(cases)), min(limits.repeat_cases, len(cases))))  # noqa: S311

    def trials(self, right: Sequence[bool]) -> list[Trial]:
        """Draw the attacked cases, given which verdicts were right."""
        return trials(self.attacks, self.cases, self.made, right, self.make, self.limits.attack_cases, self.seed)

    def swapped(self, kind: Kind) -> list[Question]:
        """Give the questions of one kind of reading."""
        return [swap.question for swap in self.swaps[kind] if swap.question is not None]

    def plan(self) -> dict[str, int]:
        """Count the judgements, at most: nothing is judged twice, and a wrong verdict spares its attacks."""
        seen = {one.case for one in self.questions}
        reading = {question.case for kind in self.swaps for question in self.swapped(kind)} - seen
        questions = (*(trial.question for trial in self.possible), *self.forged)
        attacked = {question.case for question in questions} - seen - reading
        again = len({self.made[index] for index in self.again}) * (self.limits.repeats - 1)
        return {"agreement": len(seen), "reading": len(reading), "attacks": len(attacked), "repeats": again}


async def certify(exam: Exam, open_judges: OpenJudges, advance: Callable[[int], None] = lambda done: None) -> Findings:
    """Examine the judges. `advance` is told how many judgements are made.

    Raises whatever ends a judge for good (`BudgetSpent`, `UsageError`); then nothing is certified.
    """
    in_flight = exam.limits.in_flight
    async with open_judges(0) as judge_for:
        panel = Panel(judge_for, in_flight, advance)
        verdicts = await panel.ask(exam.questions)
        found = [
            reading(kind, exam.cases, chosen, verdicts, await panel.ask(exam.swapped(kind)))
            for kind, chosen in exam.swaps.items()
        ]
        attacked = await _attack(exam, panel, verdicts)
    rounds = [[verdicts[index] for index in exam.again]]
    judged, seconds = panel.judged, panel.seconds
    for repeat in range(1, exam.limits.repeats):
        async with open_judges(repeat) as judge_for:
            panel = Panel(judge_for, in_flight, advance, judged)
            rounds.append(await panel.ask([exam.questions[index] for index in exam.again]))
        judged, seconds = panel.judged, seconds + panel.seconds
    steady = steadiness([exam.cases[index].query for index in exam.again], rounds)
    return _findings(exam, verdicts, tuple(found), attacked, steady, judged, seconds)


async def _attack(exam: Exam, panel: Panel, verdicts: Sequence[Verdict]) -> tuple[Family, ...]:
    right = [verdict.label == case.label for verdict, case in zip(verdicts, exam.cases, strict=True)]
    drawn = exam.trials(right)
    answers = await panel.ask([trial.question for trial in drawn])
    found = families(exam.attacks, drawn, answers, {trial.attack.family for trial in exam.possible})
    if not exam.hard_negatives:
        return found
    return (*found, hard_negative_family(exam.hard_negatives, await panel.ask(exam.forged)))


def _findings(
    exam: Exam,
    verdicts: Sequence[Verdict],
    found: tuple[Reading, ...],
    attacked: tuple[Family, ...],
    steady: Steadiness,
    judged: int,
    seconds: float,
) -> Findings:
    cases = exam.cases
    labels = np.array([case.label == "good" for case in cases])
    # NaN never meets a formula: the unscored are left out before
    scores = np.array([np.nan if verdict.score is None else verdict.score for verdict in verdicts])
    weights = resample([case.query for case in cases], exam.seed)
    scored = np.flatnonzero(~np.isnan(scores))
    matched = np.intersect1d(scored, np.array(exam.matched, dtype=int))
    length = next(one for one in exam.baselines if one.name == "length")
    areas = (auc(labels[matched], one[matched], weights[:, matched]) for one in (scores, length.ranking))
    return Findings(
        agreement=agreement(labels[scored], scores[scored], weights[:, scored]),
        matched=agreement(labels[matched], scores[matched], weights[:, matched]),
        matchable=len(exam.matched),
        tolerance=TOLERANCE,
        gain=resampled(np.subtract(*areas)),
        baselines=tuple(
            Beside(
                one.name,
                *(
                    agreement(labels[some], one.scores[some], weights[:, some], one.ranking[some])
                    for some in (scored, matched)
                ),
            )
            for one in exam.baselines
        ),
        unscored=_unscored(cases, verdicts),
        reading=found,
        attacks=attacked,
        steadiness=steady,
        judged=judged,
        seconds=seconds,
    )


def _unscored(cases: Sequence[LabelledCase], verdicts: Sequence[Verdict]) -> Unscored:
    reasons = Counter(verdict.unscored for verdict in verdicts if verdict.unscored is not None)
    return Unscored(share(reasons.total(), [case.query for case in cases]), dict(reasons.most_common(REASONS)))
