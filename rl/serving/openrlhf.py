"""OpenRLHF's remote reward protocol, as its version 0.11 speaks it (`--reward.remote_url`).

    sent      {"query": [prompt + response, with all special tokens], "prompts": [prompt], "labels": [label]}
    taken     {"rewards": [number], "scores": [number], "extra_logs": {name: [number]}}

Since 0.9 it sends one sample a request, and many requests at once.

The response is what follows the prompt in `query`, without the special tokens that end it. Nothing but special tokens
may stand before the prompt (some tokenizers add one), so that a response that repeats the prompt is not cut twice; a
query that does not begin with its prompt is refused. What the user asked is the label, where there is one (our export
writes it there), and else the last user turn of the prompt, where its chat template is known.

The protocol has no null. A batch with an unscored row is answered 503: OpenRLHF asks four times more, a second apart,
and if none of them is answered the sample has no reward and the run stops. NaN would poison the sample's whole group.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ConfigDict

from kindling.errors import InputError
from kindling.records import Verdict, load
from kindling.rl.serving.scoring import Pair

# how the chat templates in use end a turn, a text, or fill it up
ENDS = (
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>", "<end_of_turn>", "<turn|>", "<eos>",
    "<|end|>", "<|return|>", "<｜end▁of▁sentence｜>", "<pad>", "<|pad|>", "[PAD]",
)  # fmt: skip
_LEAD = re.compile(r"(?:\s|<[^<>\s]{1,40}>|\[[A-Z]{1,10}\])*")
_USER_TURNS = (
    re.compile(r"<\|im_start\|>user\n(.*?)<\|im_end\|>", re.DOTALL),
    re.compile(r"<\|start_header_id\|>user<\|end_header_id\|>\n\n(.*?)<\|eot_id\|>", re.DOTALL),
    re.compile(r"<start_of_turn>user\n(.*?)<end_of_turn>", re.DOTALL),
    re.compile(r"<｜User｜>(.*?)<｜Assistant｜>", re.DOTALL),
    re.compile(r"\[INST\] ?(.*?) ?\[/INST\]", re.DOTALL),
)
_MARKUP = re.compile(r"<\||<｜|\[INST\]|<start_of_turn>")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request's body. Fields that a later version may add are ignored; labels may be anything."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="ignore")
    query: list[str]
    prompts: list[str]
    labels: list[Any] | None = None


def read(data: Any, ends: Sequence[str] = ENDS) -> list[Pair]:
    """The pairs that a request's body asks about. Raises `InputError` that names the field and the row."""
    sent = load(Sent, data, "body")
    labels = sent.labels or [None] * len(sent.query)
    if not len(sent.query) == len(sent.prompts) == len(labels):
        raise InputError(f"body: {len(sent.query)} query, {len(sent.prompts)} prompts, {len(labels)} labels")
    pairs = []
    for row, (query, prompt, label) in enumerate(zip(sent.query, sent.prompts, labels, strict=True)):
        asked = label if isinstance(label, str) and label.strip() else _asked(prompt, f"body: prompts.{row}")
        pairs.append((asked, _response(query, prompt, ends, f"body: query.{row}")))
    return pairs


def _response(query: str, prompt: str, ends: Sequence[str], where: str) -> str:
    """What follows `prompt` in `query`, without the special tokens at its end."""
    lead, found, text = query.partition(prompt) if prompt else ("", "", "")
    if not found or not _LEAD.fullmatch(lead):
        raise InputError(
            f"{where}: does not begin with its prompt, so the response cannot be cut out;"
            " the prompt was cut (raise --data.max_len), or the tokenizer does not give it back as it was"
        )
    text = text.strip()
    while end := next((one for one in ends if one and text.endswith(one)), None):
        text = text.removesuffix(end).rstrip()
    return text


def _asked(prompt: str, where: str) -> str:
    """The last thing the user says in a rendered chat, or a prompt without any markup as it is."""
    for turn in _USER_TURNS:
        if said := turn.findall(prompt):
            return str(said[-1]).strip()
    if _MARKUP.search(prompt):
        raise InputError(
            f"{where}: of a chat template that is not known here;"
            " send the plain query as the label (--data.label_key label)"
        )
    return prompt.strip()


def answer(verdicts: Sequence[Verdict]) -> dict[str, Any] | None:
    """The body of the answer to scored `verdicts`, one number a row; None if one of them is unscored."""
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    if len(scores) < len(verdicts):
        return None
    good = [float(verdict.label == "good") for verdict in verdicts]
    return {"rewards": scores, "scores": scores, "extra_logs": {"judged_good": good}}
