"""Does it end where texts end? Logistic regression on the last units, whole texts against the same texts cut off.

A text that stops in the middle of a sentence has the wording of a good one and none of its sense. What an end looks
like (a full stop, an emoji, a signature, nothing at all in verse) is learned from the good texts. A cut that happens to
fall after a sentence looks whole, and so it should.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from kindling.agents.lexical.ngrams import END, START, Bags

LAST = 3
LONGEST = LAST + 1
CUTS = 2
PENALTY = 10.0


def tail(sequence: Sequence[str]) -> list[str]:
    """Give the last units of a framed text, its end mark included; none of its start."""
    return [unit for unit in sequence[-LAST - 1 :] if unit != START]


def cut_off(sequence: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Give a framed text's tail after a cut inside it; the whole tail of a text too short to cut."""
    if len(sequence) <= LAST + 2:
        return tail(sequence)
    return tail([*sequence[: int(rng.integers(2, len(sequence) - 1))], END])


def learn(bags: Bags, whole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give the weight of each n-gram of a tail, shape (E,)."""
    model = LogisticRegression(C=PENALTY, solver="liblinear", fit_intercept=False, class_weight="balanced")
    learned: NDArray[np.float32] = model.fit(bags.weights, whole).coef_[0].astype(np.float32)
    return learned
