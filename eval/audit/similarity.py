"""Verbatim and near copies among short texts.

Two texts are *verbatim* copies if they are equal but for surrounding space, and *near* copies if the Jaccard similarity
of their character trigrams is at least `NEAR`, after what does not change a text (width, case, punctuation, spaces,
emoji) has been taken out. Trigrams and not words, since texts of a few dozen characters have too few words to compare.

`near_copies` is exact, not sampled: two sets whose Jaccard similarity is at least t must share one of the rarest
n − ⌈t n⌉ + 1 members of each (prefix filtering: Chaudhuri, Ganti and Kaushik, ICDE 2006; Bayardo, Ma and Srikant,
WWW 2007), so only pairs that share a rare trigram are compared. Memory grows with these pairs, not with n².
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer

NEAR = 0.8
_CHUNK = 200_000  # candidate pairs compared at once


@dataclass(frozen=True, slots=True)
class Copies:
    """Pairs of places (`left` in the first list, `right` in the second) with their similarity in [`NEAR`, 1]."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    similarity: NDArray[np.float64]


def bare(text: str) -> str:
    """Keep letters and digits only, in one width and case."""
    return "".join(char for char in unicodedata.normalize("NFKC", text).casefold() if char.isalnum())


def shingles(texts: Sequence[str]) -> csr_matrix:
    """Hash the character trigrams of the bare texts into a binary matrix (texts, 2^20); fewer letters, no trigram."""
    hashing = HashingVectorizer(
        analyzer="char", ngram_range=(3, 3), n_features=2**20, norm=None, binary=True, alternate_sign=False,
        preprocessor=bare, dtype=np.float32,
    )  # fmt: skip
    return csr_matrix(hashing.transform(texts))


def near_copies(left: csr_matrix, right: csr_matrix | None = None, threshold: float = NEAR) -> Copies:
    """Find all near copies between two matrices of `shingles`; without a second, within one (each pair once)."""
    other = left if right is None else right
    frequency = np.asarray(left.sum(axis=0)).ravel()
    if right is not None:
        frequency = frequency + np.asarray(right.sum(axis=0)).ravel()
    left_prefix = _prefix(left, frequency, threshold)
    shared = left_prefix @ (left_prefix if right is None else _prefix(right, frequency, threshold)).T
    i, j = (places.astype(np.int64) for places in shared.nonzero())
    if right is None:
        i, j = i[i < j], j[i < j]
    sizes_left, sizes_other = np.diff(left.indptr), np.diff(other.indptr)
    # a set cannot be that similar to one much larger
    fits = np.minimum(sizes_left[i], sizes_other[j]) >= threshold * np.maximum(sizes_left[i], sizes_other[j])
    i, j = i[fits], j[fits]
    similarity = np.empty(len(i))
    for start in range(0, len(i), _CHUNK):
        part = slice(start, start + _CHUNK)
        common = np.asarray(left[i[part]].multiply(other[j[part]]).sum(axis=1)).ravel()
        similarity[part] = common / (sizes_left[i[part]] + sizes_other[j[part]] - common)
    keep = similarity >= threshold
    return Copies(i[keep], j[keep], similarity[keep])


def _prefix(matrix: csr_matrix, frequency: NDArray[np.float32], threshold: float) -> csr_matrix:
    """Keep of every row the members that one of its near copies must share: the rarest, ties by number."""
    sizes = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(matrix.shape[0]), sizes)
    order = np.lexsort((matrix.indices, frequency[matrix.indices], rows))
    rank = np.arange(len(order)) - np.repeat(matrix.indptr[:-1], sizes)
    # the small term keeps 0.8 * 5 from becoming 4.000…1 and then 5
    kept = sizes - np.ceil(threshold * sizes - 1e-9).astype(int) + 1
    inside = order[rank < kept[rows]]
    return csr_matrix((matrix.data[inside], (rows[inside], matrix.indices[inside])), shape=matrix.shape)
