"""What explains the labels without any judgement: the more frequent label, the length, the letters; and how to take the
length away.

A judge is worth what it adds to these. All are cross-validated on the very cases that the judge is measured on, with
the cases of one query in one fold, and none sees the query:

    majority   the share of good, always the same
    length     a threshold on the number of characters (a decision stump, either direction)
    ngrams     logistic regression on character 1- to 3-grams, TF-IDF

`length_matched` picks the subset on which length says nothing.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindling.errors import InputError
from kindling.eval.intervals import Floats
from kindling.records import LabelledCase

FOLDS = 5
TOLERANCE = 0.10


@dataclass(frozen=True, slots=True)
class Baseline:
    """Out-of-fold probabilities of good, one a case; `ranking` is what AUC is taken from (any real numbers)."""

    name: str
    scores: Floats
    ranking: Floats


def folds(cases: Sequence[LabelledCase], seed: int, count: int = FOLDS) -> tuple[tuple[Any, Any], ...]:
    """(train, test) index arrays; the cases of one query stand in one fold, labels spread evenly.

    Raises `InputError` where fewer than `count` queries have a good case, or a bad one.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    for label in ("good", "bad"):
        there = len({case.query for case in cases if case.label == label})
        if there < count:
            raise InputError(f"the file has {label} cases for {there} queries; it takes {count} to cross-validate")
    labels = [case.label for case in cases]
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return tuple(splitter.split(labels, labels, [case.query for case in cases]))


def baselines(cases: Sequence[LabelledCase], seed: int) -> tuple[Baseline, ...]:
    """Fit and apply the three baselines, in the order above."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.tree import DecisionTreeClassifier

    good = np.array([case.label == "good" for case in cases])
    texts = np.array([case.response for case in cases], dtype=object)
    lengths = np.array([[len(case.response)] for case in cases], dtype=float)
    splits = folds(cases, seed)
    ngrams = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    share = np.full(len(cases), good.mean())
    stump = _out_of_fold(DecisionTreeClassifier(max_depth=1), lengths, good, splits)
    letters = _out_of_fold(ngrams, texts, good, splits)
    return (
        Baseline("majority", share, share),
        Baseline("length", stump, _either_way(lengths[:, 0], good)),
        Baseline("ngrams", letters, letters),
    )


def _out_of_fold(
    model: Any, inputs: NDArray[Any], good: NDArray[np.bool_], splits: tuple[tuple[Any, Any], ...]
) -> Floats:
    scores = np.empty(len(good))
    for train, test in splits:
        scores[test] = model.fit(inputs[train], good[train]).predict_proba(inputs[test])[:, 1]
    return scores


def _either_way(lengths: Floats, good: NDArray[np.bool_]) -> Floats:
    """Lengths, negated where the shorter texts are the better ones, so that their AUC has no direction."""
    from sklearn.metrics import roc_auc_score

    return lengths if roc_auc_score(good, lengths) >= 0.5 else -lengths


def length_matched(cases: Sequence[LabelledCase], seed: int, tolerance: float = TOLERANCE) -> tuple[int, ...]:
    """Find a subset (indices) in which every good case has a bad one of nearly its length: length tells nothing there.

    Nearest available matching within a caliper, one to one (P. R. Rosenbaum and D. B. Rubin, Am. Stat. 1985): lengths
    differ by at most `tolerance` of the longer. Of the pairs whose good text is longer and those whose bad text is, the
    more numerous kind is cut, widest differences first, until there are as many of each: otherwise the matched good
    texts would still be longer where good texts are. Which of several equally near cases is taken depends on `seed`.
    """
    pairs = sorted(_matches(cases, seed, tolerance), key=lambda pair: abs(_gap(cases, pair)))
    longer, shorter = ([p for p in pairs if sign * _gap(cases, p) > 0] for sign in (1, -1))
    keep = min(len(longer), len(shorter))
    equal = [pair for pair in pairs if _gap(cases, pair) == 0]
    return tuple(sorted(index for pair in (*equal, *longer[:keep], *shorter[:keep]) for index in pair))


def _gap(cases: Sequence[LabelledCase], pair: tuple[int, int]) -> int:
    good, bad = pair
    return len(cases[good].response) - len(cases[bad].response)


def _matches(cases: Sequence[LabelledCase], seed: int, tolerance: float) -> Iterator[tuple[int, int]]:
    """Pairs (good, bad) of case indices, nearest lengths first; every case in at most one."""
    free: dict[str, dict[int, list[int]]] = {"good": defaultdict(list), "bad": defaultdict(list)}
    order = list(range(len(cases)))
    Random(seed).shuffle(order)  # noqa: S311 - a reproducible sample, no secret
    for index in order:
        free[cases[index].label][len(cases[index].response)].append(index)
    near = sorted(
        (abs(good - bad), good, bad)
        for good in free["good"]
        for bad in free["bad"]
        if abs(good - bad) <= tolerance * max(good, bad)
    )
    for _, good, bad in near:
        while free["good"][good] and free["bad"][bad]:
            yield free["good"][good].pop(), free["bad"][bad].pop()
