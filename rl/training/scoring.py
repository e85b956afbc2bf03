"""Scores from a trained reward model: a folder with whole weights, or an adapter of one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling.errors import ConfigError
from kindling.rl import formats

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

AT_ONCE = 32
ADAPTER = "adapter_config.json"
LEARNED = "learned.json"  # beside the weights: the fingerprints of all texts that they were made from


class Scorer:
    """A reward model, ready to score. Scores are raw: any real number, higher is better."""

    def __init__(self, folder: Path) -> None:
        """Load it. Raises `ConfigError` in one line if the folder holds no reward model."""
        import torch
        from safetensors import SafetensorError
        from transformers import AutoTokenizer

        folder = weights_folder(folder)
        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, padding_side="right")
            self._model = _load(folder).to(self._device).train(False)  # no dropout
        except (OSError, ValueError, SafetensorError) as error:
            raise ConfigError(f"{folder}: no reward model: {str(error).splitlines()[0]}") from error

    def score(self, prompts: Sequence[Sequence[formats.Message]], responses: Sequence[str]) -> list[float]:
        """The score of each response to its prompt."""
        conversations = [[*asked, *formats.response(said)] for asked, said in zip(prompts, responses, strict=True)]
        texts = [str(self._tokenizer.apply_chat_template(one, tokenize=False)) for one in conversations]
        scores: list[float] = []
        for start in range(0, len(texts), AT_ONCE):
            some = texts[start : start + AT_ONCE]
            batch = self._tokenizer(some, return_tensors="pt", padding=True, add_special_tokens=False)
            with self._torch.inference_mode():
                scores += self._model(**batch.to(self._device)).logits[:, 0].float().tolist()
        return scores

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The score of each (query, response)."""
        return self.score([formats.prompt(query) for query, _ in pairs], [said for _, said in pairs])


def weights_folder(path: Path) -> Path:
    """Where the weights lie: in `path` itself, or in its `model` if it is a run. Raises `ConfigError` if in neither."""
    folder = path / "model" if (path / "run.json").is_file() else path
    if not any((folder / name).is_file() for name in ("config.json", ADAPTER)):
        raise ConfigError(f"{path}: no reward model here; train one with kindling train rm")
    return folder


def _load(folder: Path) -> "PreTrainedModel":
    """The model of `folder`, an adapter's base with it. Raises `ValueError` if it does not give one number a text."""
    from transformers import AutoModelForSequenceClassification

    model: Any
    if (folder / ADAPTER).is_file():
        from peft import AutoPeftModelForSequenceClassification

        model = AutoPeftModelForSequenceClassification.from_pretrained(str(folder), num_labels=1)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True)
        if model.config.num_labels != 1:
            raise ValueError(f"it has {model.config.num_labels} labels, and a reward model has one")
    return model
