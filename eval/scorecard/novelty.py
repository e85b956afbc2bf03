"""What a model's texts have from its training files, and how near the nearest of those is.

    verbatim     equal to a training text but for signs, spaces, width and case
    near         Jaccard similarity of character trigrams of at least .8 (`kindling.eval.audit.similarity`)
    run          the longest run of letters and digits that stands in a training text too; its median
    mostly       at least half of a text's letters are one such run
    similarity   of the nearest training text, as Jaccard similarity of trigrams; its median

Runs are found exactly and for all texts at once: windows of 1, 2, 3 ... letters are numbered, and only places whose
window occurs on both sides live on to the next length, so the work shrinks with every step. What is short and common is
found in any training file: the numbers mean something beside those of another model against the same file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from kindling.eval.audit.similarity import NEAR, bare, shingles
from kindling.eval.intervals import Estimate, Floats, resample, resampled
from kindling.eval.scorecard.card import Neighbour, Novelty
from kindling.eval.scorecard.rates import rate

SHOWN = 5
_CHUNK = 256
_LETTERS = 0x110000
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Training:
    """The distinct training texts, prepared once for all models."""

    texts: tuple[str, ...]
    bares: tuple[str, ...]
    shingles: csr_matrix

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Training":
        """Prepare texts; those without a letter are left out."""
        distinct = {plain: text for text in reversed(texts) if (plain := bare(text))}
        return cls(tuple(distinct.values()), tuple(distinct), shingles(list(distinct.values())))


def novelty(queries: Sequence[str], texts: Sequence[str], training: Training, seed: int) -> Novelty:
    """Hold texts, whose queries are given, against the training texts."""
    plain = [bare(text) for text in texts]
    letters = np.array([len(text) for text in plain])
    runs = longest_runs(plain, training.bares)
    nearest, similarity = _nearest(texts, training)
    known = set(training.bares)
    weights = resample(queries, seed)
    order = np.argsort(-similarity * 1000 - runs / 1000, kind="stable")
    return Novelty(
        training=len(training.texts),
        verbatim=rate([text in known for text in plain], queries),
        near=rate(similarity >= NEAR, queries),
        mostly=rate((runs * 2 >= letters) & (letters > 0), queries),
        run=weighted_median(runs.astype(float), weights),
        similarity=weighted_median(similarity, weights),
        closest=tuple(
            Neighbour(
                queries[at], texts[at], training.texts[nearest[at]], round(float(similarity[at]), 4), int(runs[at])
            )
            for at in order[:SHOWN].tolist()
        ),
    )


def weighted_median(values: Floats, weights: Floats) -> Estimate:
    """Estimate the median of values, of the two in the middle the lower one; `weights` are those of `resample`."""
    if not len(values):
        return Estimate()
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[:, order], axis=1)
    return resampled(values[order][(reached >= reached[:, -1:] / 2).argmax(axis=1)])


def longest_runs(texts: Sequence[str], training: Sequence[str]) -> Ints:
    """Find how long the longest common run of each text with any training text is; shape (texts,)."""
    runs = np.zeros(len(texts), dtype=np.int64)
    (mine, owner), (theirs, _) = _codes(texts), _codes(training)
    here, there = np.arange(len(mine)), np.arange(len(theirs))
    window, other = mine, theirs  # a number for the window that starts at each living place
    length = 1
    while True:
        here, window = _alive(here, window, mine, length)
        there, other = _alive(there, other, theirs, length)
        shared = np.intersect1d(window, other)
        if not len(shared):
            return runs
        in_mine, in_theirs = np.isin(window, shared), np.isin(other, shared)
        here, there = here[in_mine], there[in_theirs]
        runs[owner[here]] = length
        window = _longer(np.searchsorted(shared, window[in_mine]), mine, here + length)
        other = _longer(np.searchsorted(shared, other[in_theirs]), theirs, there + length)
        length += 1


def _codes(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """All letters of the texts, a 0 after each text, and whose they are."""
    joined = "\0".join(texts) + "\0"
    codes = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32).astype(np.int64)
    return codes, np.cumsum(codes == 0) - (codes == 0)


def _alive(places: Ints, window: Ints, codes: Ints, length: int) -> tuple[Ints, Ints]:
    """Drop the windows whose last letter is the end of a text."""
    last = codes[np.minimum(places + length - 1, len(codes) - 1)] != 0
    return places[last], window[last]


def _longer(numbers: Ints, codes: Ints, following: Ints) -> Ints:
    """Number windows, whose numbers are small, with the letter that follows."""
    longer: Ints = numbers * _LETTERS + codes[np.minimum(following, len(codes) - 1)]
    return longer


def _nearest(texts: Sequence[str], training: Training) -> tuple[Ints, Floats]:
    """The place of each text's nearest training text, and their similarity."""
    rows = shingles(list(texts))
    sizes, others = np.diff(rows.indptr), np.diff(training.shingles.indptr)
    nearest, similarity = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts))
    for start in range(0, len(texts), _CHUNK):
        part = slice(start, start + _CHUNK)
        common = np.asarray((rows[part] @ training.shingles.T).todense())
        union = sizes[part, None] + others[None, :] - common
        alike = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
        nearest[part] = alike.argmax(axis=1)
        similarity[part] = alike.max(axis=1)
    return nearest, similarity
