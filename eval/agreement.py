"""How far scores agree with labels: the usual measures, each with a 95 % interval over resampled queries.

*Good* is the positive class; a text is called good when its score is above one half. Every measure is written for
weighted cases and all resamples at once (`kindling.eval.intervals`), which scikit-learn's are not; tests hold them
against scikit-learn's and against numbers derived by hand.

Cases without a score are no part of this: they are counted elsewhere and never stand for right or wrong.

Let tp, fp, tn, fn be the weights of the four outcomes, and n their sum.

    accuracy      (tp + tn) / n
    precision     tp / (tp + fp)                         undefined where nothing was called good
    recall        tp / (tp + fn)                         also: true positive rate, sensitivity
    specificity   tn / (tn + fp)                         also: true negative rate
    f1            2 tp / (2 tp + fp + fn)                C. J. van Rijsbergen, Information Retrieval, 1979
    kappa         (p - e) / (1 - e)                      J. Cohen, Educ. Psychol. Meas. 1960; p = accuracy, e = what
                                                         independent labels with the same marginals reach
    auc           P(good above bad) + P(equal) / 2       J. A. Hanley and B. J. McNeil, Radiology 1982
    brier         mean of (score - label)²               G. W. Brier, Mon. Weather Rev. 1950
    ece           Σ over ten equal bins of the score:    M. P. Naeini et al., AAAI 2015; C. Guo et al., ICML 2017
                  share · |mean score - share of good|

The calibration error cannot be negative, so noise only adds to it, in resamples once more: where it is small, its
interval may lie above it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict
from scipy.stats import rankdata

from kindling.eval.intervals import Estimate, Floats, resampled

BINS = 10
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Measures over `cases` scored cases, of which `good` are labelled good; `auc` in [0, 1] as all of them but kappa.

    `true_good`, `false_good`, `true_bad`, `false_bad` count what the cases were called, and whether rightly.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    cases: int
    good: int
    true_good: int
    false_good: int
    true_bad: int
    false_bad: int
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    specificity: Estimate
    f1: Estimate
    kappa: Estimate
    auc: Estimate
    brier: Estimate
    ece: Estimate


def agreement(labels: Bools, scores: Floats, weights: Floats, ranking: Floats | None = None) -> Agreement:
    """Hold `scores` in [0, 1] against `labels` (true is good), both of shape (cases,).

    `weights` comes from `resample`, one column a case. `ranking` is what AUC is taken from, where that is not the
    score: it may be any real number.
    """
    called = scores > 0.5
    outcome = (labels & called, ~labels & called, ~labels & ~called, labels & ~called)
    tp, fp, tn, fn = (weights @ kind for kind in outcome)
    total = tp + fp + tn + fn
    return Agreement(
        cases=len(labels),
        good=int(labels.sum()),
        true_good=int(outcome[0].sum()),
        false_good=int(outcome[1].sum()),
        true_bad=int(outcome[2].sum()),
        false_bad=int(outcome[3].sum()),
        accuracy=resampled(_ratio(tp + tn, total)),
        precision=resampled(_ratio(tp, tp + fp)),
        recall=resampled(_ratio(tp, tp + fn)),
        specificity=resampled(_ratio(tn, tn + fp)),
        f1=resampled(_ratio(2 * tp, 2 * tp + fp + fn)),
        kappa=resampled(kappa(labels, called, weights)),
        auc=resampled(auc(labels, scores if ranking is None else ranking, weights)),
        brier=resampled(_ratio(weights @ (scores - labels) ** 2, total)),
        ece=resampled(ece(labels, scores, weights)),
    )


def kappa(labels: Bools, called: Bools, weights: Floats) -> Floats:
    """Take Cohen's kappa of what was `called` good for every row of `weights`; NaN where chance explains all."""
    total, good, said = weights.sum(axis=1), weights @ labels, weights @ called
    accuracy = _ratio(weights @ (labels == called), total)
    chance = _ratio(good * said + (total - good) * (total - said), total * total)
    return _ratio(accuracy - chance, 1 - chance)


def auc(labels: Bools, scores: Floats, weights: Floats) -> Floats:
    """Take the area under the ROC curve for every row of `weights`; NaN where a row has one label only."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0]) if len(scores) else np.zeros(0, int)
    good, bad = (np.add.reduceat(weights[:, order] * kind[order], starts, axis=1) for kind in (labels, ~labels))
    below = np.cumsum(bad, axis=1) - bad / 2  # the bad ones below, and half of those at the same score
    return _ratio((good * below).sum(axis=1), good.sum(axis=1) * bad.sum(axis=1))


def clustered_auc(labels: Bools, scores: Floats, clusters: Sequence[str]) -> Estimate:
    """Take the area of large files, where resampling would be too slow, with its 95 % interval.

    The variance is that of the texts' placement values, summed by cluster (N. A. Obuchowski, Biometrics 1997); of one
    cluster nothing is known, and the interval is everything. Both labels must be there.
    """
    good, bad = scores[labels], scores[~labels]
    ranks = rankdata(scores)
    placed = np.empty(len(scores))  # the share of the other label's texts on the right side of this one, ties half
    placed[labels] = (ranks[labels] - rankdata(good)) / len(bad)
    placed[~labels] = 1 - (ranks[~labels] - rankdata(bad)) / len(good)
    area = float(placed[labels].mean())
    names, cluster_of = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        return Estimate(area, 0.0, 1.0)
    pull = np.bincount(cluster_of, (placed - area) / np.where(labels, len(good), len(bad)))
    half = 1.959964 * float(len(names) / (len(names) - 1) * (pull**2).sum()) ** 0.5
    return Estimate(area, max(0.0, area - half), min(1.0, area + half))


def ece(labels: Bools, scores: Floats, weights: Floats) -> Floats:
    """Take the calibration error over ten bins of equal width for every row of `weights`."""
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    member = bins[:, None] == np.arange(BINS)
    gap = weights @ (member * (scores - labels)[:, None])  # share · (mean score - share of good), times the total
    return _ratio(np.abs(gap).sum(axis=1), weights.sum(axis=1))


def _ratio(above: Floats, below: Floats) -> Floats:
    """`above / below`, and NaN where `below` is 0."""
    ratio: Floats = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=ratio, where=np.abs(below) > 1e-12)
    return ratio
