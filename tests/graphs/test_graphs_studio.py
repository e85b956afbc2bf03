"""langgraph.json: its paths resolve as the LangGraph server resolves them, and what they build works on plain JSON."""

import importlib.util
import inspect
from pathlib import Path

import orjson
import pytest
from langgraph.graph.state import CompiledStateGraph

ROOT = Path(__file__).parents[2]
SPECS = orjson.loads((ROOT / "langgraph.json").read_bytes())["graphs"]
INPUTS = {
    "debate": {"query": "简短的一句话", "candidate": {"text": "一切都好。", "source": "typed"}, "examples": []},
    "rejection_sampling": {"query": {"text": "简短的一句话"}},
}


@pytest.fixture
def factory(request, monkeypatch, tmp_path):
    """Import the file by its path, from another folder, as the server does."""
    path, _, name = SPECS[request.param].partition(":")
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location(f"studio_{name}", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


@pytest.mark.parametrize("factory", SPECS, indirect=True)
async def test_every_graph_is_built_and_runs_offline(factory):
    assert not inspect.signature(factory).parameters, "the server calls a factory without arguments"
    graph = factory()
    assert isinstance(graph, CompiledStateGraph)
    result = await graph.ainvoke(INPUTS[graph.name])
    if graph.name == "debate":
        assert result["judgement"].verdict.label in ("good", "bad")
        assert result["judgement"].facts[0].kind == "brief"
    else:
        assert len(result["outcome"].judgements) == 4
        assert all(one.verdict.unscored is None for one in result["outcome"].judgements)


def test_both_graphs_are_offered():
    assert set(SPECS) == set(INPUTS)
