"""Drawing texts from a policy: any folder with a causal language model, a tokenizer and a chat template.

Every text has its own source of chance, seeded by the seed, the query and the text's index. Sampling subtracts the
logarithm of exponential noise from the log-probabilities and takes the largest (the Gumbel-max trick): an exact draw
from the distribution. So a text does not depend on which others stand in its batch, as far as the arithmetic of a
batch is that of a single row: where two tokens are as good as equal, the last bit may decide otherwise.

A text is *finished* if the model ended it; what the limit on new tokens cut off is not.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling.errors import InputError
from kindling.rl.formats import prompt
from kindling.rl.policy.memory import LIGHTER, within_memory
from kindling.rl.policy.runtime import hush, prepare

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH = 64
Asked = tuple[str, int]
"""A query, and which of its texts."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How texts are drawn. `temperature` 0 takes the likeliest token each time; `top_p` is in (0, 1]."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 96
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """A text with the place that it has among the texts of its query; `tokens` without the one that ends it."""

    query: str
    index: int
    text: str
    finished: bool
    tokens: int


class Sampler:
    """Draws from the model `model`: a folder, or the name of a model on the hub. One draw at a time.

    Raises `InputError` if there is no model, tokenizer or chat template, `ConfigError` without the `train` extra.
    """

    def __init__(self, model: str, threads: int | None = None, batch: int = BATCH) -> None:
        prepare(threads)
        hush()
        self.name = Path(model).name
        self.size = batch
        self._tokenizer = _load_tokenizer(model)
        self._model = _load_model(model)
        ends = self._model.generation_config.eos_token_id
        self._ends = [ends] if isinstance(ends, int) else list(ends or [self._tokenizer.eos_token_id])

    def draw(self, queries: Sequence[str], n: int = 1, sampling: Sampling | None = None) -> Iterator[Sample]:
        """`n` texts for each query, in order; they come as their batch is done."""
        asked = [(query, index) for query in queries for index in range(n)]
        for start in range(0, len(asked), self.size):
            yield from self.batch(asked[start : start + self.size], sampling)

    def batch(self, asked: Sequence[Asked], sampling: Sampling | None = None) -> list[Sample]:
        """A text for each of `asked`, drawn together. Raises `ConfigError` where memory does not do for so many."""
        sampling = sampling or Sampling()
        return self._generate(asked, sampling)

    def stream(self, query: str, on_text: Callable[[str], None], sampling: Sampling | None = None) -> Sample:
        """One text; `on_text` gets it piece by piece as it is written."""
        return self._generate([(query, 0)], sampling or Sampling(), streamer=_streamer(self._tokenizer, on_text))[0]

    def _generate(self, asked: Sequence[Asked], sampling: Sampling, **more: Any) -> list[Sample]:
        import torch
        from transformers import GenerationConfig

        texts = [self._prompt(query) for query, _ in asked]
        given = self._tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        given = given.to(self._model.device)
        pad = self._tokenizer.pad_token_id
        config = GenerationConfig(
            max_new_tokens=sampling.max_new_tokens,
            do_sample=False,  # chance comes in with the processors
            repetition_penalty=1.0,
            eos_token_id=self._ends,
            pad_token_id=self._ends[0] if pad is None else pad,
        )
        with (
            torch.inference_mode(),
            within_memory(
                f"drawing {len(asked)} texts of up to {sampling.max_new_tokens} tokens at once",
                "fewer together (--batch), or shorter ones (--max-new-tokens; in training train.completion_tokens)",
            ),
        ):
            rows = self._model.generate(
                input_ids=given["input_ids"],
                attention_mask=given["attention_mask"],
                generation_config=config,
                logits_processor=_processors(asked, sampling, self._model.device),
                **more,
            )
        written = rows[:, given["input_ids"].shape[1] :].tolist()
        return [self._sample(query, index, tokens) for (query, index), tokens in zip(asked, written, strict=True)]

    def _prompt(self, query: str) -> str:
        text: str = self._tokenizer.apply_chat_template(prompt(query), tokenize=False, add_generation_prompt=True)
        return text

    def _sample(self, query: str, index: int, tokens: list[int]) -> Sample:
        end = next((place for place, token in enumerate(tokens) if token in self._ends), None)
        own = tokens[:end]
        text = self._tokenizer.decode(own, skip_special_tokens=True).strip()
        return Sample(query, index, text, end is not None, len(own))


def _processors(asked: Sequence[Asked], sampling: Sampling, device: "torch.device") -> Any:
    """What turns the scores into ones whose largest is the token drawn; nothing at temperature 0."""
    import torch
    from transformers import LogitsProcessor, LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    class Noise(LogitsProcessor):  # type: ignore[misc]
        def __init__(self) -> None:
            self._sources = [torch.Generator(device).manual_seed(_seed(sampling.seed, *one)) for one in asked]

        def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
            noise = torch.empty_like(scores, dtype=torch.float32)
            for row, source in zip(noise, self._sources, strict=True):
                row.exponential_(generator=source)
            return scores.float() - noise.log()

    if not sampling.temperature:
        return LogitsProcessorList()
    warped = [TemperatureLogitsWarper(sampling.temperature)] if sampling.temperature != 1 else []
    if sampling.top_p < 1:
        warped.append(TopPLogitsWarper(sampling.top_p))
    return LogitsProcessorList([*warped, Noise()])


def _seed(seed: int, query: str, index: int) -> int:
    digest = hashlib.sha256(f"{seed}\x1f{query}\x1f{index}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1  # torch takes 63 bits


def _streamer(tokenizer: "PreTrainedTokenizerBase", on_text: Callable[[str], None]) -> Any:
    """A streamer that passes each piece of text on."""
    from transformers import TextStreamer

    class Pieces(TextStreamer):  # type: ignore[misc]
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            on_text(text)

    return Pieces(tokenizer, skip_prompt=True, skip_special_tokens=True)


def _load_tokenizer(model: str) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    folder = Path(model)
    if folder.is_dir() and not (folder / "tokenizer_config.json").is_file():
        raise InputError(f"{model}: no tokenizer (tokenizer_config.json) in this folder")
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    except (OSError, ValueError) as error:
        raise InputError(f"{model}: no tokenizer to be had: {_first_line(error)}") from error
    if not tokenizer.chat_template:
        raise InputError(f"{model}: its tokenizer has no chat template, so it takes no requests")
    return tokenizer


def _load_model(model: str) -> "PreTrainedModel":
    """The model in full precision on a CPU, in its own on an accelerator."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    accelerated = torch.cuda.is_available()
    try:
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype="auto" if accelerated else torch.float32)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{model}: no model to be had: {_first_line(error)}") from error
    with within_memory(f"loading {model}", LIGHTER):
        return loaded.to("cuda" if accelerated else "cpu")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
