"""The arms of the experiment, as data: where each starts, and what rewards it (arXiv 2508.21476, tables 2 and 3)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Arm:
    """A model to compare: the base as it is or after SFT, then nothing more, or GRPO with a reward."""

    name: str
    start: Literal["base", "sft"]
    reward: Literal["judge", "reward model"] | None = None

    @property
    def folder(self) -> str:
        """The run that makes it, in the folder of the whole."""
        return self.name.lower().replace("+", "-")


ARMS = (
    Arm("base", "base"),
    Arm("SFT", "sft"),
    Arm("RM+RL", "base", "reward model"),
    Arm("Judge+RL", "base", "judge"),
    Arm("SFT+RM+RL", "sft", "reward model"),
    Arm("SFT+Judge+RL", "sft", "judge"),
)
