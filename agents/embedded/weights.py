"""What the embedded judge gives for each finding: the lexicon's weights, or those learned from labelled cases.

Learned weights stand in a pack's `judge.toml`, a number a check; a check that is not in it keeps the weight that the
lexicon gives it, and one that the lexicon has not is not asked for. A pack without the file uses its lexicon alone.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from kindling.agents.embedded.lexicon import Lexicon
from kindling.agents.embedded.packfile import reading


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    bias: float
    weights: dict[str, float]


@dataclass(frozen=True, slots=True)
class Weights:
    """Log-odds of *good*: `bias` without any finding, and what each finding of a check adds."""

    bias: float
    of: Mapping[str, float]
    digest: str


def lexicon_weights(lexicon: Lexicon) -> Weights:
    """Take the weights as the lexicon gives them."""
    return Weights(lexicon.judgement.bias, {key: check.weight for key, check in lexicon.checks.items()}, "")


def load_weights(path: Path, lexicon: Lexicon) -> Weights:
    """Read learned weights. Raises `InputError` that names the file and the key."""
    with reading(path):
        raw = path.read_bytes()
        data = _File.model_validate(tomllib.loads(raw.decode()))
    given = lexicon_weights(lexicon).of
    learned = {key: data.weights.get(key, weight) for key, weight in given.items()}
    return Weights(data.bias, learned, hashlib.sha256(raw).hexdigest()[:16])


def save_weights(path: Path, weights: Weights) -> None:
    """Write what `load_weights` reads."""
    lines = [
        "# Learned by `python -m bench.embedded_judge --fit`: the log-odds of good for one finding of each check.",
        f"bias = {weights.bias:.2f}",
        "",
        "[weights]",
        *(f"{key} = {value:.2f}" for key, value in weights.of.items()),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
