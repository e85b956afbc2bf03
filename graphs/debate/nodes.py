"""The nodes of a debate. Each turns state into an update; none raises except `BudgetSpent`, at the judge and after.

A candidate with a critic that failed is dead: the judge's node writes the unscored verdict without calling the judge,
because half of the verdicts after a one-sided debate are wrong (the ablations of arXiv 2508.21476: 53.65 % accuracy
without the positive critic, 50.05 % without the negative), and nothing more is paid for it. Nor is anything paid for
reflecting on an unscored first verdict.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Literal

from kindling.agents.cast import Cast
from kindling.agents.critic import Critic
from kindling.agents.requests import measure
from kindling.graphs.debate.state import DebateInput, DebateOutput, DebateState
from kindling.graphs.faults import Fault, attempt, settle
from kindling.records import Candidate, Case, Critique, Example, Judgement, Verdict, load

Update = dict[str, Any]


class DebateNodes:
    """The nodes over one cast. Critics named in `show_to` see the examples; judge and reflector never do."""

    def __init__(self, cast: Cast, show_to: Collection[str]) -> None:
        self._cast = cast
        self._show_to = frozenset(show_to)

    async def measure(self, state: DebateInput) -> Update:
        """Count what can be counted, once, for everyone."""
        candidate = load(Candidate, state["candidate"])
        examples = load(tuple[Example, ...], state.get("examples", ()))
        facts = measure(state["query"], candidate.text, self._cast.brief_chars)
        return {"candidate": candidate, "examples": examples, "case": Case(state["query"], candidate.text, facts)}

    async def positive(self, state: DebateState) -> Update:
        """Every merit."""
        return await self._criticise("positive", self._cast.positive, state)

    async def negative(self, state: DebateState) -> Update:
        """Every flaw."""
        return await self._criticise("negative", self._cast.negative, state)

    async def _criticise(self, role: str, critic: Critic | None, state: DebateState) -> Update:
        assert critic is not None, f"a graph without a {role} critic has no such node"
        case = replace(state["case"], examples=state["examples"]) if role in self._show_to else state["case"]
        heard = await attempt(f"{role} critic", Critique, critic.criticise(case))
        return {"faults": (heard,)} if isinstance(heard, Fault) else {"critiques": (heard,)}

    async def judge(self, state: DebateState) -> Update:
        """Give the first verdict, which stands unless a reflector overturns it."""
        settle(state["faults"])
        judge, case, critiques = self._cast.judge, state["case"], state["critiques"]
        if state["faults"]:
            why = "; ".join(map(str, state["faults"]))
            verdict, first = Verdict.none(why, judge.name, judge.template), None
        else:
            answer = await attempt("judge", Verdict, judge.judge(case, critiques))
            verdict = first = _verdict(answer, judge.name, judge.template)
        return {"judgement": Judgement(state["candidate"], verdict, first, critiques, case.facts)}

    async def reflect(self, state: DebateState) -> Update:
        """Uphold or overturn the first verdict."""
        reflector, judgement = self._cast.reflector, state["judgement"]
        assert reflector is not None, "a graph without a reflector has no such node"
        work = reflector.reflect(state["case"], state["critiques"], judgement.verdict)
        answer = await attempt("reflector", Verdict, work)
        return {"judgement": replace(judgement, verdict=_verdict(answer, reflector.name))}


async def after_judge(state: DebateOutput) -> Literal["reflect", "__end__"]:
    """Reflect on a scored verdict only."""
    # async, since LangGraph runs a plain function in a thread
    return "reflect" if state["judgement"].verdict.unscored is None else "__end__"


def _verdict(answer: Verdict | Fault, judge: str, template: str = "") -> Verdict:
    """`answer` with a fault as an unscored verdict; a judge should have done that itself."""
    if isinstance(answer, Fault):
        settle((answer,))
        return Verdict.none(str(answer), judge, template)
    return answer
