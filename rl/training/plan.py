"""What a training would take, from the model's config.json alone: no torch, no weights, no GPU.

Counts follow from the shape of a decoder with gated feed-forward layers (Llama, Qwen, Mistral and their kin). Memory
and time are estimates, and are called so:

    weights, gradients, optimizer   bytes for each parameter, by what is trained and in which precision (Adam: two
                                    moments)
    activations                     for each token, layer and hidden unit about 34 bytes in 16 bits (Korthikanti et al.,
                                    arXiv 2205.05198, eq. 2, without the attention matrix, which fused kernels never
                                    store), a tenth of it with checkpointing; and two times 4 bytes of logits
    time                            6 operations for each parameter and token (8 with checkpointing; 4 where weights are
                                    frozen), 2 for each token that is generated (Kaplan et al., arXiv 2001.08361)
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from kindling.errors import InputError
from kindling.rl.training.settings import GrpoSettings, TrainSettings, micro_batch

FLOPS_CPU_CORE = 2.5e10  # reached by fp32 training of small models on one core
FLOPS_GPU = 2e14  # reached on one H100-class device; a guess for others
GENERATION_SHARE = 0.02  # of that rate: decoding one token at a time waits for memory


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder, as its config.json tells it."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    head: int
    feed_forward: int
    entries: int
    tied: bool
    biased: bool
    normed_heads: bool

    @property
    def linears(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each linear map of one layer: attention's four, the feed-forward's three."""
        wide, narrow = self.heads * self.head, self.key_value_heads * self.head
        attention = [(self.hidden, wide), (self.hidden, narrow), (self.hidden, narrow), (wide, self.hidden)]
        return [*attention, *[(self.hidden, self.feed_forward)] * 2, (self.feed_forward, self.hidden)]

    @property
    def parameters(self) -> int:
        """All weights of the language model."""
        wide, narrow = self.heads * self.head, self.key_value_heads * self.head
        layer = sum(one * other for one, other in self.linears) + 2 * self.hidden
        layer += (wide + 2 * narrow) * self.biased + 2 * self.head * self.normed_heads
        return self.layers * layer + self.hidden + self.entries * self.hidden * (1 if self.tied else 2)

    def adapters(self, rank: int) -> int:
        """Weights of adapters of `rank` on every linear map of every layer."""
        return self.layers * sum(rank * (one + other) for one, other in self.linears)


def read_shape(folder: Path) -> Shape:
    """The shape that `folder`/config.json tells. Raises `InputError` if it tells none that is known here."""
    file = folder / "config.json"
    try:
        config = orjson.loads(file.read_bytes())
        kind = str(config.get("model_type", ""))
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        return Shape(
            hidden=hidden,
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            key_value_heads=int(config.get("num_key_value_heads") or heads),
            head=int(config.get("head_dim") or hidden // heads),
            feed_forward=int(config["intermediate_size"]),
            entries=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", False)),
            biased=kind == "qwen2" or bool(config.get("attention_bias", False)),
            normed_heads=kind == "qwen3",
        )
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (AttributeError, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: tells no shape of a model that is known here: {error}") from error


@dataclass(frozen=True, slots=True)
class Work:
    """What a training does, whatever the model is."""

    examples: int
    steps: int
    rollouts: int
    tokens: int
    judgements: int


@dataclass(frozen=True, slots=True)
class Plan(Work):
    """What it would take. Memory in bytes for each process, time in seconds; both are estimates."""

    parameters: int
    trainable: int
    memory: dict[str, int]
    seconds: float

    @property
    def memory_total(self) -> int:
        """All of it."""
        return sum(self.memory.values())


def make_work(settings: TrainSettings, examples: int, tokens_each: float) -> Work:
    """Count what a training on `examples` rows of about `tokens_each` tokens (GRPO: of the prompt alone) comes to."""
    if isinstance(settings, GrpoSettings):
        steps = _count(settings, examples // settings.prompts * settings.steps_per_rollout)
        rollouts = -(-steps // settings.steps_per_rollout)
        completions = rollouts * settings.completions
        return Work(
            examples, steps, rollouts, round(completions * (tokens_each + settings.completion_tokens)), completions
        )
    batch, longest = settings.batch, settings.max_tokens  # type: ignore[attr-defined]
    steps = _count(settings, -(-examples // batch))
    return Work(examples, steps, 0, round(steps * batch * min(tokens_each, longest)), 0)


def make_plan(
    shape: Shape,
    settings: TrainSettings,
    examples: int,
    tokens_each: float,
    *,
    gpu: bool,
    processes: int = 1,
    cores: int = 1,
) -> Plan:
    """Plan the same work of a model of this shape."""
    work = make_work(settings, examples, tokens_each)
    trainable = shape.adapters(settings.lora_rank) if settings.mode == "lora" else shape.parameters
    size, _ = micro_batch(settings.batch, settings.micro_batch, processes)  # type: ignore[attr-defined]
    workers = processes if gpu else cores
    return Plan(
        **asdict(work),
        parameters=shape.parameters,
        trainable=trainable,
        memory=_memory(shape, settings, trainable, size * _longest(settings), gpu=gpu),
        seconds=_seconds(shape, settings, work.tokens, work.judgements, gpu=gpu, workers=workers),
    )


def _longest(settings: TrainSettings) -> int:
    """Tokens of the longest text that is learned from."""
    if isinstance(settings, GrpoSettings):
        return settings.prompt_tokens + settings.completion_tokens
    longest: int = settings.max_tokens  # type: ignore[attr-defined]
    return longest


def _count(settings: TrainSettings, an_epoch: int) -> int:
    """Steps of the whole training."""
    steps = max(1, round(settings.epochs * an_epoch))
    return min(steps, settings.max_steps or steps)


def _memory(shape: Shape, settings: TrainSettings, trainable: int, tokens: int, *, gpu: bool) -> dict[str, int]:
    half = gpu and settings.precision != "fp32"
    frozen = 2 if half else 4
    weights = shape.parameters * frozen + trainable * 4 if settings.mode == "lora" else trainable * 4
    each = shape.layers * shape.hidden * (34 if half else 68)
    if settings.gradient_checkpointing:
        each //= 10
    found = {
        "weights": weights,
        "gradients": trainable * 4,
        "optimizer": trainable * 8,
        "activations": tokens * (each + 8 * shape.entries),
    }
    if isinstance(settings, GrpoSettings) and settings.kl > 0 and settings.mode == "full":
        found["reference model"] = shape.parameters * 4
    return found


def _seconds(shape: Shape, settings: TrainSettings, tokens: int, completions: int, *, gpu: bool, workers: int) -> float:
    rate = (FLOPS_GPU if gpu else FLOPS_CPU_CORE) * workers
    each = 4 if settings.mode == "lora" else 6
    operations = (each + 2 * settings.gradient_checkpointing) * shape.parameters * tokens
    if not isinstance(settings, GrpoSettings):
        return operations / rate
    passes = settings.iterations + (0.5 if settings.kl > 0 else 0)  # the reference reads, and learns nothing
    drawn = 2 * shape.parameters * completions * settings.completion_tokens
    return operations * passes / rate + drawn / (rate * (GENERATION_SHARE if gpu else 0.3))
