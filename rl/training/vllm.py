"""Rollouts by vLLM: what it is given, what is missing, and the proof that new weights reach it.

An engine that goes on sampling with old weights looks like training that does not work, and nothing says so. So before
the first step the proof moves the trainable weights by seeded noise, has them sent to the engine as every step does,
samples, and compares the engine's log-probabilities with those that the trainer gives to the same tokens. It is done
with the weights as they are and with the moved ones; afterwards the weights are put back bit by bit, and sent again.

Left out: DeepSpeed ZeRO-3, where no process holds a weight that it could move; there only the first half is done, and
the log says so.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from kindling.errors import ConfigError
from kindling.rl.training.settings import VllmSettings

if TYPE_CHECKING:
    import torch
    from transformers import TrainerCallback
    from trl import GRPOTrainer

LOG = logging.getLogger("kindling.rl.training")
NOISE = 0.2  # of each weight's own standard deviation: moves log-probabilities by about one nat
TOKENS = 16
PROMPTS = 4


class StaleWeights(ConfigError):
    """The engine does not sample with the trainer's weights."""


def check(settings: VllmSettings) -> None:
    """See that what `settings` ask for is there. Raises `ConfigError` that names what is missing."""
    if settings.mode == "off":
        return
    if find_spec("vllm") is None:
        raise ConfigError(f"--vllm {settings.mode}: vllm is not installed; pip install 'kindling[vllm]'")
    import torch

    if settings.mode == "server":
        if not torch.cuda.is_available():
            raise ConfigError("--vllm server: weights go to the server by NCCL, which needs a CUDA device here")
        _check_server(settings.url)
    elif not torch.cuda.is_available():
        # read when vllm is imported: an engine in this process, and a cache that leaves memory to the trainer
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        if not _built_for_cpu():
            raise ConfigError("--vllm colocate: no CUDA device here, and this vLLM is not built for CPUs")


def _built_for_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def _check_server(url: str) -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(f"{url.rstrip('/')}/health", timeout=10):  # noqa: S310 - the user's own server
            return
    except (URLError, OSError, ValueError) as error:
        raise ConfigError(f"--vllm server: no vLLM answers at {url}: {error}; start it with vllm serve") from error


def arguments(settings: VllmSettings) -> dict[str, Any]:
    """The settings as TRL's."""
    if settings.mode == "off":
        return {"use_vllm": False}
    return {
        "use_vllm": True,
        "vllm_mode": settings.mode,
        "vllm_gpu_memory_utilization": settings.gpu_memory,
        "vllm_tensor_parallel_size": settings.tensor_parallel,
        "vllm_enable_sleep_mode": settings.sleep,
        "vllm_max_model_length": settings.max_model_tokens,
        "vllm_server_base_url": settings.url,
        "vllm_group_port": settings.group_port,
        "vllm_server_timeout": settings.timeout_s,
    }


@contextmanager
def starting(settings: VllmSettings) -> Iterator[None]:
    """Start the engine inside the block; what it raises while it starts becomes one line."""
    if settings.mode == "off":
        yield
        return
    try:
        yield
    except (RuntimeError, ValueError, ConnectionError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ConfigError(f"--vllm {settings.mode}: vLLM did not start: {first}") from error


def proof(trainer: "GRPOTrainer", tolerance: float) -> "TrainerCallback":
    """A callback that makes the proof when training begins. It raises `StaleWeights` if it fails."""
    from transformers import TrainerCallback

    class Proof(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            prove(trainer, tolerance)

    return Proof()


def prove(trainer: "GRPOTrainer", tolerance: float) -> tuple[float, float]:
    """Mean differences of log-probabilities, with the weights as they are and with moved ones.

    Raises `StaleWeights` if either is larger than `tolerance` (nats a token). Weights and random states are afterwards
    what they were.
    """
    import torch

    random = torch.random.get_rng_state()
    own = difference(trainer)
    if not own <= tolerance:
        raise StaleWeights(
            f"vLLM's log-probabilities differ from the trainer's by {own:.3f} nats a token before any step"
            f" (vllm.tolerance = {tolerance:g}): it serves another model, precision or temperature"
        )
    if _in_pieces(trainer):
        LOG.warning("vLLM: under ZeRO-3 it is not proven that new weights reach it, only that the first ones did")
        torch.random.set_rng_state(random)
        return own, own
    with _moved(trainer):
        moved = difference(trainer)
    trainer.vllm_generation.sync_weights()
    torch.random.set_rng_state(random)
    if not moved <= tolerance:
        raise StaleWeights(
            f"new weights do not reach vLLM: after all of them were moved, its log-probabilities differ from the"
            f" trainer's by {moved:.3f} nats a token (vllm.tolerance = {tolerance:g}, before: {own:.3f})"
        )
    return own, moved


def _in_pieces(trainer: "GRPOTrainer") -> bool:
    plugin = trainer.args.deepspeed_plugin
    return plugin is not None and plugin.zero_stage == 3


def difference(trainer: "GRPOTrainer") -> float:
    """The mean absolute difference, in nats a token, between vLLM's log-probabilities of what it samples and ours.

    Weights are sent first, as before every rollout. Tokens are drawn without top-p and top-k, which vLLM's numbers
    would include and the trainer's do not.
    """
    import torch
    from accelerate.utils import gather_object

    engine = trainer.vllm_generation
    engine.sync_weights()
    asked = [row["prompt"] for row in trainer.train_dataset.select(range(min(PROMPTS, len(trainer.train_dataset))))]
    prompts = [
        trainer.processing_class.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        for turns in asked
    ]
    before = engine.top_p, engine.top_k, engine.max_completion_length
    engine.top_p, engine.top_k, engine.max_completion_length = 1.0, 0, TOKENS
    try:
        _, written, said, _ = engine.generate(prompts, None, 1)
    finally:
        engine.top_p, engine.top_k, engine.max_completion_length = before
    ours = [_log_probabilities(trainer, one, other) for one, other in zip(prompts, written, strict=True)]
    theirs = [torch.tensor([token[0] for token in row]) for row in said]
    gaps = torch.cat([(one.cpu().float() - other).abs() for one, other in zip(ours, theirs, strict=True)])
    return max(gather_object([float(gaps.mean())]))


def _log_probabilities(trainer: "GRPOTrainer", prompt: list[int], written: list[int]) -> "torch.Tensor":
    """What the trainer's model gives to each written token, at the temperature of the rollouts."""
    import torch

    ids = torch.tensor([[*prompt, *written]], device=trainer.accelerator.device)
    with torch.no_grad():
        found, *_ = trainer._get_per_token_logps_and_entropies(  # the very computation of the training step
            trainer.model, ids, torch.ones_like(ids), len(written)
        )
    return found[0]


@contextmanager
def _moved(trainer: "GRPOTrainer") -> Iterator[None]:
    """Every trainable weight moved by seeded noise inside the block, and put back bit by bit after it."""
    import torch

    def local(weight: Any) -> Any:
        # of a sharded weight, the piece that lies here
        return weight.data.to_local() if hasattr(weight.data, "to_local") else weight.data

    trained = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    kept = [local(weight).clone() for weight in trained]
    source = torch.Generator().manual_seed(0)
    try:
        for weight in trained:
            piece = local(weight)
            if piece.numel():
                spread = float(piece.float().std()) if piece.numel() > 1 else 0.0
                noise = torch.randn(piece.shape, generator=source).to(piece)
                piece.add_(noise * (NOISE * spread or 0.02))  # a new adapter's weights are all zero
        yield
    finally:
        for weight, old in zip(trained, kept, strict=True):
            local(weight).copy_(old)
