"""What one step of a run looked like: all that the firewall sees of it, as plain data that goes to disk and back."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from kindling.rl.firewall.canaries import CanaryResult
from kindling.rl.firewall.shadow import ShadowScore

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion and its reward, None where it could not be judged.

    `typical` is the median length (characters) of good answers to that kind of query, where one is known: what it
    explains is taken out of the lengths, so that a step of long requests does not look like growth.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    query: str
    response: str
    reward: float | None
    typical: float | None = None


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step: its completions, what was judged besides, and what the trainer logged (None where it did not).

    limit_share     share of completions cut off at the length limit, in [0, 1]
    kl              KL divergence from the reference model in nats a token; none without a reference
    entropy         mean entropy of the policy's next-token distribution, in nats
    stopped         why nothing can be scored any more, from `Reward.stopped`
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    step: int
    samples: tuple[Sample, ...] = ()
    canaries: tuple[CanaryResult, ...] = ()
    shadow: tuple[ShadowScore, ...] = ()
    limit_share: float | None = None
    kl: float | None = None
    entropy: float | None = None
    stopped: str | None = None

    @property
    def unscored(self) -> float | None:
        """Share of the completions without a reward."""
        return share([sample.reward is None for sample in self.samples])

    @property
    def without_advantage(self) -> float | None:
        """Share of the groups (completions of one query) that teach nothing: all scored rewards equal, or too few.

        TRL's `frac_reward_zero_std` counts a group with one scored row, or none, as one that teaches.
        """
        groups: dict[str, set[float]] = defaultdict(set)
        for sample in self.samples:
            groups[sample.query] |= set() if sample.reward is None else {sample.reward}
        return share([len(rewards) < 2 for rewards in groups.values()])


def share(flags: Sequence[bool]) -> float | None:
    """The share of true flags; None of none."""
    return sum(flags) / len(flags) if flags else None
