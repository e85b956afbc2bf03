"""Settings as the arguments of TRL's configurations, for the machine that they are to run on.

Precision is decided here, never by a library's default: TRL's is bf16 everywhere, which is sixty times slower on a CPU
without it. LoRA keeps the frozen weights in the precision of the computation; whatever is trained is kept in fp32.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kindling.errors import ConfigError
from kindling.rl.training.settings import TrainSettings, micro_batch

if TYPE_CHECKING:
    from peft import LoraConfig

LOGS = ("none", "tensorboard", "trackio", "wandb")
Precision = Literal["fp32", "bf16", "fp16"]


def processes() -> int:
    """How many processes train together: as `accelerate launch` says in the environment."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the one that writes and speaks."""
    return int(os.environ.get("RANK", "0")) == 0


def take_device() -> None:
    """Have this process use the GPU that is its own, where there are some: also for what it loads before it trains."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def precision(settings: TrainSettings) -> Precision:
    """What to compute in. Raises `ConfigError` where this machine cannot do what was asked for."""
    import torch

    gpu = torch.cuda.is_available()
    if settings.precision == "auto":
        return "bf16" if gpu and torch.cuda.is_bf16_supported() else "fp32"
    if settings.precision != "fp32" and not gpu:
        raise ConfigError(f"train.precision = {settings.precision} needs a GPU; add --set train.precision=fp32")
    return settings.precision


def shared(settings: TrainSettings, batch: int, folder: Path, seed: int, log: str) -> dict[str, Any]:
    """The arguments that every trainer takes; `batch` is that of one step, `folder` where checkpoints go."""
    import torch

    size, sums = micro_batch(batch, settings.micro_batch, processes())
    computed = precision(settings)
    return {
        "output_dir": str(folder),
        "seed": seed,
        "data_seed": seed,
        "num_train_epochs": settings.epochs,
        "max_steps": settings.max_steps or -1,
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": sums,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup,  # a share, being below one
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": computed == "bf16",
        "fp16": computed == "fp16",
        "gradient_checkpointing": settings.gradient_checkpointing,
        "logging_steps": settings.log_every,
        "logging_first_step": True,
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "save_total_limit": settings.keep,
        "report_to": log,
        "disable_tqdm": True,
        "trust_remote_code": False,
        "model_init_kwargs": model_arguments(settings),
    }


def model_arguments(settings: TrainSettings) -> dict[str, Any]:
    """How weights are loaded: from safetensors only, frozen ones as they are computed with, trained ones in fp32."""
    names = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
    dtype = names[precision(settings)] if settings.mode == "lora" else "float32"
    return {"dtype": dtype, "use_safetensors": True}


def lora(settings: TrainSettings, *, scalar_head: bool = False) -> "LoraConfig | None":
    """Adapters on all linear layers; None where the whole model is trained."""
    if settings.mode == "full":
        return None
    from peft import LoraConfig

    return LoraConfig(
        task_type="SEQ_CLS" if scalar_head else "CAUSAL_LM",
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules="all-linear",
        modules_to_save=["score"] if scalar_head else None,
    )
