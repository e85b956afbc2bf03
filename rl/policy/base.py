"""The embedded policy's base: a Qwen3-shaped model of 2.3 M parameters, trained from scratch on the texts at hand.

It is what a base model is to those who have weights: it writes readable texts, good and flawed as its texts were, and
leaves something to learn. It is trained in full precision, on requests and responses. The same pairs, seed and number
of threads give the same weights on the same kind of machine. One thread is the default: on two cores the matrices of so
small a model wait longer for a second one than it saves (0.21 s a step with one thread, 0.31 s with two).

The folder appears when all is done: a run that was killed leaves none that looks like a model.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling.errors import RunFolderError
from kindling.rl.formats import prompt, response
from kindling.rl.policy.optimizers import muon
from kindling.rl.policy.runtime import hush, prepare
from kindling.rl.policy.tokenizer import ENTRIES, make_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

OnStep = Callable[[int, int], None]
"""Told how many steps are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of the model; the default has about 2.3 M parameters.

    In the minutes that it may take, this size learns more than a larger one: after 150 s of one core it stands at 0.72
    nats a character, one of 4.2 M parameters at 0.89.
    """

    hidden: int = 192
    layers: int = 4
    heads: int = 3
    key_value_heads: int = 1
    feed_forward: int = 512
    entries: int = ENTRIES
    positions: int = 1024


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast it learns. `batch` in texts, `warmup` as a share of the steps.

    Small batches learn most from each text. `learning_rate` is Muon's, for the matrices of the layers; embeddings and
    norms learn at `embedding_rate`. Responses of more than `longest` tokens are left out: one sets the pace of its
    whole batch.
    """

    epochs: float = 1
    batch: int = 8
    learning_rate: float = 0.015
    embedding_rate: float = 1.2e-2
    warmup: float = 0.05
    longest: int = 96


def make_base(
    pairs: Sequence[tuple[str, str]],
    out: Path,
    seed: int = 0,
    *,
    shape: Shape | None = None,
    schedule: Schedule | None = None,
    threads: int = 1,
    on_step: OnStep | None = None,
) -> Path:
    """Train the base on `pairs` of query and response, and write it to the new folder `out`, which is returned.

    Raises `RunFolderError` if `out` is there, `ConfigError` where the `train` extra is not installed.
    """
    if out.exists():
        raise RunFolderError(f"{out}: exists already; choose another folder")
    prepare()
    hush()
    shape = shape or Shape()
    tokenizer = make_tokenizer((text for pair in pairs for text in pair), shape.entries)
    model = _new_model(tokenizer, shape, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        with _threads(threads):
            _train(model, tokenizer, pairs, made, schedule or Schedule(), seed, on_step)
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        made.chmod(0o755)  # mkdtemp makes 0700
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return out


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with so many threads, and with as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _new_model(tokenizer: "PreTrainedTokenizerFast", shape: Shape, seed: int) -> "Qwen3ForCausalLM":
    """A model with random weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM, set_seed

    set_seed(seed)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.hidden // shape.heads,
        max_position_embeddings=shape.positions,
        tie_word_embeddings=True,
        **ends,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config.update(do_sample=True, **ends)
    return model


def _train(
    model: "Qwen3ForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    pairs: Sequence[tuple[str, str]],
    scratch: Path,
    schedule: Schedule,
    seed: int,
    on_step: OnStep | None,
) -> None:
    """Train `model` in place, on requests and responses alike; nothing is left in `scratch`.

    By the trainer that TRL's are built on: theirs also measures entropy and accuracy at every step, which for a model
    of this size takes longer than to learn.
    """
    from datasets import Dataset
    from transformers import DataCollatorForSeq2Seq, PrinterCallback, Trainer, TrainingArguments

    config = TrainingArguments(
        output_dir=str(scratch),
        seed=seed,
        num_train_epochs=schedule.epochs,
        per_device_train_batch_size=schedule.batch,
        warmup_steps=schedule.warmup,  # a share, being below one
        lr_scheduler_type="cosine",
        train_sampling_strategy="group_by_length",
        bf16=False,  # sixty times slower on a CPU without it
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(_rows(tokenizer, pairs, schedule.longest)),
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        optimizers=(muon(model, schedule.learning_rate, schedule.embedding_rate), None),
        callbacks=[_told(on_step)] if on_step else None,
    )
    trainer.remove_callback(PrinterCallback)  # what is said, the command says
    trainer.train()


def _rows(
    tokenizer: "PreTrainedTokenizerFast", pairs: Sequence[tuple[str, str]], longest: int
) -> list[dict[str, list[int]]]:
    """Conversations as tokens, and what is to be learned of them: all."""
    sizes = map(len, tokenizer([text for _, text in pairs])["input_ids"])
    texts = [
        tokenizer.apply_chat_template([*prompt(query), *response(text)], tokenize=False)
        for (query, text), size in zip(pairs, sizes, strict=True)
        if size <= longest
    ]
    return [{"input_ids": ids, "labels": ids} for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def _told(on_step: OnStep) -> Any:
    """A callback of the trainer that passes each step on."""
    from transformers import TrainerCallback

    class Told(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            on_step(state.global_step, state.max_steps)

    return Told()
