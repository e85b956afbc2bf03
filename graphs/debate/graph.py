"""The debate graph, and the debate as a judge.

    START → measure → (positive ∥ negative) → judge → reflect → END

`build` leaves out the nodes of those who are not in the cast. The result is a subgraph of `rejection_sampling`; as a
`Judge` (`DebateJudge`) it stands wherever a judge is asked for.
"""

from collections.abc import Collection
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from kindling.agents.cast import Cast
from kindling.graphs.debate.nodes import DebateNodes, after_judge
from kindling.graphs.debate.state import DebateInput, DebateOutput, DebateState
from kindling.graphs.faults import Fault, attempt, settle
from kindling.records import Candidate, Case, Critique, Example, Judgement, Query, Verdict

DebateGraph = CompiledStateGraph[DebateState, None, DebateInput, DebateOutput]


def build(cast: Cast, show_to: Collection[str] = ()) -> DebateGraph:
    """Compile the debate of `cast`. `show_to` names the critics ("positive", "negative") that see the examples."""
    nodes = DebateNodes(cast, show_to)
    graph = StateGraph(DebateState, input_schema=DebateInput, output_schema=DebateOutput)
    graph.add_node("measure", nodes.measure)
    graph.add_node("judge", nodes.judge)
    graph.add_edge(START, "measure")
    # both critics work in one superstep, so plain edges join them: the judge runs once, after both
    if cast.positive is not None:
        graph.add_node("positive", nodes.positive)
        graph.add_edge("measure", "positive")
        graph.add_edge("positive", "judge")
    if cast.negative is not None:
        graph.add_node("negative", nodes.negative)
        graph.add_edge("measure", "negative")
        graph.add_edge("negative", "judge")
    if cast.positive is None and cast.negative is None:
        graph.add_edge("measure", "judge")
    if cast.reflector is None:
        graph.add_edge("judge", END)
    else:
        graph.add_node("reflect", nodes.reflect)
        graph.add_conditional_edges("judge", after_judge)
        graph.add_edge("reflect", END)
    return graph.compile(name="debate")


async def debate(graph: DebateGraph, query: str, candidate: Candidate, examples: tuple[Example, ...] = ()) -> Judgement:
    """Run `graph` over one candidate. Raises `BudgetSpent` and `UsageError`, and nothing else."""
    start: DebateInput = {"query": query, "candidate": candidate, "examples": examples}
    # version 2 streams values only; version 1 streams every node's update too, and throws them away
    result: Any = await graph.ainvoke(start, version="v2")
    judgement: Judgement = result.value["judgement"]
    return judgement


class DebateJudge:
    """The whole debate behind the contract of `Judge`.

    Examples that critics are to see come with the case, or else from the cast's retriever, so that a text is judged
    here as it is in a curation. Critiques that are handed in are not used: this judge has its own critics. `template`
    is the hash of every debater's template; without it, the judge's own.
    """

    name = "debate"

    def __init__(self, cast: Cast, show_to: Collection[str] = (), template: str = "") -> None:
        self._graph = build(cast, show_to)
        self._retriever = cast.retriever if {"positive", "negative"} & set(show_to) else None
        self.template = template or cast.judge.template

    async def judge(self, case: Case, critiques: tuple[Critique, ...] = ()) -> Verdict:
        """Give the verdict that stands after the debate."""
        answer = await attempt("debate", Judgement, self._debate(case))
        if isinstance(answer, Fault):
            settle((answer,))
            return Verdict.none(answer.why, self.name, self.template)
        return answer.verdict

    async def _debate(self, case: Case) -> Judgement:
        examples = case.examples
        if self._retriever is not None and not examples:
            examples = await self._retriever.retrieve(Query(case.query))
        return await debate(self._graph, case.query, Candidate(case.response, "given"), examples)
