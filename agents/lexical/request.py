"""Is it about this request? A dual encoder over n-grams, learned by telling each text's own request from others.

The request and the text are read as bags of n-grams; each n-gram has a vector, a bag is the sum of its vectors scaled
to unit length, and the product of the two says how well they go together. That is a linear model of every combination
(n-gram of the request, n-gram of the text), held together by a rank of `DIMENSIONS`. A model of the text alone cannot
see any of them.

The vectors are learned with the symmetric contrastive loss of A. van den Oord et al. (arXiv 1807.03748) and A. Radford
et al. (ICML 2021): in a batch, each text has to pick its own request, and each request its own text. More than half of
the n-grams are hidden at each step, so that no single cue carries a request. Adam (D. P. Kingma and J. Ba, ICLR 2015),
with the step size falling to zero; plain numpy, since the gradient is six lines.

The score is the log ratio of this request's likelihood, given the text, to the mean of other requests': a request that
anything would answer, such as one without any particulars, scores near 0, and only one that the text contradicts falls
below.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindling.agents.lexical.ngrams import Floats

Vectors = NDArray[np.float32]

DIMENSIONS = 96
BATCH = 256
EPOCHS = 15
LEAST_STEPS = 240
STEP = 0.01
SHARPNESS = 8.0  # times the cosine: the logits of the contrast
HIDDEN = 0.6
OTHERS = 256


@dataclass(frozen=True, slots=True)
class DualEncoder:
    """Vectors of the request's n-grams (Q, D) and the text's (V, D), and of other requests (O, D), of unit length."""

    asked: Vectors
    said: Vectors
    others: Vectors

    def read_requests(self, requests: Any) -> Vectors:
        """Give unit vectors (N, D) of the bags (N, Q); zero where nothing is known."""
        return _unit(requests @ self.asked)

    def read_texts(self, texts: Any) -> Vectors:
        """Give unit vectors (N, D) of the bags (N, V); zero where nothing is known."""
        return _unit(texts @ self.said)

    def fit(self, requests: Vectors, texts: Vectors) -> Floats:
        """Score N requests against the N texts, both as unit vectors: how much likelier than others."""
        own = SHARPNESS * np.einsum("nd,nd->n", requests, texts)
        others = SHARPNESS * (texts @ self.others.T)
        top = others.max(axis=1, initial=0.0)
        ratio: Floats = own - top - np.log(np.exp(others - top[:, None]).mean(axis=1))
        return ratio

    def gradient(self, request: Vectors, text: Vectors) -> Vectors:
        """Derive the fit of one request (D,) and one text (D,) by the text: shape (D,)."""
        likely = SHARPNESS * (self.others @ text)
        likely = np.exp(likely - likely.max())
        slope: Vectors = SHARPNESS * (request - (likely / likely.sum()) @ self.others)
        return slope


def learn(requests: Any, texts: Any, same: NDArray[np.intp], rng: np.random.Generator) -> DualEncoder:
    """Learn from N good cases: bags (N, Q) of their requests, (N, V) of their texts, and (N,) equal for equal requests.

    Vectors are rounded to half precision, the one they are stored in.
    """
    count = len(same)
    batch = min(BATCH, max(2, count // 4))
    steps = max(LEAST_STEPS, EPOCHS * count // batch)
    tables = [_start(requests.shape[1], rng), _start(texts.shape[1], rng)]
    adam = [_Adam(table) for table in tables]
    order = rng.permutation(count)
    at = 0
    for step in range(steps):
        if at + batch > count:
            order, at = rng.permutation(count), 0
        rows, at = order[at : at + batch], at + batch
        asked, said = _hide(requests[rows], rng), _hide(texts[rows], rng)
        gradients = _gradients(asked @ tables[0], said @ tables[1], same[rows])
        for bag, gradient, optimizer in zip((asked, said), gradients, adam, strict=True):
            optimizer.step(bag.T @ gradient, STEP * (1 - step / steps))
    rounded = [table.astype(np.float16).astype(np.float32) for table in tables]
    sample = np.sort(rng.permutation(count)[:OTHERS])
    others = _unit(requests[sample] @ rounded[0])
    return DualEncoder(rounded[0], rounded[1], others.astype(np.float16).astype(np.float32))


def _gradients(asked_BD: Vectors, said_BD: Vectors, same: NDArray[np.intp]) -> tuple[Vectors, Vectors]:  # noqa: N803
    """Derive the contrastive loss by the unscaled readings of a batch of B cases."""
    u, v = _unit(asked_BD), _unit(said_BD)
    logits: Vectors = np.float32(SHARPNESS) * (u @ v.T)
    mine = np.eye(len(same), dtype=np.float32)
    logits[(same[:, None] == same[None]) & (mine == 0)] = -1e9  # the same request in other words is no contrast
    error: Vectors = _softmax(logits, 0) + _softmax(logits, 1) - 2 * mine
    error *= np.float32(SHARPNESS / 2 / len(same))
    return _through_norm(asked_BD, u, error @ v), _through_norm(said_BD, v, error.T @ u)


def _through_norm(raw: Vectors, unit: Vectors, gradient: Vectors) -> Vectors:
    """Take a gradient by unit vectors back to the vectors before scaling: only what is across the vector passes."""
    norms = np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-6)
    across: Vectors = (gradient - unit * (gradient * unit).sum(axis=1, keepdims=True)) / norms
    return across


def _softmax(logits: Vectors, axis: int) -> Vectors:
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    shares: Vectors = powers / powers.sum(axis=axis, keepdims=True)
    return shares


def _hide(bags: Any, rng: np.random.Generator) -> Any:
    bags = bags.copy()
    bags.data *= rng.random(len(bags.data), dtype=np.float32) >= HIDDEN
    return bags


def _start(rows: int, rng: np.random.Generator) -> Vectors:
    return rng.standard_normal((rows, DIMENSIONS), dtype=np.float32) / np.float32(np.sqrt(DIMENSIONS))


def _unit(vectors: Any) -> Vectors:
    scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return scaled


class _Adam:
    """Adam on one table, in place; memory is short of a dense step's cost, so nothing is allocated but one buffer."""

    def __init__(self, table: Vectors, first: float = 0.9, second: float = 0.99) -> None:
        self._table = table
        self._mean, self._square = np.zeros_like(table), np.zeros_like(table)
        self._first, self._second = first, second
        self._steps = 0

    def step(self, gradient: Vectors, size: float) -> None:
        self._steps += 1
        self._mean *= self._first
        self._mean += (1 - self._first) * gradient
        gradient *= gradient
        self._square *= self._second
        self._square += (1 - self._second) * gradient
        scale = np.sqrt(self._square, out=gradient)
        scale /= np.sqrt(1 - self._second**self._steps)
        scale += 1e-7
        np.divide(self._mean, scale, out=scale)
        scale *= size / (1 - self._first**self._steps)
        self._table -= scale
