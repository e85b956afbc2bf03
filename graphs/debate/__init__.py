"""The debate: (positive ∥ negative) → judge → reflect, over one candidate."""

from kindling.graphs.debate.graph import DebateGraph, DebateJudge, build, debate

__all__ = ["DebateGraph", "DebateJudge", "build", "debate"]
