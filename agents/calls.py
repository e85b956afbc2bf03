"""A model call and its answer: what is asked, what identifies it, what came back.

`Call.key` is the identity of a call for the ledger: everything that can change the answer and nothing else. The order
of JSON keys does not matter; the name of the role does not either, so two roles that ask the same thing pay once. The
sample index and the seed are part of it, so that a second vote on the same text is a second call. No header and no
key ever comes near it. That log-probabilities are asked for is part of it too, but a call without them has the key
that it had before there were any.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson
from pydantic import ConfigDict

Message = dict[str, str]

_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a chat model. `schema` is the JSON schema that the answer shall follow, or none for plain text.

    `choice` names the field of the answer for which log-probabilities are asked, or none.
    """

    base_url: str
    model: str
    messages: tuple[Message, ...]
    sampling: Mapping[str, Any]
    schema: Mapping[str, Any] | None = None
    sample: int = 0
    choice: str | None = None

    def key(self) -> str:
        """SHA-256 over the canonical JSON of the call, 64 hex digits."""
        parts = [self.base_url, self.model, self.messages, self.sampling, self.schema, self.sample]
        if self.choice is not None:
            parts.append({"logprobs": self.choice})
        return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered, as it stands in the ledger. Token counts are 0 where the endpoint reports none.

    `finish_reason` is the endpoint's own (`stop`, `length`, `content_filter`, ...), or one of ours for what has no text
    to show: `refusal` (then `text` is the refusal) and `no_choices`. `logprobs` is what `graded` kept of them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    text: str
    finish_reason: str = "stop"
    model: str = ""
    system_fingerprint: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    logprobs: Any = None

    @property
    def visible(self) -> str:
        """The text without a leading `<think>` block and outer white space; empty if the thoughts never end."""
        text = _THOUGHTS.sub("", self.text).strip()
        return "" if text.startswith("<think>") else text

    @property
    def problem(self) -> str | None:
        """Why this answer cannot be used, whatever it says; none if it can."""
        if self.finish_reason in _PROBLEMS:
            return _PROBLEMS[self.finish_reason]
        return None if self.visible else f"empty answer (finish_reason {self.finish_reason!r})"


_PROBLEMS = {
    "length": "truncated: the answer reached max_tokens",
    "content_filter": "stopped by the endpoint's content filter",
    "refusal": "the model refused",
    "no_choices": "the endpoint answered without any choice",
}
