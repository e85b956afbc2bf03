"""From texts to sparse n-gram counts, a batch at a time.

A *unit* is a word of a script that has spaces, a number, or any other single character: a Chinese character, a
punctuation mark, an emoji. So one setting, n-grams of up to three units, reads Chinese and English alike. Texts are
normalised first (NFKC, lower case, invisible characters gone), which undoes full-width and zero-width disguises.

N-grams are 64-bit codes, computed for a whole batch at once from the units' hashes; a vocabulary is a sorted array of
codes. Strings are needed only to explain, and then the text at hand has them. Two of a million n-grams share a code
with a probability of 3e-8.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

START, END = "\x02", "\x03"

Codes = NDArray[np.uint64]
Floats = NDArray[np.float64]

_UNIT = re.compile(r"[a-zà-öø-ÿ]+(?:['’][a-z]+)?|\d+|\S")
_HIDDEN = re.compile(
    "[" + "".join(re.escape(chr(c)) for c in range(0x110000) if unicodedata.category(chr(c)) == "Cf") + "]"
)
_CONTROL = re.compile(f"[{START}{END}]")
_MIX = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio's bits: spreads neighbouring codes over the whole range
_SHIFT = np.uint64(29)


def units(text: str) -> list[str]:
    """Split a text into units; whitespace only separates."""
    if not text.isascii():
        text = _HIDDEN.sub("", unicodedata.normalize("NFKC", text))
    return _UNIT.findall(_CONTROL.sub("", text).lower())


def framed(text: str) -> list[str]:
    """Give the units of a text between the marks of its start and end."""
    return [START, *units(text), END]


def spelled(parts: Iterable[str]) -> str:
    """Write units as people do: words apart, all else together."""
    text = ""
    for part in parts:
        apart = text and text[-1].isalnum() and text[-1].isascii() and part[0].isalnum() and part[0].isascii()
        text += f" {part}" if apart else part
    return text.replace(START, "^").replace(END, "$")


@lru_cache(1 << 17)
def _hash(unit: str) -> int:
    return int.from_bytes(blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class NGrams:
    """The n-grams of some sequences: each one's sequence (G,) and code (G,), shorter ones first, in reading order.

    `pairs` is the part that holds those of two units.
    The start and end marks alone are no n-grams, since every text has them.
    """

    rows: NDArray[np.intp]
    codes: Codes
    pairs: slice


def ngrams(sequences: Sequence[Sequence[str]], longest: int) -> NGrams:
    """Find the n-grams of 1 to `longest` units, `longest` being at least 2."""
    lengths = np.fromiter((len(one) for one in sequences), dtype=np.intp, count=len(sequences))
    total = int(lengths.sum())
    ids = np.fromiter((_hash(unit) for unit in chain.from_iterable(sequences)), dtype=np.uint64, count=total)
    rows = np.repeat(np.arange(len(sequences)), lengths)
    marks = (ids == np.uint64(_hash(START))) | (ids == np.uint64(_hash(END)))
    all_rows, all_codes = [rows[~marks]], [ids[~marks]]
    codes = ids
    for n in range(2, longest + 1):
        codes = (codes[:-1] * _MIX) ^ (ids[n - 1 :] + (codes[:-1] >> _SHIFT))
        within = rows[: len(codes)] == rows[n - 1 :]
        all_rows.append(rows[: len(codes)][within])
        all_codes.append(codes[within])
    pairs = slice(len(all_codes[0]), len(all_codes[0]) + len(all_codes[1]))
    return NGrams(np.concatenate(all_rows), np.concatenate(all_codes), pairs)


def spellings(sequence: Sequence[str], longest: int) -> dict[int, str]:
    """Map the code of every n-gram of one sequence to how it is written."""
    single = [(unit,) for unit in sequence if unit not in (START, END)]
    longer = [sequence[i : i + n] for n in range(2, longest + 1) for i in range(len(sequence) - n + 1)]
    codes = ngrams([sequence], longest).codes
    return {int(code): spelled(gram) for code, gram in zip(codes, [*single, *longer], strict=True)}


@dataclass(frozen=True, slots=True)
class Bags:
    """The known n-grams of N texts, and how far each text is known and repeats itself.

    `weights` is sparse (N, V): idf of each n-gram that the text has, however often, scaled to unit Euclidean norm.
    `known` is the share of its n-grams that the vocabulary has; `distinct`, the share of those that are not repeats.
    `strange` is the longest run of pairs of neighbouring units that the vocabulary does not have. All three are of
    shape (N,), and 0 for an empty text.
    """

    weights: Any
    known: Floats
    distinct: Floats
    strange: Floats


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The n-grams of up to `longest` units in at least `least` texts: sorted codes (V,) and their idf (V,).

    idf = ln((1 + N) / (1 + df)) + 1, as in scikit-learn's TfidfTransformer.
    """

    codes: Codes
    idf: NDArray[np.float32]
    longest: int

    @classmethod
    def learn(cls, sequences: Sequence[Sequence[str]], longest: int, least: int = 2) -> "Vocabulary":
        """Take in the n-grams of `sequences`."""
        there = ngrams(sequences, longest)
        rows, codes = there.rows, there.codes
        order = np.lexsort((rows, codes))
        rows, codes = rows[order], codes[order]
        first = np.ones(len(codes), dtype=bool)  # of each (code, text)
        first[1:] = (codes[1:] != codes[:-1]) | (rows[1:] != rows[:-1])
        different, frequency = np.unique(codes[first], return_counts=True)
        kept = frequency >= least
        idf = np.log((1 + len(sequences)) / (1 + frequency[kept])) + 1
        return cls(different[kept], idf.astype(np.float32), longest)

    def bags(self, sequences: Sequence[Sequence[str]]) -> Bags:
        """Read N sequences."""
        all_of = ngrams(sequences, self.longest)
        columns, found = self._look_up(all_of.codes)
        rows, count = all_of.rows[found], len(sequences)
        ones = np.ones(len(rows), dtype=np.float32)
        weights = sparse.csr_matrix((ones, (rows, columns[found])), (count, len(self.codes)))
        weights.sum_duplicates()
        different = np.diff(weights.indptr)
        weights.data = self.idf[weights.indices]
        owner = np.repeat(np.arange(count), different)
        norms = np.sqrt(np.bincount(owner, weights.data**2, count))
        weights.data /= np.maximum(norms, 1e-12)[owner].astype(np.float32)
        there, known = (np.bincount(which, minlength=count) for which in (all_of.rows, rows))
        strange = _longest_gap(all_of.rows[all_of.pairs], found[all_of.pairs], count)
        return Bags(weights, known / np.maximum(there, 1), different / np.maximum(known, 1), strange)

    def _look_up(self, codes: Codes) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Column of each code, and whether it is there at all."""
        if not len(self.codes):
            return np.zeros(len(codes), dtype=np.intp), np.zeros(len(codes), dtype=bool)
        columns = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return columns, self.codes[columns] == codes


def _longest_gap(rows: NDArray[np.intp], known: NDArray[np.bool_], count: int) -> Floats:
    """Length of the longest run of unknown entries in each of `count` rows; entries of a row stand together."""
    longest = np.zeros(count)
    if not len(rows):
        return longest
    index = np.arange(len(rows))
    starts = np.r_[True, rows[1:] != rows[:-1]]
    # the last place before the run: a known entry, or the one before the row's first
    before = np.maximum.accumulate(np.where(known, index, np.where(starts, index - 1, -1)))
    np.maximum.at(longest, rows, index - before)
    return longest
