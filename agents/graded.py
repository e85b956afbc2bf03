"""Graded verdicts: the probability of *good* where a model chose its verdict, in place of the word it happened to draw.

An endpoint that is asked for log-probabilities says, for each token of an answer, which others it might have written
there. `keep` finds the few tokens in which the verdict is decided and stores only those; `probability` reads them:

    {"reason": "…", "verdict" : "good"}        steps: the tokens that overlap  ": "g  up to the verdict's first letter
                            ╰──────╯
    P = good / (good + bad)                    masses of all alternatives that can only lead to that verdict

Tokenizers part the same text in different places (`"good`, `":"` `good`, ` "` `go` `od`). So an alternative is read on
from where its token begins: through what is left of the key, colon and quotation mark, with white space where JSON
allows it, into the word. It counts for a verdict if it begins the quoted word or goes beyond it (`g`, `good"}`), for
none if it does neither (`great`, ` good` inside the quotation marks), and is undecided if it ends before the word.
A step that leaves the verdict undecided passes its undecided mass on to the next: where other ways to write the colon
or a space are possible, they are taken to end in the same shares as the way that was written.

Nothing is guessed. An answer has no grade, and `Ungraded` says why, if

- no log-probabilities came, or they are not of the documented shape;
- the tokens do not end in the very bytes in which the answer ends (one more token, the end of the turn, is allowed);
- the verdict stands before its reason: its probability would be that of a judge who has not thought yet;
- one verdict is not among the alternatives and more than `TOLERANCE` of the mass could be its own. Alternatives that
  are not listed are at most as probable as the least of those that are.

The probabilities are the endpoint's: those of the model, or those it samples with (vLLM, unless it is told otherwise,
gives those under the grammar, before temperature and biases).
"""

import math
from typing import Any, get_args

from kindling.agents.structured import Malformed, locate
from kindling.records import Label

LABELS: tuple[Label, ...] = get_args(Label)
NONE = "no log-probabilities came"
MALFORMED = "malformed log-probabilities"
ODD = "the tokens do not spell the answer"
# a verdict that is not listed may have so much of the mass of both
TOLERANCE = 0.01
# what rounding may add to a probability
_ROUNDING = 1e-3
# what endpoints write for a probability of 0
_NEVER = -9999.0
_SPACE = " \t\r\n"

Token = tuple[bytes, float]
Kept = dict[str, Any]


class Ungraded(ValueError):
    """An answer whose verdict has no probability; the message says why, in a few words that can be counted."""


def keep(text: str, field: str, logprobs: Any) -> Kept:
    """What to store of an answer's `logprobs` for the verdict in `field`: plain JSON, never an error.

    `text` is the answer as it is read, and `logprobs` what stands in its choice. The result is `{"steps": [...]}` or
    `{"problem": why}`. A step is a list of three: the text from the beginning of its token to the end of the key; the
    marks that follow, up to the word (`:"`, `"` or none); and the alternatives as [text, log-probability], the one
    that was written first.
    """
    try:
        return {"steps": _steps(text, field, logprobs)}
    except Ungraded as error:
        return {"problem": str(error)}


def probability(kept: Any, written: Label) -> float:
    """The probability of "good" in [0, 1], given that one of both verdicts is written. Raises `Ungraded`.

    `kept` is what `keep` made of the answer, `written` the verdict in it.
    """
    if not isinstance(kept, dict) or "steps" not in kept:
        raise Ungraded(kept["problem"] if isinstance(kept, dict) and "problem" in kept else "none were asked for")
    mass = dict.fromkeys(LABELS, 0.0)
    reach = 1.0
    unlisted = 0.0
    verdict: Label | None = None
    for head, marks, tokens in kept["steps"]:
        undecided = 0.0
        for place, (token, logprob) in enumerate(tokens):
            share = math.exp(logprob)
            decided = _decides(head, marks, token)
            if place == 0:
                verdict = decided if decided in LABELS else None
            if decided in LABELS:
                mass[decided] += reach * share
            elif decided == "":
                undecided += share
        unlisted = reach * _least(tokens)
        reach *= undecided
    if verdict != written:
        raise Ungraded(ODD)
    both = math.fsum(mass.values())
    if not both:
        raise Ungraded("neither verdict has any probability")
    if not all(mass.values()) and unlisted > TOLERANCE * (both + unlisted):
        raise Ungraded("the other verdict is not among the alternatives")
    return mass["good"] / both


def _decides(head: str, marks: str, token: str) -> Label | str | None:
    """The verdict that `token` leads to; "" if it ends before the word, None if it leads to none (an end of turn).

    It is to begin with `head`, to the letter, and then with `marks`, before which JSON allows white space.
    """
    if not token:
        return None
    if head.startswith(token):
        return ""
    if not token.startswith(head):
        return None
    token = token.removeprefix(head)
    for mark in marks:
        token = token.lstrip(_SPACE)
        if not token:
            return ""
        if token[0] != mark:
            return None
        token = token[1:]
    if not token:
        return ""
    return next((label for label in LABELS if f'{label}"'.startswith(token) or token.startswith(f'{label}"')), None)


def _least(tokens: list[tuple[str, float]]) -> float:
    """The most that a token which is not listed can have: no more than the rest, nor than any that was not drawn."""
    shares = [math.exp(logprob) for _, logprob in tokens]
    return max(0.0, min([1 - math.fsum(shares), *shares[1:]]))


def _steps(text: str, field: str, logprobs: Any) -> list[list[Any]]:
    """The steps of `keep`. Raises `Ungraded`."""
    try:
        place = locate(text, field)
    except Malformed as error:
        raise Ungraded("the answer cannot be read") from error
    if place is None:
        raise Ungraded("the verdict stands before its reason")
    if logprobs is None:
        raise Ungraded(NONE)
    key_end, quote = place
    items = _items(logprobs, "content")
    written = [_token(item) for item in items]
    spelled = b"".join(token for token, _ in written)
    start = _start(spelled, written, text[key_end:].encode())
    word = start + len(text[key_end : quote + 1].encode())
    steps, end = [], 0
    for item, (token, logprob) in zip(items, written, strict=True):
        begin, end = end, end + len(token)
        if end > start:
            marks = b"".join(spelled[max(begin, start + 1) : word].split())
            steps.append([_shown(spelled[begin : start + 1]), _shown(marks), _alternatives(item, token, logprob)])
        if end > word:
            return steps
    raise Ungraded(ODD)


def _start(spelled: bytes, written: list[Token], tail: bytes) -> int:
    """Where `tail`, with which the answer ends, begins in what the tokens spell."""
    for closing in (b"", written[-1][0] if written else b""):
        body = spelled.removesuffix(closing).rstrip()
        if body.endswith(tail):
            return len(body) - len(tail)
    raise Ungraded(ODD)


def _alternatives(item: dict[str, Any], token: bytes, logprob: float) -> list[tuple[str, float]]:
    """What might have been written in place of `token`, which comes first and only once."""
    others = [_token(each) for each in _items(item, "top_logprobs")]
    if same := [each for each in others if each[0] == token]:
        others.remove(same[0])
    if math.fsum(math.exp(each) for _, each in [(token, logprob), *others]) > 1 + _ROUNDING:
        raise Ungraded(MALFORMED)
    return [(_shown(each), share) for each, share in [(token, logprob), *others]]


def _items(data: Any, name: str) -> list[dict[str, Any]]:
    """The list of objects under `name`; empty for null."""
    items = (data.get(name) or []) if isinstance(data, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Ungraded(MALFORMED)
    return items


def _token(item: dict[str, Any]) -> Token:
    """A token's bytes and log-probability. Tokens that are no whole characters have bytes and no faithful text."""
    spelled, logprob = item.get("bytes"), item.get("logprob")
    if spelled is None and isinstance(text := item.get("token"), str):
        spelled = list(text.encode("utf-8", "replace"))
    bytes_fit = isinstance(spelled, list) and all(isinstance(one, int) and 0 <= one < 256 for one in spelled)
    if not bytes_fit or isinstance(logprob, bool) or not isinstance(logprob, int | float) or not logprob <= _ROUNDING:
        raise Ungraded(MALFORMED)
    return bytes(spelled), max(_NEVER, min(0.0, float(logprob)))  # type: ignore[arg-type]  # a list of bytes


def _shown(token: bytes) -> str:
    return token.decode("utf-8", "replace")
