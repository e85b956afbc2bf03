"""What a stage is trained with.

One class a stage; its defaults suit LoRA on a model of some billion parameters. `resolve` lays over them, in this
order, what the embedded model needs instead, the preset, and the values of `--set`; what comes out stands in run.json.

A batch counts what one optimizer step sees in all processes together, so that the same settings mean the same training
on one device and on eight. `micro_batch` is only an upper limit: what fits into memory at once.
"""

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kindling.errors import ConfigError

Stage = Literal["sft", "rm", "grpo"]
STAGES: tuple[Stage, ...] = ("sft", "rm", "grpo")
PRESETS = ("default", "paper")
S = TypeVar("S", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainSettings(_Section):
    """What all stages share. Steps are optimizer steps."""

    epochs: float = Field(3.0, gt=0)
    max_steps: int | None = Field(None, ge=1, description="end after so many steps, whatever epochs says")
    micro_batch: int = Field(8, ge=1, description="sequences at once in one process, at most")
    learning_rate: float = Field(2e-4, gt=0)
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps")
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    mode: Literal["lora", "full"] = "lora"
    lora_rank: int = Field(16, ge=1)
    lora_alpha: int = Field(32, ge=1)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto: bf16 where a GPU has it")
    gradient_checkpointing: bool = False
    save_every: int = Field(50, ge=1, description="steps between checkpoints")
    keep: int = Field(2, ge=1, description="checkpoints that are kept, besides the best")
    log_every: int = Field(1, ge=1, description="steps between two lines of metrics")


class SftSettings(TrainSettings):
    """Supervised fine-tuning on the assistant's turn alone."""

    batch: int = Field(32, ge=1)
    max_tokens: int = Field(768, ge=8, description="of prompt and response; longer ones are cut")
    packing: bool = False


class RewardModelSettings(TrainSettings):
    """A scalar head, Bradley-Terry. `swapped` and `max_gap` make the data control for request and length."""

    epochs: float = Field(2.0, gt=0)
    batch: int = Field(128, ge=1, description="pairs")
    max_tokens: int = Field(768, ge=8)
    held_out: float = Field(0.1, ge=0, le=0.5, description="share of the queries that only measure")
    swapped: float = Field(0.0, ge=0, description="for each pair so many more that only the request tells apart")
    max_gap: int | None = Field(None, ge=0, description="keep only pairs whose lengths differ by so many characters")
    center: float | None = Field(None, ge=0, description="weight of the term that keeps scores around zero")


class GrpoSettings(TrainSettings):
    """Group relative policy optimisation. A rollout is `prompts` times `group` completions."""

    epochs: float = Field(1.0, gt=0)
    learning_rate: float = Field(1e-5, gt=0)
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "constant_with_warmup"
    warmup: float = Field(0.0, ge=0, lt=1)
    prompts: int = Field(16, ge=1, description="prompts of one rollout, over all processes")
    group: int = Field(8, ge=2, description="completions of one prompt")
    mini_batch: int | None = Field(None, ge=1, description="prompts of one step; none: the whole rollout")
    iterations: int = Field(1, ge=1, description="passes over one rollout")
    prompt_tokens: int = Field(256, ge=8, description="prompts that are longer are left out, and counted")
    completion_tokens: int = Field(256, ge=1)
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    kl: float = Field(0.01, ge=0, description="weight of the distance from the model that training starts from")
    entropy: float = Field(0.0, ge=0)
    clip: float = Field(0.2, gt=0)
    clip_high: float | None = Field(None, gt=0)
    loss: Literal["grpo", "dapo", "bnpo", "dr_grpo", "cispo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    mask_truncated: bool = False
    shadow_every: int = Field(5, ge=1, description="steps between two looks of the shadow judge")

    @property
    def completions(self) -> int:
        """Completions of one rollout."""
        return self.prompts * self.group

    @property
    def batch(self) -> int:
        """Completions of one optimizer step."""
        return (self.mini_batch or self.prompts) * self.group

    @property
    def steps_per_rollout(self) -> int:
        """Optimizer steps that one rollout serves."""
        return self.completions // self.batch * self.iterations

    @model_validator(mode="after")
    def _whole(self) -> "GrpoSettings":
        if self.mini_batch is not None and self.prompts % self.mini_batch:
            raise ValueError(f"prompts ({self.prompts}) must be a multiple of mini_batch ({self.mini_batch})")
        return self


class VllmSettings(_Section):
    """Rollouts by vLLM. Tensor and data parallelism of a server are the server's own; see docs/train.md."""

    mode: Literal["off", "colocate", "server"] = "off"
    gpu_memory: float = Field(0.3, gt=0, le=1, description="share of a device that a colocated engine may take")
    tensor_parallel: int = Field(1, ge=1, description="devices of one colocated engine")
    sleep: bool = Field(False, description="give the engine's memory back while the weights are updated")
    max_model_tokens: int | None = Field(None, ge=8)
    url: str = Field("http://127.0.0.1:8000", description="of the server")
    group_port: int = Field(51216, ge=1, le=65535, description="where weights are sent to the server")
    timeout_s: float = Field(240.0, gt=0, description="to wait for the server")
    tolerance: float = Field(0.1, gt=0, description="mean difference of log-probabilities that the preflight allows")


_CLASSES: dict[Stage, type[TrainSettings]] = {"sft": SftSettings, "rm": RewardModelSettings, "grpo": GrpoSettings}
# what the paper prints; of its SFT it says only how many pairs there were
_PAPER: dict[Stage, dict[str, Any]] = {
    "sft": {},
    "rm": {
        "epochs": 5, "batch": 128, "micro_batch": 16, "learning_rate": 2e-4, "schedule": "cosine", "warmup": 0.1,
        "mode": "lora", "lora_rank": 16, "precision": "bf16",
    },
    "grpo": {
        "epochs": 5, "prompts": 32, "group": 4, "mini_batch": 16, "prompt_tokens": 256, "completion_tokens": 512,
        "learning_rate": 3e-7, "kl": 0.001, "entropy": 0.0, "mode": "full",
    },
}  # fmt: skip
# two million parameters, texts of a few dozen tokens, two cores
_EMBEDDED: dict[Stage, dict[str, Any]] = {
    "sft": {"mode": "full", "learning_rate": 1e-3, "batch": 16, "micro_batch": 32, "max_tokens": 128},
    "rm": {"mode": "full", "learning_rate": 3e-4, "batch": 32, "micro_batch": 32, "max_tokens": 128},
    "grpo": {
        "mode": "full", "learning_rate": 2e-4, "prompts": 8, "group": 8, "micro_batch": 64, "prompt_tokens": 64,
        "completion_tokens": 64, "kl": 0.1,
    },
}  # fmt: skip


def resolve(
    stage: Stage, preset: str = "default", *, embedded: bool = False, given: Mapping[str, Any] | None = None
) -> TrainSettings:
    """The settings of `stage`: defaults, the embedded model's, the preset's, then `given`.

    Raises `ConfigError` in one line for an unknown preset, name or value.
    """
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; there are {', '.join(PRESETS)}")
    values = {**(_EMBEDDED[stage] if embedded else {}), **(_PAPER[stage] if preset == "paper" else {}), **(given or {})}
    return section(_CLASSES[stage], "train", values)


def section(kind: type[S], name: str, values: Mapping[str, Any]) -> S:
    """A settings class from plain values. Raises `ConfigError` that names the first wrong one as `name.FIELD`."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join((name, *map(str, first["loc"])))
        known = ", ".join(sorted(kind.model_fields))
        message = f"no such setting; there are {known}" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigError(f"--set {where}: {message.removeprefix('Value error, ')}") from error


def split(overrides: Iterable[str], sections: Iterable[str]) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Sort `--set` values: those of `sections` by section and name, and the rest, which belongs to kindling.toml."""
    taken: dict[str, dict[str, Any]] = {name: {} for name in sections}
    rest = []
    for override in overrides:
        name, equals, value = override.partition("=")
        head, _, field = name.strip().partition(".")
        if head not in taken or not equals or not field:
            rest.append(override)
            continue
        try:
            taken[head][field] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            taken[head][field] = value.strip()
    return taken, tuple(rest)


def micro_batch(batch: int, at_most: int, processes: int) -> tuple[int, int]:
    """Sequences at once in each process, and how often gradients are summed, so that a step sees `batch` in all.

    Raises `ConfigError` if the processes cannot share the batch evenly.
    """
    each, odd = divmod(batch, processes)
    if odd or not each:
        raise ConfigError(f"a batch of {batch} cannot be shared evenly by {processes} processes; set another batch")
    size = max(size for size in range(1, min(each, at_most) + 1) if each % size == 0)
    return size, each // size
