"""How different a model's texts are from each other.

    different    the share of distinct texts
    distinct-n   distinct n-grams / all n-grams, over all texts together (J. Li et al., NAACL 2016); falls with their
                 number and length
    self-BLEU    the mean BLEU-4 of each text against all others (Y. Zhu et al., SIGIR 2018; K. Papineni et al., ACL
                 2002, with precisions of 0 counted as ε, B. Chen and C. Cherry, WMT 2014); low is diverse
    Vendi        exp of the entropy of the eigenvalues of K / m (D. Friedman and A. B. Dieng, TMLR 2023), K the cosine
                 similarities of the texts' character n-grams, n from 1 to 3, or from 3 to 5 where a letter alone says
                 nothing: how many texts there are, in effect, from 1 to m

All but the first depend on the number of texts, so they are taken over as many texts of every model, one a query as far
as there are queries (`draw`). Their intervals are a delete-a-group jackknife over queries (J. Shao and D. Tu, The
Jackknife and Bootstrap, 1995, section 2.3): a bootstrap draws texts twice, which no diversity survives. n-grams are of
characters where the language writes no spaces, else of words.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from math import exp, log
from random import Random
from typing import Literal

import numpy as np
from scipy.stats import t
from threadpoolctl import threadpool_limits

from kindling.eval.intervals import Estimate
from kindling.eval.scorecard.card import Diversity
from kindling.eval.scorecard.rates import rate

Unit = Literal["characters", "words"]
Statistic = Callable[[Sequence[int]], float]
MOST = 300
GROUPS = 20
ORDERS = (1, 2, 3, 4)
KERNEL: dict[Unit, tuple[int, int]] = {"characters": (1, 3), "words": (3, 5)}
EPSILON = 0.1
_WORD = re.compile(r"\w+(?:['’]\w+)*")
Tokens = tuple[str, ...]


def draw(queries: Sequence[str], size: int, seed: int) -> list[int]:
    """Choose `size` places among texts whose queries are given, a text of each query before a second of any."""
    order = Random(seed).sample(range(len(queries)), len(queries))  # noqa: S311 - a reproducible draw, no secret
    taken: Counter[str] = Counter()
    turns: list[tuple[int, int, int]] = []
    for place in order:
        turns.append((taken[queries[place]], len(turns), place))
        taken[queries[place]] += 1
    return sorted(place for *_, place in sorted(turns)[:size])


def diversity(queries: Sequence[str], texts: Sequence[str], size: int, unit: Unit, seed: int) -> Diversity:
    """Measure texts whose queries are given, all but `different` over `size` of them (at least one)."""
    chosen = draw(queries, size, seed)
    picked = [texts[place] for place in chosen]
    asked = [queries[place] for place in chosen]
    tokens = [tokenise(text, unit) for text in picked]
    grams = [[_grams(one, n) for n in ORDERS] for one in tokens]
    kernel = similarities(picked, unit)
    first: set[str] = set()
    fresh = [text not in first and not first.add(text) for text in texts]  # type: ignore[func-returns-value]

    def spread(statistic: Statistic, most: float = 1.0) -> Estimate:
        found = jackknife(statistic, asked, seed)
        if found.low is None or found.high is None:
            return found
        return Estimate(found.value, max(0.0, found.low), min(most, found.high))

    return Diversity(
        texts=len(chosen),
        unit=unit,
        different=rate(fresh, queries),
        distinct={str(n): spread(lambda kept, n=n: distinct(grams, kept, n)) for n in (1, 2, 3)},  # type: ignore[misc]
        self_bleu=spread(lambda kept: self_bleu(grams, kept)),
        vendi=spread(lambda kept: vendi(kernel[np.ix_(kept, kept)]), len(chosen)),
    )


def tokenise(text: str, unit: Unit) -> Tokens:
    """Split into words in one case, or into characters without spaces."""
    return tuple(_WORD.findall(text.casefold())) if unit == "words" else tuple("".join(text.split()))


def _grams(tokens: Tokens, n: int) -> Counter[Tokens]:
    return Counter(tokens[start : start + n] for start in range(len(tokens) - n + 1))


def distinct(grams: Sequence[Sequence[Counter[Tokens]]], kept: Sequence[int], n: int) -> float:
    """Take distinct-n of the texts at the places `kept`; NaN where none has n tokens."""
    total = sum(grams[place][n - 1].total() for place in kept)
    return len({gram for place in kept for gram in grams[place][n - 1]}) / total if total else float("nan")


def self_bleu(grams: Sequence[Sequence[Counter[Tokens]]], kept: Sequence[int]) -> float:
    """Take the mean BLEU-4 of each text at the places `kept` against all others there; NaN for less than two."""
    if len(kept) < 2:
        return float("nan")
    precisions = [log(1.0)] * len(kept)
    for n in ORDERS:
        # of every n-gram, the largest count in a text, whose it is, and the largest elsewhere
        most: dict[Tokens, tuple[int, int, int]] = {}
        for at, place in enumerate(kept):
            for gram, count in grams[place][n - 1].items():
                high, whose, second = most.get(gram, (0, -1, 0))
                most[gram] = (count, at, high) if count > high else (high, whose, max(second, count))
        for at, place in enumerate(kept):
            own = grams[place][n - 1]
            matched = sum(min(c, most[gram][2 if most[gram][1] == at else 0]) for gram, c in own.items())
            precisions[at] += log(max(matched, EPSILON) / max(own.total(), 1)) / len(ORDERS)
    lengths = [grams[place][0].total() for place in kept]
    return sum(exp(one + _brevity(lengths, at)) for at, one in enumerate(precisions)) / len(kept)


def _brevity(lengths: Sequence[int], at: int) -> float:
    """The logarithm of BLEU's penalty for a text shorter than the other text nearest in length."""
    own = lengths[at]
    nearest = min((abs(other - own), other) for place, other in enumerate(lengths) if place != at)[1]
    return min(0.0, 1 - nearest / own) if own else 0.0


def similarities(texts: Sequence[str], unit: Unit) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Cosine similarities of counts of character n-grams, shape (texts, texts); 1 on the diagonal."""
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(
        analyzer="char", ngram_range=KERNEL[unit], n_features=2**18, norm="l2", alternate_sign=False, dtype=np.float64
    )
    vectors = hashing.transform(texts)
    kernel = np.asarray((vectors @ vectors.T).todense())
    np.fill_diagonal(kernel, 1.0)
    return kernel


def vendi(kernel: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    """Take the Vendi score of a matrix of similarities with ones on its diagonal."""
    with threadpool_limits(1):  # sums in another order are other bytes, and so small a matrix only waits for threads
        values = np.linalg.eigvalsh(kernel / len(kernel))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def jackknife(statistic: Statistic, clusters: Sequence[str], seed: int) -> Estimate:
    """Estimate a statistic of places, leaving out one of (at most) 20 groups of whole clusters at a time.

    Nothing where it is not defined; with one cluster, no more than the value is known.
    """
    value = statistic(range(len(clusters)))
    if np.isnan(value):
        return Estimate()
    names = sorted(set(clusters))
    groups = min(GROUPS, len(names))
    Random(seed).shuffle(names)  # noqa: S311
    group = {name: place % groups for place, name in enumerate(names)}
    kept = ([at for at, name in enumerate(clusters) if group[name] != out] for out in range(groups))
    without = np.array([statistic(one) for one in kept if one])
    without = without[~np.isnan(without)]
    if len(without) < 2:
        return Estimate(value, value, value)
    error = float(((len(without) - 1) / len(without) * ((without - without.mean()) ** 2).sum()) ** 0.5)
    half = float(t.ppf(0.975, len(without) - 1)) * error
    return Estimate(value, value - half, value + half)
