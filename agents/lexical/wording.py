"""Is it worded like the good texts? Logistic regression on n-grams, with length taken out.

In most preference data the good texts are longer, and a model of n-grams learns that as soon as it may. So the cases
are weighted with *overlap weights* (F. Li, K. L. Morgan and A. M. Zaslavsky, JASA 2018), with length as what is to be
balanced: a good text weighs the share of bad ones among the texts of its length, and the other way round. Then good and
bad weigh exactly the same at every length, and lengths at which only one kind exists count for nothing, since nothing
can be learned there but that length.

There is no intercept: a text without evidence has logit 0 and is not good. How a text begins and ends is no evidence
either (`parts` leaves those n-grams out), since a few words put in front or behind would erase it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from kindling.agents.lexical.ngrams import Floats

BINS = 24  # of length, at most
LEAST_IN_BIN = 30  # texts: the share of good ones in a bin is an estimate
PENALTY = 30.0  # scikit-learn's C: chosen by cross-validation on pairs; 10 to 50 do equally well


def overlap_weights(lengths: NDArray[np.intp], good: NDArray[np.bool_], bins: int | None = None) -> Floats:
    """Weigh N cases by the share of the other label at their length: mean 1, or all 0 where no lengths are shared.

    Lengths are cut into `bins` of equally many texts. In each, the weights of the good and of the bad have equal sums.
    """
    bins = bins or max(2, min(BINS, len(lengths) // LEAST_IN_BIN))
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, lengths, side="right")
    there = np.bincount(place, minlength=len(edges) + 1)
    share = (np.bincount(place, good, len(edges) + 1) / np.maximum(there, 1))[place]
    weights: Floats = np.where(good, 1 - share, share)
    return weights / weights.mean() if weights.any() else weights


def effective_size(weights: Floats) -> float:
    """How many equally weighted cases tell as much: (Σw)² / Σw² (L. Kish, Survey Sampling, 1965); 0 for no weight."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def learn(bags: Any, lengths: NDArray[np.intp], good: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give the weight of each n-gram, shape (V,), from the bags (N, V); a text's logit is its bag times these."""
    weights = overlap_weights(lengths, good)
    kept = weights > 0
    model = LogisticRegression(C=PENALTY, solver="liblinear", fit_intercept=False, max_iter=300)
    model.fit(bags[kept], good[kept], sample_weight=weights[kept])
    learned: NDArray[np.float32] = model.coef_[0].astype(np.float32)
    return learned
