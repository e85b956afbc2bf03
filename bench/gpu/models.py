"""Models with random weights: a configuration, a tokenizer learned from the task's texts, and nothing downloaded.

Random weights take the same time as learned ones, and sample from the whole vocabulary: a text hardly ever ends before
its limit, so every rollout is the same amount of work. The tokenizer's entries are the few thousand
that the texts give; the rest of a large vocabulary is filled with pairs of characters, so that whatever is sampled is
text that a judge can read.
"""

from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from bench.gpu.shapes import SHAPES
from kindling.config import Config
from kindling.prompts.taskpack import TaskPack, load_pack
from kindling.rl.policy.tokenizer import CHAT_TEMPLATE, END, ENTRIES, STOP, make_tokenizer
from kindling.rl.training.plan import Shape
from kindling.tables import read_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

POSITIONS = 4096
SPREAD = 2.0  # of the logits, their standard deviation


def task() -> TaskPack:
    """The task whose texts are used."""
    return load_pack(Config().project.task)


def queries() -> list[str]:
    """The task's sample queries."""
    return [row["query"] for row in read_rows(task().file("queries.txt"), ("query",), text_column="query")]


def make_model(name: str, folder: Path) -> None:
    """Write a model of shape `name` to `folder`: on a GPU, where there is one, in bf16, else in fp32."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    gpu = torch.cuda.is_available()
    shape = SHAPES[name]
    tokenizer = _tokenizer(shape.entries)
    torch.manual_seed(0)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = AutoConfig.for_model(**_config(shape), **ends)
    with torch.device("cuda" if gpu else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16 if gpu else torch.float32)
        # as initialised it says nearly the same whatever its weights are, and nobody could see that new ones arrived
        model.model.norm.weight.data.fill_(SPREAD / (config.initializer_range * shape.hidden**0.5))
    model.generation_config.update(do_sample=True, **ends)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _config(shape: Shape) -> dict[str, Any]:
    """The shape as a configuration of Qwen2 (biased attention) or Qwen3."""
    own = {} if shape.biased else {"head_dim": shape.head}
    return {
        "model_type": "qwen2" if shape.biased else "qwen3",
        "vocab_size": shape.entries,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "max_position_embeddings": POSITIONS,
        "tie_word_embeddings": shape.tied,
        **own,
    }


def _tokenizer(entries: int) -> "PreTrainedTokenizerFast":
    """A tokenizer of exactly `entries` entries."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    rows = read_rows(task().file("corpus.jsonl"), ("query", "response"))
    learned = make_tokenizer((row[name] for row in rows for name in ("query", "response")), min(entries, ENTRIES))
    told = orjson.loads(learned.backend_tokenizer.to_str())
    known = told["model"]["vocab"]
    known |= dict(zip(_fillers(entries - len(known), known), range(len(known), entries), strict=True))
    whole = Tokenizer.from_str(orjson.dumps(told).decode())
    made = PreTrainedTokenizerFast(tokenizer_object=whole, eos_token=STOP, pad_token=END, padding_side="left")
    made.chat_template = CHAT_TEMPLATE
    return made


def _fillers(count: int, known: Collection[str]) -> list[str]:
    """So many pairs of CJK characters as a byte-level vocabulary spells them, none of them `known`."""
    from tokenizers.pre_tokenizers import ByteLevel

    spell = ByteLevel(add_prefix_space=False, use_regex=False)
    side = 1 + int((count + len(known)) ** 0.5)
    characters = [spell.pre_tokenize_str(chr(0x4E00 + place))[0][0] for place in range(side)]
    pairs = (one + other for one in characters for other in characters)
    return list(islice((pair for pair in pairs if pair not in known), count))
