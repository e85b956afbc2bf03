"""The sizes of model that are measured, and estimates of what each takes; no torch.

The three large shapes are those of Qwen2.5's configurations with its vocabulary, since the logits of 150,000 entries
are a large part of the work. `tiny` only shows that everything runs; `embedded` is the policy that learns for real.
"""

from dataclasses import dataclass

from kindling.rl.policy.base import Shape as Policy
from kindling.rl.training.plan import Shape, make_plan
from kindling.rl.training.settings import GrpoSettings

GB = 10**9


def _qwen(hidden: int, layers: int, heads: int, shared: int, feed_forward: int, entries: int, *, tied: bool) -> Shape:
    return Shape(
        hidden, layers, heads, shared, hidden // heads, feed_forward, entries,
        tied=tied, biased=True, normed_heads=False,
    )  # fmt: skip


def _policy(size: Policy) -> Shape:
    return Shape(
        size.hidden, size.layers, size.heads, size.key_value_heads, size.hidden // size.heads, size.feed_forward,
        size.entries, tied=True, biased=False, normed_heads=True,
    )  # fmt: skip


TINY_POLICY = Policy(hidden=128, layers=2, heads=4, key_value_heads=2, feed_forward=256, entries=1024)
SHAPES = {
    "tiny": _policy(TINY_POLICY),
    "embedded": _policy(Policy()),
    "0.5B": _qwen(896, 24, 14, 2, 4864, 151_936, tied=True),
    "1.5B": _qwen(1536, 28, 12, 2, 8960, 151_936, tied=True),
    "7B": _qwen(3584, 28, 28, 4, 18_944, 152_064, tied=False),
}


@dataclass(frozen=True, slots=True)
class Workload:
    """What one measurement does: rollouts of `prompts` times `group` texts of at most `tokens`, `steps` of them.

    `warm` of the steps are not counted: they load kernels and fill caches.
    """

    prompts: int = 16
    group: int = 8
    tokens: int = 256
    prompt_tokens: int = 128
    steps: int = 5
    warm: int = 1

    @property
    def texts(self) -> int:
        """Texts of one rollout."""
        return self.prompts * self.group

    def settings(self) -> GrpoSettings:
        """As the settings of `kindling train grpo`: the defaults, which are LoRA in bf16."""
        return GrpoSettings(
            prompts=self.prompts, group=self.group, completion_tokens=self.tokens, prompt_tokens=self.prompt_tokens,
            max_steps=self.steps, save_every=1000, epochs=1000,
        )  # fmt: skip


SMALL = Workload(prompts=2, group=4, tokens=16, steps=3)
USUAL = Workload()


def workload(shape: str) -> Workload:
    """The work that `shape` is given."""
    return SMALL if shape == "tiny" else USUAL


def trainer_bytes(shape: str) -> int:
    """Memory of the trainer: weights, adapters with their gradients and moments, activations."""
    work = workload(shape)
    return make_plan(SHAPES[shape], work.settings(), work.prompts, work.prompt_tokens, gpu=True).memory_total


def engine_bytes(shape: str) -> int:
    """Memory of an engine that holds one rollout: weights, keys and values in 16 bits, 5 GB for graphs and logits."""
    one, work = SHAPES[shape], workload(shape)
    cache = work.texts * (work.prompt_tokens + work.tokens) * one.layers * one.key_value_heads * one.head * 2 * 2
    return one.parameters * 2 + cache + 5 * GB


def engine_share(shape: str, device_bytes: int) -> float:
    """The share of a device that a colocated engine is given: what it needs, and a fifth more."""
    return round(min(0.9, max(0.05, 1.2 * engine_bytes(shape) / device_bytes)), 3)
