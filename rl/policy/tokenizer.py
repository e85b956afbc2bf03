"""A small tokenizer: byte-level BPE learned from the texts at hand, with ChatML's special tokens and template.

Its alphabet holds every byte, so every text can be written and read back, and a JSON grammar always finds a token to go
on with. Entries are at most `LONGEST` bytes long: a vocabulary learned from few texts would else hold whole sentences
of theirs, and a model that writes sentence by sentence can neither count characters nor find new words. Entries as long
as a phrase are what a few minutes of training need: with three characters at most it learns markedly less.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ENTRIES = 4096
ROLES = ("system", "user", "assistant")
LONGEST = 18  # bytes: six Chinese characters
END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(texts: Iterable[str], entries: int = ENTRIES) -> "PreTrainedTokenizerFast":
    """Learn a tokenizer with at most `entries` entries. The same texts give the same one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=entries,
        min_frequency=2,
        max_token_length=LONGEST,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[END, START, STOP],
        show_progress=False,
    )
    # the roles stand in every conversation: an entry each, not one a letter
    bpe.train_from_iterator([*texts, *(ROLES * 100)], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=STOP, pad_token=END, padding_side="left")
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
