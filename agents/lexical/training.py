"""Fitting a learned judge, and measuring it on what its parts had not seen.

The cases are cut into three folds, all cases of one request in one fold. What the parts learned from two folds is asked
about the third; on these answers the three questions are calibrated and the limits set, so that no part's confidence in
its own training cases enters. The same answers, calibrated, are the out-of-fold scores that are reported. Then the
parts are learned once more from everything.

The contrast to a fitting request is another row's request, drawn at random; to a whole text, the same text cut off.
Both are assumed to be rare in use: `RARE` is their prior.

Same cases and seed, same bytes: one thread, one generator of random numbers a fold.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from kindling import __version__
from kindling.agents.lexical import ending, wording
from kindling.agents.lexical.model import LexicalModel, platt
from kindling.agents.lexical.ngrams import Floats, framed
from kindling.agents.lexical.parts import Parts, Reading, learn
from kindling.agents.lexical.request import Vectors
from kindling.errors import InputError
from kindling.records import LabelledCase, fingerprint

FOLDS = 3
LEAST = 30  # cases of each label, and different requests
LEAST_SHARED = 10  # equally weighted cases of each label, where length is balanced
RARE = 0.1
BEYOND = 0.005  # share of the good texts that lies outside each limit


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model and what was measured while it was fitted.

    `cases` are those that were used, `scores` (N,) what parts that had not seen a case say of it. `own` and `other`,
    both (G,), are the scores of the G good cases under their own request and under another one. `dropped` counts the
    rows that were not used, by reason.
    """

    model: LexicalModel
    cases: tuple[LabelledCase, ...]
    scores: Floats
    own: Floats
    other: Floats
    dropped: dict[str, int]


def fit(cases: Iterable[LabelledCase], seed: int = 0) -> Fitted:
    """Learn a judge from `cases`.

    Raises `InputError` if fewer than `LEAST` usable cases of a label or different requests are left, or if good and bad
    texts share too few lengths, since then nothing but length could be learned.
    """
    kept, dropped = usable(cases)
    data = _Data.of(kept)
    _refuse(data)
    with threadpool_limits(1):  # sums in another order are other bytes
        answers = [_ask_the_third(data, fold, seed) for fold in _folds(data, seed)]
        parts = learn(data.requests, data.texts, data.lengths, data.good, np.random.default_rng([seed, FOLDS]))
        calibration, limits = _calibrate(answers)
        about = {"cases": len(kept), "good": int(data.good.sum()), "seed": seed, "kindling": __version__}
        learned = sorted({fingerprint(case.response) for case in kept})
        model = LexicalModel(parts, calibration, limits, {**about, "dropped": dict(dropped), "learned": learned})
        scores, own, other = _measure(data, answers, calibration, limits)
    return Fitted(model, kept, scores, own, other, dict(dropped))


def usable(cases: Iterable[LabelledCase]) -> tuple[tuple[LabelledCase, ...], Counter[str]]:
    """Give the cases to learn from, in their order, and count the others: empty, contradictory, repeated."""
    everything = list(cases)
    labels: dict[tuple[str, str], set[str]] = {}
    for case in everything:
        labels.setdefault((case.query, case.response), set()).add(case.label)
    kept: dict[tuple[str, str], LabelledCase] = {}
    dropped: Counter[str] = Counter()
    for case in everything:
        key = (case.query, case.response)
        if not case.query.strip() or not case.response.strip():
            dropped["empty"] += 1
        elif len(labels[key]) > 1:
            dropped["called good and bad"] += 1
        elif key in kept:
            dropped["repeated"] += 1
        else:
            kept[key] = case
    return tuple(kept.values()), dropped


@dataclass(frozen=True, slots=True)
class _Data:
    """N cases as arrays: framed requests and texts, the request's number, length in characters, label."""

    requests: list[list[str]]
    texts: list[list[str]]
    groups: NDArray[np.intp]
    lengths: NDArray[np.intp]
    good: NDArray[np.bool_]

    @classmethod
    def of(cls, cases: Sequence[LabelledCase]) -> "_Data":
        numbers = {query: number for number, query in enumerate(dict.fromkeys(case.query for case in cases))}
        return cls(
            [framed(case.query) for case in cases],
            [framed(case.response) for case in cases],
            np.array([numbers[case.query] for case in cases], dtype=np.intp),
            np.array([len(case.response) for case in cases], dtype=np.intp),
            np.array([case.label == "good" for case in cases], dtype=bool),
        )

    def take(self, rows: Any) -> "_Data":
        picked = np.arange(len(self.good))[rows]
        requests, texts = ([whole[row] for row in picked] for whole in (self.requests, self.texts))
        return _Data(requests, texts, self.groups[picked], self.lengths[picked], self.good[picked])


@dataclass(frozen=True, slots=True)
class _Answers:
    """What the parts of the other folds say about the cases `rows` of one fold.

    `reading` and `requests` are of all of them; of the good ones, `others` is another request each, and `cut` the
    ending of the text cut off.
    """

    rows: NDArray[np.intp]
    good: NDArray[np.bool_]
    parts: Parts
    reading: Reading
    requests: Vectors
    others: Vectors
    cut: Floats


def _refuse(data: _Data) -> None:
    good, bad = int(data.good.sum()), int((~data.good).sum())
    queries = len(set(data.groups.tolist()))
    for count, what in ((good, "good texts"), (bad, "bad texts"), (queries, "different queries")):
        if count < LEAST:
            raise InputError(f"too little to learn from: {count} usable {what}, and it takes at least {LEAST}")
    weights = wording.overlap_weights(data.lengths, data.good)
    for side, what in ((data.good, "good"), (~data.good, "bad")):
        shared = wording.effective_size(weights[side])
        if shared < LEAST_SHARED:
            raise InputError(
                f"nothing but length could be learned: at the lengths that good and bad texts share, the {what} ones"
                f" are worth {shared:.0f} and it takes {LEAST_SHARED}; add good and bad texts of the same length"
            )


def _folds(data: _Data, seed: int) -> list[tuple[int, NDArray[np.bool_]]]:
    """(number, which cases it holds) of each fold."""
    order = np.random.default_rng(seed).permutation(int(data.groups.max()) + 1)
    place = order[data.groups] % FOLDS
    return [(fold, place == fold) for fold in range(FOLDS)]


def _ask_the_third(data: _Data, fold: tuple[int, NDArray[np.bool_]], seed: int) -> _Answers:
    number, held = fold
    rng = np.random.default_rng([seed, number])
    seen, unseen = data.take(~held), data.take(held)
    if not (seen.good.any() and unseen.good.any() and (~seen.good).any() and (~unseen.good).any()):
        raise InputError("the good or the bad cases belong to too few queries; add queries")
    parts = learn(seen.requests, seen.texts, seen.lengths, seen.good, rng)
    reading = parts.read(unseen.texts)
    requests = parts.ask(unseen.requests)
    good = np.flatnonzero(unseen.good)
    cuts = [ending.cut_off(unseen.texts[row], rng) for row in good]
    strange = _strangers(unseen.groups, good, rng)
    return _Answers(np.flatnonzero(held), unseen.good, parts, reading, requests, requests[strange], parts.end(cuts))


def _strangers(groups: NDArray[np.intp], rows: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """For each of `rows`, draw a row with another request; there are several requests."""
    drawn = rng.integers(len(groups), size=len(rows))
    while (same := groups[drawn] == groups[rows]).any():
        drawn[same] = rng.integers(len(groups), size=int(same.sum()))
    return drawn


def _calibrate(answers: list[_Answers]) -> tuple[Floats, Floats]:
    """Calibration (3, 2) and limits (4,) from all folds' answers."""
    good = np.concatenate([one.good for one in answers])
    worded = np.concatenate([one.reading.wording for one in answers])
    fits = [one.parts.encoder.fit(one.requests, one.reading.vectors)[one.good] for one in answers]
    misfits = [one.parts.encoder.fit(one.others, one.reading.vectors[one.good]) for one in answers]
    ends = [one.reading.ending[one.good] for one in answers]
    calibration = np.array([
        platt(worded, good),
        _rarely(np.concatenate(fits), np.concatenate(misfits)),
        _rarely(np.concatenate(ends), np.concatenate([one.cut for one in answers])),
    ])  # fmt: skip
    limits = []
    for name, beyond in (("known", BEYOND), ("distinct", BEYOND), ("strange", 1 - BEYOND), ("length", 1 - BEYOND)):
        there = np.concatenate([getattr(one.reading, name)[one.good] for one in answers])
        limits.append(max(float(np.quantile(there, beyond)), 1e-3))
    return calibration, np.array(limits)


def _rarely(yes: Floats, no: Floats) -> tuple[float, float]:
    """Calibrate a question whose answer is no in `RARE` of all cases."""
    count = len(yes) + len(no)
    weights = np.r_[np.full(len(yes), (1 - RARE) * count / len(yes)), np.full(len(no), RARE * count / len(no))]
    return platt(np.r_[yes, no], np.arange(count) < len(yes), weights)


def _measure(
    data: _Data, answers: list[_Answers], calibration: Floats, limits: Floats
) -> tuple[Floats, Floats, Floats]:
    """Out-of-fold scores of all cases, and of the good ones under their own and under another request."""
    scores, other = np.empty(len(data.good)), np.empty(len(data.good))
    for one in answers:
        model = LexicalModel(one.parts, calibration, limits, {})
        scores[one.rows] = model.weigh(one.reading, one.requests).score
        requests = one.requests.copy()
        requests[one.good] = one.others
        other[one.rows] = model.weigh(one.reading, requests).score
    return scores, scores[data.good], other[data.good]
