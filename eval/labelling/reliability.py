"""How far annotators agree, beyond what chance would give, with 95 % intervals.

    same     share of the cases that two annotators call the same (its interval: `intervals.share`)
    kappa    that share, less what independent labels would reach: J. Cohen, Educ. Psychol. Meas. 1960
    alpha    1 - observed / expected disagreement, all annotators at once, whoever labelled what: K. Krippendorff,
             Content Analysis, 2004, ch. 11; "Computing Krippendorff's Alpha-Reliability", 2011

Alpha, from the number n_uc of annotators who gave value c to unit u, m_u = Σ_c n_uc of them, over units with m_u ≥ 2
(others say nothing about agreement), n = Σ_u m_u and n_c = Σ_u n_uc:

    alpha = 1 - (n - 1) · Σ_u [Σ_{c<k} n_uc n_uk d_ck / (m_u - 1)] / Σ_{c<k} n_c n_k d_ck

with d_ck = 1 for labels (nominal) and (c - k)² for scores (interval). It is undefined where only one value was given.

Kappa and alpha are resampled by query (`intervals.resample`). "Cannot tell" is a missing value: it drops out of all
three, and is counted beside them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from kindling.eval.agreement import agreement
from kindling.eval.intervals import Estimate, Floats, resample, resampled, share
from kindling.eval.labelling.answers import Answer
from kindling.eval.labelling.items import Item
from kindling.eval.labelling.rubric import LEVELS

Standing = Mapping[str, Mapping[str, Answer]]


@dataclass(frozen=True, slots=True)
class Annotator:
    """How many cases somebody answered, and how."""

    name: str
    good: int
    bad: int
    cannot_tell: int


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two annotators on the `cases` that both called good or bad."""

    first: str
    second: str
    cases: int
    same: Estimate
    kappa: Estimate


@dataclass(frozen=True, slots=True)
class Reliability:
    """`alpha` over the `shared` cases that two or more called good or bad; `dimensions`, the same for the scores."""

    annotators: tuple[Annotator, ...]
    pairs: tuple[PairAgreement, ...]
    shared: int
    alpha: Estimate
    dimensions: dict[str, Estimate]


def about(items: Sequence[Item], stands: Standing) -> Standing:
    """What of `stands` is about `items`; annotators who said nothing about them are left out."""
    ids = {item.id for item in items}
    kept = {name: {case: one for case, one in said.items() if case in ids} for name, said in stands.items()}
    return {name: said for name, said in sorted(kept.items()) if said}


def reliability(items: Sequence[Item], stands: Standing, seed: int) -> Reliability:
    """Measure agreement on `items` among two annotators or more; `stands` is what stands about them."""
    weights = resample([item.query for item in items], seed)
    label = {name: [_value(said.get(item.id), ("bad", "good")) for item in items] for name, said in stands.items()}
    counts = _counts(list(label.values()), 2)
    told = {name: Counter(one.answer for one in said.values()) for name, said in stands.items()}
    keys = {key: None for said in stands.values() for one in said.values() for key in one.scores or ()}
    return Reliability(
        tuple(Annotator(name, told[name]["good"], told[name]["bad"], told[name]["cannot tell"]) for name in label),
        tuple(_pair(a, b, label, items, weights) for a, b in combinations(label, 2)),
        int((counts.sum(axis=1) > 1).sum()),
        resampled(alpha(counts, 1 - np.eye(2), weights)),
        {key: _dimension(key, items, stands, weights) for key in keys},
    )


def alpha(counts: Floats, distance: Floats, weights: Floats) -> Floats:
    """Krippendorff's alpha for every row of `weights` (rounds, units); NaN where it is undefined.

    `counts` (units, values) says how many annotators gave each value to a unit, `distance` (values, values) how far
    apart values are: symmetric, 0 on the diagonal.
    """
    raters = counts.sum(axis=1)
    used = raters > 1
    counts, raters, weights = counts[used], raters[used], weights[:, used]
    within = ((counts @ distance) * counts).sum(axis=1) / 2 / (raters - 1)
    given = weights @ counts  # (rounds, values): n_c
    expected = ((given @ distance) * given).sum(axis=1) / 2
    observed = (weights @ raters - 1) * (weights @ within)
    found: Floats = np.full(len(weights), np.nan)
    np.divide(observed, expected, out=found, where=expected > 0)
    return 1 - found


def _value(answer: Answer | None, values: Sequence[str]) -> int | None:
    return values.index(answer.answer) if answer and answer.answer in values else None


def _counts(by_annotator: Sequence[Sequence[int | None]], values: int) -> Floats:
    """(units, values): how many annotators gave which value to which unit."""
    units = zip(*by_annotator, strict=True)
    return np.array([[unit.count(value) for value in range(values)] for unit in units], dtype=float)


def _dimension(key: str, items: Sequence[Item], stands: Standing, weights: Floats) -> Estimate:
    scores = [
        [LEVELS.index(one.scores[key]) if (one := said.get(item.id)) and one.scores and key in one.scores else None
         for item in items]
        for said in stands.values()
    ]  # fmt: skip
    levels = np.array(LEVELS, dtype=float)
    return resampled(alpha(_counts(scores, len(LEVELS)), (levels[:, None] - levels) ** 2, weights))


def _pair(
    first: str, second: str, label: Mapping[str, Sequence[int | None]], items: Sequence[Item], weights: Floats
) -> PairAgreement:
    both = [at for at, pair in enumerate(zip(label[first], label[second], strict=True)) if None not in pair]
    a, b = (np.array([label[name][at] for at in both], dtype=float) for name in (first, second))
    same = share(float((a == b).sum()), [items[at].query for at in both])
    kappa = agreement(a > 0, b, weights[:, both]).kappa if both else Estimate()
    return PairAgreement(first, second, len(both), same, kappa)
