"""Rollouts by vLLM: what it is given, what is missing, and the proof that new weights reach it.

An engine that goes on sampling with old weights looks like training that does not work, and nothing says so. So before
the first step the proof moves the trainable weights by seeded noise, enough of it that the trainer's own
log-probabilities change by `EFFECT`, has the weights sent to the engine as every step does, samples, and compares the
engine's log-probabilities with those that the trainer gives to the same tokens; before that it does so with the weights
as they are. Afterwards they are put back bit by bit, and sent again.

Left out: DeepSpeed ZeRO-3, where no process holds a weight that it could move; there only the first half is done, and
the log says so.
"""

import logging
import os
from collections.abc import Callable, Iterator
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
EFFECT = 0.5  # nats a token, to be aimed at
LEAST_EFFECT = 0.05  # and so much, or ten times what rounding makes, for the proof to tell anything
SHARE = 0.2  # of the effect may be left between vLLM and the trainer
NOISES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)  # of each weight's own standard deviation
TOKENS = 16
PROMPTS = 4


Tokens = tuple[list[int], list[int]]
"""A prompt and what was written to it, as token ids."""


class StaleWeights(ConfigError):
    """The engine does not sample with the trainer's weights."""


def installed(settings: VllmSettings) -> None:
    """See that vllm is there if `settings` ask for it; needs no torch. Raises `ConfigError`."""
    if settings.mode != "off" and find_spec("vllm") is None:
        raise ConfigError(f"--vllm {settings.mode}: vllm is not installed; pip install 'kindling[vllm]'")


def check(settings: VllmSettings) -> None:
    """See that this machine can do what `settings` ask for. Raises `ConfigError` that names what is missing."""
    if settings.mode == "off":
        return
    # read when vllm is imported; standard output is the command's
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    import torch

    if settings.mode == "server":
        if not torch.cuda.is_available():
            raise ConfigError("--vllm server: weights go to the server by NCCL, which needs a CUDA device here")
        _check_server(settings.url)
    elif not torch.cuda.is_available():
        # an engine in this process, and a cache that leaves memory to the trainer
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
    import torch

    if settings.mode == "colocate" and not torch.cuda.is_available():
        _keep_unpacked()
    try:
        yield
    except (RuntimeError, ValueError, ConnectionError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ConfigError(f"--vllm {settings.mode}: vLLM did not start: {first}") from error


def _keep_unpacked() -> None:
    """Have vLLM compute with a CPU's linear weights as they are.

    Where the CPU has AVX-512 or AMX it would pack them once, and go on with the packed ones whatever is loaded later.
    """
    from vllm import _custom_ops
    from vllm.model_executor.layers import utils

    _custom_ops._supports_onednn = False
    utils.check_cpu_sgl_kernel = lambda *_: False


def proof(trainer: "GRPOTrainer", tolerance: float) -> "TrainerCallback":
    """A callback that makes the proof when training begins. It raises `StaleWeights` if it fails."""
    from transformers import TrainerCallback

    class Proof(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            prove(trainer, tolerance)

    return Proof()


def prove(trainer: "GRPOTrainer", tolerance: float) -> tuple[float, float]:
    """Mean differences of log-probabilities, with the weights as they are and with moved ones.

    Raises `StaleWeights` if the first is larger than `tolerance` (nats a token), or the second than a fifth of what
    moving them did. Weights and random states are afterwards what they were.
    """
    import torch

    chance = torch.random.get_rng_state()
    try:
        texts, own = sampled(trainer)
        if not own <= tolerance:
            raise StaleWeights(
                f"vLLM's log-probabilities differ from the trainer's by {own:.3f} nats a token before any step"
                f" (vllm.tolerance = {tolerance:g}): it serves another model, precision or temperature"
            )
        if _in_pieces(trainer):
            LOG.warning("vLLM: under ZeRO-3 it is not proven that new weights reach it, only that the first ones did")
            return own, own
        moved, effect = _after_moving(trainer, texts, max(LEAST_EFFECT, 10 * own))
        _send(trainer)
    finally:
        torch.random.set_rng_state(chance)
    if not moved <= SHARE * effect:
        raise StaleWeights(
            f"new weights do not reach vLLM: they were moved by {effect:.3f} nats a token, and its log-probabilities"
            f" are {moved:.3f} away from the trainer's (before: {own:.3f})"
        )
    return own, moved


def _after_moving(trainer: "GRPOTrainer", texts: list[Tokens], least: float) -> tuple[float, float]:
    """The difference with moved weights, and what moving them did to the trainer's own log-probabilities.

    Raises `StaleWeights` if no noise does as much as `least`.
    """
    before = [_log_probabilities(trainer, *text) for text in texts]
    for noise in NOISES:
        with _moved(trainer, noise):
            after = [_log_probabilities(trainer, *text) for text in texts]
            effect = _everywhere(min, _gap(before, after))
            if effect >= EFFECT or (noise == NOISES[-1] and effect >= least):
                return sampled(trainer)[1], effect
    raise StaleWeights("the model says the same whatever its weights are, so it cannot be seen which ones vLLM has")


def _in_pieces(trainer: "GRPOTrainer") -> bool:
    plugin = trainer.args.deepspeed_plugin
    return plugin is not None and plugin.zero_stage == 3


def sampled(trainer: "GRPOTrainer") -> tuple[list[Tokens], float]:
    """A few texts of vLLM's, and how far its log-probabilities of them are from ours: mean, absolute, nats a token.

    Weights are sent first, as before every rollout. Tokens are drawn without top-p and top-k, which vLLM's numbers
    would include and the trainer's do not.
    """
    import torch

    engine = trainer.vllm_generation
    _send(trainer)
    asked = trainer.train_dataset.select(range(min(PROMPTS, len(trainer.train_dataset))))["prompt"]
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
    texts = [(one, list(other)) for one, other in zip(prompts, written, strict=True)]
    theirs = [torch.tensor([token[0] for token in row]) for row in said]
    return texts, _everywhere(max, _gap([_log_probabilities(trainer, *text) for text in texts], theirs))


def _send(trainer: "GRPOTrainer") -> None:
    try:
        trainer.vllm_generation.sync_weights()
    except Exception as error:
        raise StaleWeights(f"weights cannot be sent to vLLM: {type(error).__name__}: {error}") from error


def _gap(ones: "list[torch.Tensor]", others: "list[torch.Tensor]") -> float:
    import torch

    return float(torch.cat([(one - other).abs() for one, other in zip(ones, others, strict=True)]).mean())


def _everywhere(pick: Callable[[list[float]], float], value: float) -> float:
    """The smallest or largest of the processes' values, so that all come to the same decision."""
    from accelerate.utils import gather_object

    return pick(gather_object([value]))


def _log_probabilities(trainer: "GRPOTrainer", prompt: list[int], written: list[int]) -> "torch.Tensor":
    """What the trainer's model gives to each written token, at the temperature of the rollouts."""
    import torch

    ids = torch.tensor([[*prompt, *written]], device=trainer.accelerator.device)
    with torch.no_grad():
        found, *_ = trainer._get_per_token_logps_and_entropies(  # the very computation of the training step
            trainer.model, ids, torch.ones_like(ids), len(written)
        )
    return found[0].float().cpu()


@contextmanager
def _moved(trainer: "GRPOTrainer", noise: float) -> Iterator[None]:
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
                # half of a new adapter's weights are all zero
                piece.add_(torch.randn(piece.shape, generator=source).to(piece) * noise * (spread or 0.02))
        yield
    finally:
        for weight, old in zip(trained, kept, strict=True):
            local(weight).copy_(old)
