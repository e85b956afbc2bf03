"""Untrusted text on its way into a prompt, and the fence around it.

`Judged` wraps a text that somebody else wrote (a query, a response, a critic's words). A template can ask for its length and
whether it is empty; everything else that would let it into the prompt raises, except the filter `fence`, which prints it
between two lines that it cannot contain:

    <<<回复 5f1c0a9be2d34471
    the text, neutralised
    5f1c0a9be2d34471>>>

The boundary is a hash of the text itself (64 bits), so a text that contained its own boundary would be a fixed point of
SHA-256, and a text cannot know it without being it. Because it depends on nothing else, the same text makes the same
prompt, and the same call in the ledger.

Neutralised means: control, zero-width and bidirectional characters go; angle brackets of any width become ‹ ›, so that
neither the fence nor a chat template's role marker can be spelt. All other text passes unchanged, emoji included.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from kindling.errors import TemplateError

_BRACKETS = str.maketrans({"<": "‹", ">": "›", "＜": "‹", "＞": "›", "﹤": "‹", "﹥": "›"})
_ROLE_MARK = re.compile(r"[\[［](/?(?:INST|SYS|SYSTEM|USER|ASSISTANT))[\]］]", re.IGNORECASE)
_JOINER = "\u200d"  # holds emoji sequences together
HASH_DIGITS = 16


class Judged:
    """One untrusted text. Printing, joining, formatting or filtering it raises `TemplateError`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __len__(self) -> int:
        return len(self._text)

    def __str__(self) -> NoReturn:
        raise TemplateError("judged text must go through the fence filter: {{ text | fence('label') }}")

    def __format__(self, _: str) -> NoReturn:
        str(self)
        raise AssertionError

    def __html__(self) -> NoReturn:
        str(self)
        raise AssertionError

    def __repr__(self) -> str:
        return f"<judged text of {len(self._text)} characters>"


Fenceable = Judged | Sequence[Mapping[str, Any]]


def fence(value: Fenceable, label: str = "text") -> str:
    """`value` between its boundary lines: one judged text, or records of judged texts as numbered lines.

    A record is printed as its values in order, joined by a colon; line breaks inside become spaces, so that a record
    cannot look like two. Raises `TemplateError` for anything else.
    """
    if isinstance(value, Judged):
        body = neutralise(value._text)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        body = "\n".join(f"{number}. {_record(one)}" for number, one in enumerate(value, 1))
    else:
        raise TemplateError("fence takes a judged text or a list of records")
    boundary = _boundary(body)
    return f"<<<{label} {boundary}\n{body}\n{boundary}>>>"


def neutralise(text: str) -> str:
    """`text` without characters that hide or delimit."""
    kept = [
        char
        for place, char in enumerate(text)
        if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") or _joins(text, place)
    ]
    return _ROLE_MARK.sub(r"‹\1›", "".join(kept).translate(_BRACKETS))


def _joins(text: str, place: int) -> bool:
    """Whether the character at `place` holds two emoji together."""
    if text[place] != _JOINER or not 0 < place < len(text) - 1:
        return False
    before, after = unicodedata.category(text[place - 1]), unicodedata.category(text[place + 1])
    # an emoji may end in a variation selector (Mn) or a skin tone (Sk)
    return before in ("So", "Mn", "Sk") and after in ("So", "Sm")


def _record(record: Mapping[str, Any]) -> str:
    texts = [value._text if isinstance(value, Judged) else str(value) for value in record.values()]
    return "：".join(" ".join(neutralise(text).split()) for text in texts)


def _boundary(body: str) -> str:
    """Sixteen hex digits that do not occur in `body`."""
    attempt = 0
    while True:
        boundary = hashlib.sha256(f"{attempt}\x1f{body}".encode()).hexdigest()[:HASH_DIGITS]
        if boundary not in body:
            return boundary
        attempt += 1
