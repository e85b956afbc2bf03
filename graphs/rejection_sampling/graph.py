"""The rejection sampling graph: one query in, one `Outcome` out.

    START → retrieve → generate → debate (one `Send` a distinct text) → pair → END

Without a candidate, or once the budget is spent, it goes from generate straight to pair.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from kindling.agents.cast import Cast
from kindling.errors import ConfigError
from kindling.graphs.debate import build as build_debate
from kindling.graphs.rejection_sampling.nodes import SamplingNodes
from kindling.graphs.rejection_sampling.settings import Settings
from kindling.graphs.rejection_sampling.state import RowInput, RowOutput, RowState
from kindling.records import Outcome, Query

SamplingGraph = CompiledStateGraph[RowState, None, RowInput, RowOutput]


def build(cast: Cast, settings: Settings | None = None) -> SamplingGraph:
    """Compile the graph of `cast`. Raises `ConfigError` if nobody in it generates."""
    if not cast.generators:
        raise ConfigError("rejection sampling needs a generator in its cast; name one with --source")
    settings = settings or Settings()
    nodes = SamplingNodes(cast, settings, build_debate(cast, settings.show_to))
    graph = StateGraph(RowState, input_schema=RowInput, output_schema=RowOutput)
    graph.add_node("retrieve", nodes.retrieve)
    graph.add_node("generate", nodes.generate)
    graph.add_node("debate", nodes.debate)
    graph.add_node("pair", nodes.pair)
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "generate")
    graph.add_conditional_edges("generate", nodes.to_debates, ["debate", "pair"])
    graph.add_edge("debate", "pair")
    graph.add_edge("pair", END)
    return graph.compile(name="rejection_sampling")


def sampler(graph: SamplingGraph) -> Callable[[Query], Awaitable[Outcome]]:
    """`graph` as the work that `engine.run_rows` does on a row. It raises `BudgetSpent`, or what a bug raises."""

    async def sample(query: Query) -> Outcome:
        # version 2 streams values only; version 1 streams every node's update too, and throws them away
        result: Any = await graph.ainvoke({"query": query}, version="v2")
        outcome: Outcome = result.value["outcome"]
        return outcome

    return sample
