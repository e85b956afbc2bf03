"""What there is to measure, in which order, and how long each should take.

    vllm            vLLM alone on the rollout's prompts: what rollouts can at best be
    grpo            `kindling train grpo` with the trainer's own generation
    grpo-colocate   the same with vLLM on the trainer's device
    grpo-server     the same with vLLM on a second device
    curve           SFT and GRPO of the embedded policy: what it learns
    curve-colocate  the same with rollouts by vLLM

Times are guesses from the shapes until a machine has been measured; they are made for one H100-class device. Starting
counts most: imports, weights, and vLLM's compilation.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.gpu.shapes import SHAPES, engine_bytes, trainer_bytes, workload

SPEED = ("vllm", "grpo", "grpo-colocate", "grpo-server")
CURVES = ("curve", "curve-colocate")
NAMES = (*SPEED, *CURVES)
DEFAULT_SHAPES = ("embedded", "0.5B", "1.5B", "7B")
LEARNERS = ("tiny", "embedded")
CURVE_STEPS = {"tiny": 4, "embedded": 100}
LIMIT_MINUTES = 8.0  # of one measurement: two of them would not fit into a lease of ten minutes

BANDWIDTH = 1.5e12  # bytes a second that decoding reaches
FLOPS = 1e14  # that short sequences in small batches reach
LAUNCH_S = 1.0e-3  # a layer of one decoding step that Python starts kernel by kernel
GRAPH_S = 0.1e-3  # the same replayed as a CUDA graph
START_S, ENGINE_S = 40.0, 90.0  # imports and weights; vLLM with compilation and graphs
DISK = 5e8  # bytes a second
CURVE_S = {"tiny": 60.0, "embedded": 240.0}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row. `device` is cuda or cpu."""

    name: str
    shape: str
    device: str

    @property
    def by_vllm(self) -> bool:
        """Whether vLLM takes part."""
        return self.name not in ("grpo", "curve")

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same as one of another run."""
        return self.name, self.shape, self.device

    @property
    def gpus(self) -> int:
        """Devices that it takes."""
        return 2 if self.name == "grpo-server" else 1

    def bytes(self) -> int:
        """Memory that it should take, on all its devices together."""
        trainer = 0 if self.name == "vllm" else trainer_bytes(self.shape)
        return trainer + (engine_bytes(self.shape) if self.by_vllm else 0)

    def seconds(self) -> float:
        """How long it should take, without the making of its model."""
        start = (START_S if self.name != "vllm" else 0) + (ENGINE_S if self.by_vllm else 0)
        if self.name in CURVES:
            return start + CURVE_S[self.shape]
        shape, work = SHAPES[self.shape], workload(self.shape)
        a_token = shape.layers * (GRAPH_S if self.by_vllm else LAUNCH_S) + 2 * shape.parameters / BANDWIDTH
        rollout = work.tokens * a_token
        learned = work.texts * (work.tokens + work.prompt_tokens)
        update = 0 if self.name == "vllm" else 4.5 * shape.parameters * learned / FLOPS
        return start + work.steps * (rollout + update)

    def flat(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def make_plan(only: Sequence[str], shapes: Sequence[str], device: str) -> list[Measurement]:
    """The measurements of `only` on `shapes`, a shape at a time, and the curves last."""
    speed = [
        Measurement(name, shape, device)
        for shape in shapes
        for name in SPEED
        if name in only and shape != "embedded"  # it is there to learn; the others are there to be fast
    ]
    curves = [
        Measurement(name, shape, device) for shape in shapes if shape in LEARNERS for name in CURVES if name in only
    ]
    return speed + curves


def model_seconds(shape: str) -> float:
    """How long it takes to make a model of `shape` with random weights, and to write it."""
    return 30 + 2 * SHAPES[shape].parameters / DISK


def minutes(plan: Sequence[Measurement]) -> float:
    """How long all of `plan` should take, the models included."""
    shapes = {one.shape for one in plan if one.name in SPEED}
    return (sum(map(model_seconds, shapes)) + sum(one.seconds() for one in plan)) / 60
