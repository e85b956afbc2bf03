"""The graphs as LangGraph Studio opens them (`langgraph.json`), played by the embedded cast: no network, no key.

The task pack and your edited templates are those of the `kindling.toml` in the working folder, if there is one. The
input is plain JSON: `{"query": {"text": "…"}}` for rejection sampling, and for a debate
`{"query": "…", "candidate": {"text": "…", "source": "typed"}, "examples": []}`.
"""

from kindling.agents.cast import Cast
from kindling.agents.embedded.cast import embedded_cast
from kindling.agents.retriever import open_retriever
from kindling.config import Config, load_config
from kindling.graphs import debate as debate_graph
from kindling.graphs import rejection_sampling as sampling_graph
from kindling.prompts.taskpack import load_pack


def debate() -> debate_graph.DebateGraph:
    """Build the debate."""
    config = load_config()
    return debate_graph.build(_cast(config), config.retriever.show_to)


def rejection_sampling() -> sampling_graph.SamplingGraph:
    """Build rejection sampling."""
    config = load_config()
    return sampling_graph.build(_cast(config), sampling_graph.Settings.of(config, seed=0))


def _cast(config: Config) -> Cast:
    pack = load_pack(config.project.task, config.prompts_dir / config.project.task)
    return embedded_cast(pack, open_retriever(config, pack))
