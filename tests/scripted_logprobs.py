"""Log-probabilities in the shape in which OpenAI-compatible endpoints send them, for answers that a test makes up.

`spell` says token by token what was written and what else might have been; `graded` is a whole tokenizer for the
scripted server: it parts a judge's answer and gives its verdict a probability that depends on the text alone.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

Piece = str | bytes
_PIECES = re.compile(r'"|[A-Za-z]+|\s+|.', re.DOTALL)


def spell(
    pieces: Sequence[Piece], choices: Mapping[int, Mapping[Piece, float]] | None = None, *, as_bytes: bool = True
) -> dict[str, Any]:
    """The `logprobs` of an answer that was written as `pieces`.

    `choices` has, for the places where there was a choice, the probability of each piece that is listed there (also
    of the one that was written); all other pieces were certain. Without `as_bytes`, tokens are texts alone, as some
    endpoints have it.
    """
    content = []
    for place, piece in enumerate(pieces):
        listed = (choices or {}).get(place, {piece: 1.0})
        top = sorted(listed.items(), key=lambda one: -one[1])
        shown = {**_token(piece, listed.get(piece, 1e-9), as_bytes)}
        content.append({**shown, "top_logprobs": [_token(each, share, as_bytes) for each, share in top]})
    return {"content": content}


def graded(text: str) -> dict[str, Any]:
    """The `logprobs` of `text`: the verdict that it ends in has a probability in (.55, .95), the other what is left."""
    pieces = _PIECES.findall(text)
    places = [place for place, piece in enumerate(pieces) if piece in ("good", "bad")]
    return spell(pieces, {places[-1]: chances(text)} if places else None)


def chances(text: str) -> dict[Piece, float]:
    """The probabilities that `graded` gives to both verdicts of `text`."""
    share = 0.55 + 0.4 * hashlib.sha256(text.encode()).digest()[0] / 256
    written, other = ("good", "bad") if text.rfind("good") > text.rfind("bad") else ("bad", "good")
    return {written: share, other: (1 - share) * 0.9, "fine": (1 - share) * 0.09, "中": (1 - share) * 0.01}


def _token(piece: Piece, share: float, as_bytes: bool) -> dict[str, Any]:
    spelled = piece.encode() if isinstance(piece, str) else piece
    return {
        "token": spelled.decode("utf-8", "replace"),
        "logprob": math.log(share) if share else -9999.0,
        "bytes": list(spelled) if as_bytes else None,
    }
