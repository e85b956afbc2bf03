"""The fence: judged text between two boundary lines, with everything in it made harmless that could pass for one.

    <<<LABEL 6f1d0c2b9a3e4857
    the text
    6f1d0c2b9a3e4857>>>

The sixteen digits are the first 64 bits of a SHA-256 over label and text, so nobody can write a text that holds its own
boundary; and no neutralised text has `<<` or `>>` in it, so no text holds any boundary at all. Same text, same bytes,
same call in the ledger. A boundary has a line to itself wherever a template puts the filter (`on_own_lines`).

What `neutralise` does, in this order, so that nothing removed can leave a delimiter behind:

1. every kind of line end becomes a newline; lone surrogates become U+FFFD;
2. characters that nobody sees are dropped: controls, zero-width and bidirectional ones, fillers, tags, variation
   selectors; those inside emoji (joiners, presentation, keycaps, the three flags made of tags) stay;
3. `<` before anything but a space or an ASCII digit becomes ‹, and each `>` beside another ›, so that no special token,
   tag or boundary is left; the other forms, which NFKC turns into the plain ones, always do;
4. `[INST]` and its like become 〔INST〕, also when written in letters that NFKC turns into these;
5. a chat role at the start of a line (`System:`) becomes ‹System›:.

All other text is left as it is: Chinese, English, emoji, "<3", "->", "[1]", and template syntax, which nobody reads
again.

Left out on purpose: joiners in Persian and Indic words are dropped too, and glyph variants of ideographs.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from unicodedata import normalize

from kindling.prompts.judged import Judged

MAX_LABEL = 20
ROLE_WORDS = frozenset(
    ("system", "assistant", "user", "human", "developer", "tool", "ai", "系统", "助手", "用户", "人类", "开发者")
)

_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299"
    "\U0001f000-\U0001faff"
)
_UNSEEN = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
_LINE_END = "\r\x0b\x0c\x85\u2028\u2029"
_FLAGS = "|".join("".join(chr(0xE0000 + ord(char)) for char in name) for name in ("gbeng", "gbsct", "gbwls"))

# nearly every text has none of these, and is done after one search
_SUSPECT = re.compile(f"[{_LINE_END}{_UNSEEN}\ud800-\udfff<＜﹤>＞﹥\\[［﹇:：﹕︓]")
_LINE_ENDS = re.compile(f"\r\n|[{_LINE_END}]")
_MID_LINE = re.compile(rf"(?<=[^\n])(?=<<<[^\n<>]{{1,{MAX_LABEL}}} [0-9a-f]{{16}}$)", re.MULTILINE)
_GLUED = re.compile("(^[0-9a-f]{16}>>>)(?=[^\n])", re.MULTILINE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_HIDDEN = re.compile(
    f"(?<=[{_EMOJI}])[\ufe0e\ufe0f]|(?<=[0-9#*])\ufe0f(?=\u20e3)"
    f"|(?:(?<=[{_EMOJI}])|(?<=[{_EMOJI}]\ufe0f))\u200d(?=[{_EMOJI}])"
    f"|(?<=\U0001f3f4)(?:{_FLAGS})\U000e007f"
    f"|(?P<unseen>[{_UNSEEN}])"
)
_OPENING = re.compile(r"[＜﹤]|<(?![\s0-9]|\Z)")
_CLOSING = re.compile(r"[＞﹥]|>(?=[>＞﹥])|(?<=[>＞﹥])>")
_BRACKETED = re.compile(r"[\[［﹇]([^\s\[\]［］﹇﹈]{3,32})[\]］﹈]")
_BRACKET_TOKEN = re.compile(r"/?(?:[A-Z_]+|[a-z]MASK)")
_ROLE = re.compile(r"^([ \t>#*_\-]*)([^\W\d_]{2,12})(?=[ \t*_]*[:：﹕︓])", re.MULTILINE)


def neutralise(text: str) -> str:
    """`text` without anything that a reader does not see or that could pass for a delimiter; idempotent."""
    if not _SUSPECT.search(text):
        return text
    text = _SURROGATE.sub("\ufffd", _LINE_ENDS.sub("\n", text))
    text = _HIDDEN.sub(lambda found: "" if found["unseen"] else found[0], text)
    text = _CLOSING.sub("›", _OPENING.sub("‹", text))
    return _ROLE.sub(_role, _BRACKETED.sub(_bracketed, text))


def one_line(text: str) -> str:
    """`text` neutralised, every run of white space a single space."""
    return " ".join(neutralise(text).split())


def fence(value: Any, label: str) -> str:
    """`value` between boundary lines, the upper one with `label`: a text as it stands, records as numbered lines.

    A record is its fields joined by a full-width colon, on one line, so that no text can pose as two records. Raises
    `TypeError` for anything else, `ValueError` for a label that is too long or could pass for a boundary.
    """
    check_label(label)
    text = _as_text(value._value if isinstance(value, Judged) else value)
    boundary = hashlib.sha256(f"{label}\n{text}".encode()).hexdigest()[:16]
    return f"<<<{label} {boundary}\n{text}\n{boundary}>>>"


def on_own_lines(prompt: str) -> str:
    """`prompt` with a line break before and after each fence that lacks one."""
    return _GLUED.sub(r"\1\n", _MID_LINE.sub("\n", prompt))


def check_label(label: str) -> None:
    """Raise `ValueError` unless `label` can stand in a boundary line."""
    if not 0 < len(label) <= MAX_LABEL or one_line(label) != label or set(label) & set("<>"):
        raise ValueError(f"a fence's label is one short line without angle brackets, not {label!r}")


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return neutralise(value)
    records = [value] if isinstance(value, Mapping) else value
    if isinstance(records, list) and all(isinstance(record, Mapping) for record in records):
        lines = ("：".join(map(one_line, record.values())) for record in records)
        return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
    raise TypeError(f"fence takes judged text or records, not {type(value).__name__}")


def _bracketed(found: re.Match[str]) -> str:
    return f"〔{found[1]}〕" if _BRACKET_TOKEN.fullmatch(normalize("NFKC", found[1])) else found[0]


def _role(found: re.Match[str]) -> str:
    known = normalize("NFKC", found[2]).casefold() in ROLE_WORDS
    return f"{found[1]}‹{found[2]}›" if known else found[0]
