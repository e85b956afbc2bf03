"""From a reward model's scores to the probability of *good*: Platt's calibration, measured on held-out pairs.

A Bradley-Terry score orders the texts of one request: it has no origin, so no threshold, and no unit. Pairs whose
queries were not learned from give both: their chosen texts count as good, their rejected ones as bad, and

    P(good) = 1 / (1 + exp(-(slope * score + intercept)))

is fitted to them. They are as many of each, so this is the probability at even odds: of texts of which few are good it
says too much, and how far it may be believed is for a certificate to say.

The targets are Platt's, (n + 1) / (n + 2) and 1 / (n + 2) instead of 1 and 0 (J. C. Platt, Advances in Large Margin
Classifiers, 1999): with them the slope stays finite where a score parts the two completely, and the more pairs say so,
the steeper it is. A slope of 0 or less is kept as it was measured, and refused where it is read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import orjson
from pydantic import ConfigDict, Field

from kindling.errors import ConfigError, InputError
from kindling.records import load
from kindling.tables import write_json

FILE = "calibration.json"
FEWEST = 10  # pairs: fewer say little about a slope
MEND = "train it anew with kindling train rm, and train.held_out above 0"


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the scores of the model beside it become probabilities; `pairs` measured it, `source` says which."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)
    slope: float
    intercept: float
    pairs: Annotated[int, Field(ge=FEWEST)]
    source: str

    def probability(self, score: float) -> float:
        """P(good) of a text with this score, which is finite."""
        return 0.5 + 0.5 * math.tanh((self.slope * score + self.intercept) / 2)  # as above, without overflow

    @property
    def fault(self) -> str | None:
        """Why it makes no judge; None if it does."""
        if self.slope > 0:
            return None
        told = "the wrong way round" if self.slope < 0 else "not at all"
        return f"the model tells good from bad {told}: slope {self.slope:.3g} on {self.pairs} held-out pairs"


def fit(chosen: Sequence[float], rejected: Sequence[float], source: str) -> Calibration | None:
    """The calibration from the scores of N chosen texts and the N rejected ones beside them.

    A pair without two finite scores says nothing. None if fewer than `FEWEST` are left.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    scores = np.array([chosen, rejected], dtype=float)
    scores = scores[:, np.isfinite(scores).all(axis=0)]
    pairs = scores.shape[1]
    if pairs < FEWEST:
        return None
    mean, spread = float(scores.mean()), float(scores.std())
    if not spread:
        return Calibration(0.0, 0.0, pairs, source)
    sure = (pairs + 1) / (pairs + 2)
    # a target between 0 and 1 is the text under both labels, each with its weight
    inputs = np.tile((scores.ravel() - mean) / spread, 2)[:, None]
    labels = np.repeat([1, 0], 2 * pairs)
    weights = np.repeat([sure, 1 - sure, 1 - sure, sure], pairs)
    fitted = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000).fit(inputs, labels, sample_weight=weights)
    slope = float(fitted.coef_[0, 0]) / spread
    return Calibration(slope, float(fitted.intercept_[0]) - slope * mean, pairs, source)


def save(folder: Path, calibration: Calibration) -> None:
    """Write it beside the weights, whole or not at all."""
    write_json(folder / FILE, calibration)


def read(folder: Path) -> Calibration:
    """The calibration of the model in `folder`. Raises `UsageError` if there is none, or one that makes no judge."""
    calibration = find(folder)
    if calibration is None:
        raise ConfigError(f"{folder}: no {FILE}, so its scores are no probabilities; {MEND}")
    if calibration.fault:
        raise ConfigError(f"{folder / FILE}: {calibration.fault}; look at the pairs, and {MEND}")
    return calibration


def find(folder: Path) -> Calibration | None:
    """The calibration of the model in `folder`, whatever it says; None if it has none. Raises `InputError`."""
    file = folder / FILE
    try:
        data = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}; {MEND}") from error
    return load(Calibration, data, str(file))
