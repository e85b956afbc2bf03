"""The players: who plays the refinement game. Its graph never asks what stands behind a contract."""

from collections.abc import Callable
from dataclasses import dataclass

from kindling.agents.explainer import Explainer
from kindling.agents.forger import Forger
from kindling.agents.judge import Judge
from kindling.agents.optimizer import Optimizer
from kindling.game import Rules


@dataclass(frozen=True)
class Players:
    """Everyone who plays. `judge_for` builds the judge of a list of principles.

    `optimizer` rewrites principles, `tactician` tactics. `brief_chars` is the task's idea of a brief text, for the
    measured facts.
    """

    judge_for: Callable[[Rules], Judge]
    forger: Forger
    explainer: Explainer
    optimizer: Optimizer
    tactician: Optimizer
    brief_chars: int
