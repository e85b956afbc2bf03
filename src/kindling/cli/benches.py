"""Who sits on the bench of a certification: judges by name, the seed of each repeat, and what they came to.

    debate, llm, embedded   the cast of kindling.toml, answers in a ledger
    lexical:PATH, rm:PATH   learned before, from other cases as far as they know
    lexical                 learned from the labelled cases themselves: one judge a fold, none asked about its own cases

Repeats of a cast are the same judge with another seed, and so other calls: asked with the same seed, the ledger would
answer, and any judge would look steady. A learned judge uses no chance once it is fitted.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from kindling.agents.budget import Budget
from kindling.agents.judge import Judge
from kindling.agents.ledger import Total
from kindling.agents.stats import RoleStats
from kindling.cli import casting
from kindling.eval.baselines import FOLDS
from kindling.eval.certificate import Cost, Findings, JudgeCard
from kindling.eval.panel import JudgeFor, out_of_fold
from kindling.records import LabelledCase

LEARNED = "lexical"


class Bench(Protocol):
    """Judges to be certified. `card` and `cost` are to be asked when all judging is done."""

    @property
    def players(self) -> dict[str, str]:
        """Who plays which role."""
        ...

    def estimate(self, judgements: int, query: str) -> dict[str, tuple[int, float]]:
        """Model calls of each role, if none is repaired or recalled, and roughly their cost for queries like this."""
        ...

    def open(self, repeat: int) -> AbstractAsyncContextManager[JudgeFor]:
        """Open the judges of a repeat; 0 is the certified run."""
        ...

    def seen(self, cases: Sequence[LabelledCase]) -> int | None:
        """Count the cases whose text the judge learned from; None for one that cannot tell."""
        ...

    def card(self) -> JudgeCard:
        """Say who judged."""
        ...

    def cost(self, findings: Findings) -> Cost:
        """Say what 1,000 judgements take."""
        ...


class LearnedBench:
    """Judges that learn from the cases they are certified on, each from the folds that it does not judge."""

    def __init__(self, cases: Sequence[LabelledCase], seed: int) -> None:
        self.players = {"judge": f"{LEARNED}, fitted on {FOLDS} folds"}
        self._cases = cases
        self._seed = seed
        self._judges: JudgeFor | None = None

    def estimate(self, judgements: int, query: str) -> dict[str, tuple[int, float]]:
        """Give none."""
        return {}

    @asynccontextmanager
    async def open(self, repeat: int) -> AsyncIterator[JudgeFor]:
        """Fit at the first opening; every repeat has the same judges."""
        if self._judges is None:
            self._judges = out_of_fold(self._cases, self._fit, self._seed)
        yield self._judges

    def _fit(self, cases: Sequence[LabelledCase]) -> Judge:
        from kindling.agents.lexical.judge import LexicalJudge
        from kindling.agents.lexical.training import fit

        return LexicalJudge(fit(cases, self._seed).model, LEARNED, "")

    def seen(self, cases: Sequence[LabelledCase]) -> int | None:
        """Not told: each judge learned from the other folds, by query."""
        return None

    def card(self) -> JudgeCard:
        """Without a template: each fold's judge is another."""
        return JudgeCard(LEARNED, "", "", (), FOLDS, "")

    def cost(self, findings: Findings) -> Cost:
        """Nothing but time."""
        return Cost(1000 * findings.seconds / findings.judged)


@dataclass(slots=True)
class CastBench:
    """The judge of a cast plan, over a ledger that outlives the run."""

    plan: casting.CastPlan
    ledger: Path
    budget: Budget | None = None  # of all repeats together: minutes run on from one to the next
    _template: str = ""
    _served: tuple[str, ...] = ()
    _totals: list[Total] = field(default_factory=list)
    _roles: list[RoleStats] = field(default_factory=list)

    @property
    def players(self) -> dict[str, str]:
        """Who plays which role."""
        return self.plan.players

    def estimate(self, judgements: int, query: str) -> dict[str, tuple[int, float]]:
        """Count the plan's calls, one candidate a judgement."""
        calls = self.plan.calls(judgements, 1)
        costs = self.plan.cost(query, calls)
        return {role: (count, costs[role]) for role, count in calls.items()}

    @asynccontextmanager
    async def open(self, repeat: int) -> AsyncIterator[JudgeFor]:
        """Open the cast with a seed of its own, and note what it did."""
        plan = replace(self.plan, seed=self.plan.seed + repeat)
        async with casting.open_cast(plan, self.ledger, self.budget) as company:
            judge, self.budget = company.judge, company.budget
            self._template = judge.template
            yield lambda _: judge
            if company.models is not None and company.ledger is not None:
                self._roles += company.models.stats().roles
                self._totals = company.ledger.totals()
                self._served = company.ledger.served()

    def seen(self, cases: Sequence[LabelledCase]) -> int | None:
        """Ask a learned judge, which keeps what it learned from; no other tells."""
        return casting.seen_by(self.plan.judge, (case.response for case in cases))

    def card(self) -> JudgeCard:
        """Name the judge, the hash of all its prompts, its models, what they said they are, and the grading."""
        return JudgeCard(self.plan.judge, self._template, self.plan.models, self._served, 0, self.plan.grading)

    def cost(self, findings: Findings) -> Cost:
        """Count the calls of this process, each at its role's mean price in the ledger."""
        per_1000 = 1000 / findings.judged
        mean = {total.role: total for total in self._totals}
        asked: Counter[str] = Counter()
        for one in self._roles:
            asked[one.role] += one.calls + one.hits
        hits = sum(one.hits for one in self._roles)

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
