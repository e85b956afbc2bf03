"""Players for tests of the game that play by the real contracts: what they answer depends on what they are asked alone.

A text "is good" by the truth if its name ends in an even digit. The judge of some principles calls good what the truth
does, but for the digits that a principle names ("blind 4"): so proposals can be made better or worse at will.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kindling.agents.players import Players
from kindling.errors import BudgetSpent, CallError
from kindling.game import Decision, Evidence, Forgery, Lesson, Refusal, Rewrite, Rules
from kindling.records import Case, Critique, Label, LabelledCase, Query, Verdict

START: Rules = ("blind 0", "blind 1", "blind 2")
TACTICS: Rules = ("tactic 0",)


def truth(response: str) -> Label:
    """The label of a response."""
    return "good" if int(response[-1]) % 2 == 0 else "bad"


def cases(many: int) -> tuple[LabelledCase, ...]:
    """Labelled cases, as many good as bad."""
    made = [f"text {number}" for number in range(many)]
    return tuple(LabelledCase(f"query {number}", text, truth(text)) for number, text in enumerate(made))


@dataclass
class Table:
    """Where the players sit. `faulty` says what happens instead of an answer: an exception, or False for none."""

    faulty: Callable[[str, tuple[object, ...]], Any] = lambda role, key: False
    budget: int | None = None
    forge: Callable[[str, Rules, int], str] = lambda query, tactics, index: f"forged for {query}, {index}, 1"
    rewrite: Callable[[Rules, tuple[Lesson, ...]], Rules] = lambda rules, lessons: rules[1:] or ("sees all",)
    sharpen: Callable[[Rules, tuple[Lesson, ...]], Rules] = lambda rules, lessons: (f"tactic {len(lessons)}",)
    calls: Counter[str] = field(default_factory=Counter)
    paid: dict[tuple[object, ...], bool] = field(default_factory=dict)
    lessons: list[tuple[Lesson, ...]] = field(default_factory=list)
    on_call: Callable[[str], None] = lambda role: None

    async def call(self, role: str, *key: object) -> None:
        """One call; asked again, its answer is recalled, as from a ledger."""
        self.on_call(role)
        if (role, *key) in self.paid:
            return
        if self.budget is not None and len(self.paid) >= self.budget:
            raise BudgetSpent("max_calls is used up")
        self.calls[role] += 1
        fault = self.faulty(role, key)
        if fault is not False:
            raise fault
        self.paid[role, *key] = True

    def players(self) -> Players:
        """Everyone."""
        return Players(
            judge_for=lambda principles: Judge(self, principles),
            forger=Forger(self),
            explainer=Explainer(self),
            optimizer=Optimizer(self, "optimizer"),
            tactician=Optimizer(self, "tactician"),
            brief_chars=20,
        )


@dataclass
class Judge:
    """Sees the truth, but for what its principles make it blind to."""

    table: Table
    principles: Rules
    name: str = "judge"

    @property
    def template(self) -> str:
        """Depends on the principles."""
        return "|".join(self.principles)

    async def judge(self, case: Case, critiques: tuple[Critique, ...] = ()) -> Verdict:
        """The truth, or its opposite."""
        try:
            await self.table.call("judge", self.principles, case.query, case.response)
        except CallError as error:
            return Verdict.none(str(error), self.name, self.template)
        wrong = f"blind {case.response[-1]}" in self.principles
        good = (truth(case.response) == "good") != wrong
        return Verdict.of(1.0 if good else 0.0, f"because of {case.response}", self.name, self.template)


@dataclass
class Forger:
    """Writes what the table says."""

    table: Table
    name: str = "forger"

    async def forge(self, query: Query, tactics: Rules, index: int) -> Forgery:
        """A forgery."""
        await self.table.call("forger", query.text, tactics, index)
        return Forgery(query.text, self.table.forge(query.text, tactics, index), f"flawed by {tactics[0]}")


@dataclass
class Explainer:
    """Says which principle was wrong."""

    table: Table
    name: str = "explainer"

    async def explain(self, case: Case, truth: Label, verdict: Verdict, principles: Rules) -> str:
        """Why."""
        await self.table.call("explainer", case.query, case.response, truth, verdict.label, principles)
        return f"it is {truth}"


@dataclass
class Optimizer:
    """Rewrites as the table says."""

    table: Table
    role: str
    name: str = "optimizer"

    async def rewrite(self, rules: Rules, lessons: tuple[Lesson, ...], index: int) -> Rewrite:
        """New rules."""
        await self.table.call(self.role, rules, lessons, index)
        if self.role == "optimizer":
            self.table.lessons.append(lessons)
        change = self.table.rewrite if self.role == "optimizer" else self.table.sharpen
        return Rewrite(change(rules, lessons), f"from {len(lessons)} lessons")


@dataclass
class CountingGate:
    """Accepts whatever gets more validation cases right; keeps what it was shown."""

    shown: list[Evidence] = field(default_factory=list)
    refuses: tuple[Refusal, ...] = ()

    def check(self, before: Rules, proposed: Rules) -> tuple[Refusal, ...]:
        """Refuse the same rules."""
        return self.refuses or (("unchanged",) if proposed == before else ())

    def weigh(self, evidence: Evidence) -> Decision:
        """Compare."""
        self.shown.append(evidence)
        right = [
            sum(said.label == label for said, label in zip(verdicts, evidence.labels, strict=True))
            for verdicts in (evidence.before, evidence.after)
        ]
        return Decision(() if right[1] > right[0] else ("not_better",), better=right[1], worse=right[0])
