"""The refinement graph: a standing in, round after round, the last standing out.

    START → sample → forge → detect → (sharpen) → (examine → (explain)) → (propose ⇄ gate) → close → sample or END

A step in brackets is left out where it has nothing to do: no forgery was caught, there are no labelled cases, no error,
no lesson. The finished round goes to `on_round` before the next one begins, so a game that stops anywhere goes on from
there. Once `stop` is set, the node at work finishes and the next one raises `Stopped`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Protocol

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from kindling.agents.players import Players
from kindling.game import Standing
from kindling.graphs.refinement.gate import Gate
from kindling.graphs.refinement.nodes import GameNodes
from kindling.graphs.refinement.settings import Material, Settings
from kindling.graphs.refinement.state import GameInput, GameOutput, GameState

RefinementGraph = CompiledStateGraph[GameState, None, GameInput, GameOutput]
STEPS = 9  # nodes of a round; each proposal after the first takes two more


class Node(Protocol):
    """What LangGraph takes for a node: its argument is called `state`."""

    def __call__(self, state: GameState) -> Awaitable[dict[str, Any]]:
        """The channels that change."""
        ...


class Stopped(Exception):
    """The game was asked to stop; the round at hand is played again when it goes on."""


def build(
    players: Players,
    gate: Gate,
    material: Material,
    settings: Settings | None = None,
    on_round: Callable[[Standing], None] = lambda standing: None,
    stop: asyncio.Event | None = None,
) -> RefinementGraph:
    """Compile the game. `on_round` is called with the standing after every round, before anything else happens."""
    nodes = GameNodes(players, gate, material, settings or Settings(), on_round)
    graph = StateGraph(GameState, input_schema=GameInput, output_schema=GameOutput)
    for node in (
        nodes.sample, nodes.forge, nodes.detect, nodes.sharpen, nodes.examine, nodes.explain, nodes.propose, nodes.gate,
        nodes.close,
    ):  # fmt: skip
        graph.add_node(node.__name__, _unless(stop, node))
    graph.add_edge(START, "sample")
    graph.add_edge("sample", "forge")
    graph.add_edge("forge", "detect")
    graph.add_conditional_edges("detect", nodes.after_detect)
    graph.add_conditional_edges("sharpen", nodes.after_sharpen)
    graph.add_conditional_edges("examine", nodes.after_examine)
    graph.add_conditional_edges("explain", nodes.after_explain)
    graph.add_edge("propose", "gate")
    graph.add_conditional_edges("gate", nodes.after_gate)
    graph.add_conditional_edges("close", nodes.after_close, ["sample", END])
    return graph.compile(name="refinement")


def _unless(stop: asyncio.Event | None, node: Callable[[GameState], Awaitable[dict[str, Any]]]) -> Node:
    """`node`, or `Stopped` if the game was asked to stop before it began."""

    @wraps(node)
    async def checked(state: GameState) -> dict[str, Any]:
        if stop is not None and stop.is_set():
            raise Stopped
        return await node(state)

    return checked


async def play(graph: RefinementGraph, standing: Standing, settings: Settings) -> Standing:
    """Play from `standing` to the end. Raises `Stopped`, `BudgetSpent`, `UsageError`, or what a bug raises."""
    if len(standing.rounds) >= settings.rounds or standing.stale >= settings.patience:
        return standing
    limit = settings.rounds * STEPS + 2 * settings.looks + STEPS
    result: Any = await graph.ainvoke({"standing": standing}, {"recursion_limit": limit}, version="v2")
    last: Standing = result.value["standing"]
    return last
