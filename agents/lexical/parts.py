"""The three learned parts together: what they share (one reading of each text) and what each makes of it.

Everything here is before calibration: real numbers, larger is better. Texts and requests come as framed unit sequences,
so that they are cut into units once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kindling.agents.lexical import ending, request, wording
from kindling.agents.lexical.ngrams import Floats, Vocabulary, ngrams
from kindling.agents.lexical.request import DualEncoder, Vectors

TEXT_NGRAMS = 3
REQUEST_NGRAMS = 4
LEAST_TOLD = 3  # good texts that must have an n-gram before the request is read from it

Sequences = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What N texts look like before any request is known: each array has N rows.

    `wording` and `ending` are logits, `vectors` the texts as the dual encoder sees them; `known`, `distinct` and
    `strange` are as in `Bags`; `length` is in units.
    """

    wording: Floats
    ending: Floats
    vectors: Vectors
    known: Floats
    distinct: Floats
    strange: Floats
    length: Floats


@dataclass(frozen=True, slots=True)
class Parts:
    """All that is learned. V n-grams of texts, T of them (`told`) read for the request, Q of requests, E of endings.

    `wording` is of shape (V,), `told` holds T columns out of V, `ending` is of shape (E,).
    """

    text: Vocabulary
    wording: NDArray[np.float32]
    told: NDArray[np.int32]
    asked: Vocabulary
    encoder: DualEncoder
    tails: Vocabulary
    ending: NDArray[np.float32]

    def read(self, texts: Sequences) -> Reading:
        """Read N framed texts."""
        bags = self.text.bags(texts)
        return Reading(
            bags.weights @ self.wording,
            self.end([ending.tail(text) for text in texts]),
            self.encoder.read_texts(self.tell(bags.weights)),
            bags.known,
            bags.distinct,
            bags.strange,
            np.array([len(text) - 2.0 for text in texts]),
        )

    def tell(self, weights: Any) -> Any:
        """Keep the T columns of bags (N, V) from which the request is read; scipy's own slicing takes time in V."""
        place = np.searchsorted(self.told, weights.indices)
        kept = place < len(self.told)
        kept[kept] = self.told[place[kept]] == weights.indices[kept]
        ends = np.r_[0, np.cumsum(kept)][weights.indptr]
        shape = (weights.shape[0], len(self.told))
        return sparse.csr_matrix((weights.data[kept], place[kept], ends), shape)

    def ask(self, requests: Sequences) -> Vectors:
        """Read N framed requests: unit vectors (N, D)."""
        return self.encoder.read_requests(self.asked.bags(requests).weights)

    def end(self, tails: Sequences) -> Floats:
        """Give the logits (N,) of N tails."""
        logits: Floats = self.tails.bags(tails).weights @ self.ending
        return logits


def learn(
    requests: Sequences, texts: Sequences, lengths: NDArray[np.intp], good: NDArray[np.bool_], rng: np.random.Generator
) -> Parts:
    """Learn from N cases: framed requests and texts, lengths in characters (N,), labels (N,)."""
    vocabulary = Vocabulary.learn(texts, TEXT_NGRAMS)
    bags = vocabulary.bags(texts)
    inner = np.isin(vocabulary.codes, ngrams([text[1:-1] for text in texts], TEXT_NGRAMS).codes)
    weights = np.zeros(len(inner), dtype=np.float32)
    weights[inner] = wording.learn(bags.weights[:, inner], lengths, good)
    good_texts = bags.weights[good]
    told = np.flatnonzero(good_texts.getnnz(axis=0) >= LEAST_TOLD).astype(np.int32)
    good_requests = [one for one, is_good in zip(requests, good, strict=True) if is_good]
    asked = Vocabulary.learn(good_requests, REQUEST_NGRAMS)
    encoder = request.learn(asked.bags(good_requests).weights, good_texts[:, told], _numbered(good_requests), rng)
    return Parts(vocabulary, weights, told, asked, encoder, *_learn_endings(texts, good, rng))


def _learn_endings(texts: Sequences, good: Any, rng: np.random.Generator) -> tuple[Vocabulary, NDArray[np.float32]]:
    whole = [text for text, is_good in zip(texts, good, strict=True) if is_good]
    cuts = [ending.cut_off(text, rng) for text in whole for _ in range(ending.CUTS)]
    tails = [*map(ending.tail, whole), *cuts]
    vocabulary = Vocabulary.learn(tails, ending.LONGEST)
    is_whole = np.arange(len(tails)) < len(whole)
    return vocabulary, ending.learn(vocabulary.bags(tails), is_whole)


def _numbered(sequences: Sequences) -> NDArray[np.intp]:
    """Number sequences so that equal ones have equal numbers."""
    numbers: dict[tuple[str, ...], int] = {}
    return np.array([numbers.setdefault(tuple(one), len(numbers)) for one in sequences])
