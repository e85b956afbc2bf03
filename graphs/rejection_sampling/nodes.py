"""The nodes of rejection sampling: retrieve, generate, a debate for each distinct text, pair.

What fails in `generate` or `debate` is kept as a value; `pair` raises `BudgetSpent` when any of that work met a limit.
By then everything that was in flight has finished and its calls stand in the ledger, so the row can be run again at
little cost. A retriever that raises (it makes no call, so that is a bug) ends the row; the engine counts it as failed.
"""

import asyncio
from dataclasses import replace
from typing import Any, Literal

from langgraph.types import Send

from kindling.agents.cast import Cast
from kindling.graphs.debate import DebateGraph, debate
from kindling.graphs.faults import Fault, attempt, settle
from kindling.graphs.rejection_sampling.pairing import make_pairs
from kindling.graphs.rejection_sampling.settings import Settings
from kindling.graphs.rejection_sampling.state import DebateTask, RowInput, RowState
from kindling.records import Candidate, Judgement, Outcome, Query, Status, Verdict, load

Update = dict[str, Any]


class SamplingNodes:
    """The nodes over one cast and its compiled debate."""

    def __init__(self, cast: Cast, settings: Settings, debate_graph: DebateGraph) -> None:
        self._cast = cast
        self._settings = settings
        self._debate = debate_graph

    async def retrieve(self, state: RowInput) -> Update:
        """Examples near the query."""
        query = load(Query, state["query"])
        return {"query": query, "examples": await self._cast.retriever.retrieve(query)}

    async def generate(self, state: RowState) -> Update:
        """All candidates at once; one that fails is dropped with its reason."""
        examples = state["examples"] if "generator" in self._settings.show_to else ()
        generators = self._cast.generators
        writers = [generators[index % len(generators)] for index in range(self._settings.candidates)]
        drawn = await asyncio.gather(
            *(
                attempt(
                    f"candidate {index} ({writer.name})", Candidate, writer.generate(state["query"], examples, index)
                )
                for index, writer in enumerate(writers)
            )
        )
        return {
            "candidates": tuple(one for one in drawn if not isinstance(one, Fault)),
            "faults": tuple(one for one in drawn if isinstance(one, Fault)),
        }

    async def to_debates(self, state: RowState) -> list[Send] | Literal["pair"]:
        """Send every distinct text to a debate; none once the budget is spent."""
        # async, since LangGraph runs a plain function in a thread
        distinct = {one.text: one for one in reversed(state["candidates"])}
        if not distinct or any(fault.spent for fault in state["faults"]):
            return "pair"
        row = {"query": state["query"], "examples": state["examples"]}
        return [Send("debate", {**row, "candidate": one}) for one in state["candidates"] if distinct[one.text] is one]

    async def debate(self, state: DebateTask) -> Update:
        """Judge one candidate."""
        candidate = state["candidate"]
        work = debate(self._debate, state["query"].text, candidate, state["examples"])
        judged = await attempt("debate", Judgement, work)
        if not isinstance(judged, Fault):
            return {"judgements": (judged,)}
        if judged.spent:
            return {"faults": (judged,)}
        judge = self._cast.judge
        return {"judgements": (Judgement(candidate, Verdict.none(str(judged), judge.name, judge.template)),)}

    async def pair(self, state: RowState) -> Update:
        """Decide the row."""
        settle(state["faults"])
        of_text = {one.candidate.text: one for one in state["judgements"]}
        judgements = tuple(replace(of_text[one.text], candidate=one) for one in state["candidates"])
        settings, query = self._settings, state["query"]
        pairs = make_pairs(settings.pairing, query, judgements, settings.margin, settings.seed)
        status, reason = decide(judgements, paired=bool(pairs))
        faults = [*state["faults"], *_unscored(judgements)]
        detail = "; ".join(map(str, faults))
        return {"outcome": Outcome(query, status, reason, detail, state["examples"], judgements, pairs)}


def decide(judgements: tuple[Judgement, ...], *, paired: bool) -> tuple[Status, str]:
    """Status and reason of a row.

    Without a pair, a row is rejected only if every text that there is has a verdict: a missing verdict could have been
    the other half of a pair, so the row is unscored. Texts that could not be generated are missing from the sample, not
    from the judgement, and do not count.
    """
    if paired:
        return "accepted", "paired"
    if not judgements:
        return "failed", "no_candidates"
    labels = {one.verdict.label for one in judgements}
    if None in labels:
        return "unscored", "too_few_verdicts"
    if len(labels) == 2:
        return "rejected", "no_margin"
    return "rejected", "all_good" if labels == {"good"} else "all_bad"


def _unscored(judgements: tuple[Judgement, ...]) -> list[Fault]:
    return [
        Fault(f"candidate {one.candidate.index} unscored", one.verdict.unscored)
        for one in judgements
        if one.verdict.unscored is not None
    ]
