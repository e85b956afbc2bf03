"""The cast: who plays which role. Graphs are built from a cast and never ask what stands behind a contract."""

from dataclasses import dataclass

from kindling.agents.critic import Critic
from kindling.agents.generator import Generator
from kindling.agents.judge import Judge
from kindling.agents.reflector import Reflector
from kindling.agents.retriever import Retriever


@dataclass(frozen=True)
class Cast:
    """Everyone who works on a row. Candidate i is written by `generators[i % len(generators)]`.

    A critic or reflector that is None is left out of the graph: a judge alone, or an ablation. A cast that only judges
    has no generators. `brief_chars` is the task's idea of a brief text, for the measured facts.
    """

    retriever: Retriever
    generators: tuple[Generator, ...]
    positive: Critic | None
    negative: Critic | None
    judge: Judge
    reflector: Reflector | None
    brief_chars: int
