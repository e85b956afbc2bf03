"""The learned judge as a function: three calibrated probabilities, their product, the limits of what was learned."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from kindling.agents.lexical.ngrams import Floats, framed, spellings
from kindling.agents.lexical.parts import TEXT_NGRAMS, Parts, Reading
from kindling.agents.lexical.request import Vectors
from kindling.records import fingerprint

QUESTIONS = ("wording", "request", "ending")
LIMITS = ("known", "distinct", "strange", "length")
NAMED = 3


@dataclass(frozen=True, slots=True)
class Scores:
    """N judgements: `score` (N,) in [0, 1] and its factors (N, 3), in the order of `QUESTIONS`.

    `within` (N, 4), in the order of `LIMITS`, says how far each case is within them: 1 or more is within.
    """

    score: Floats
    factors: Floats
    within: Floats


@dataclass(frozen=True, slots=True)
class LexicalModel:
    """Learned parts with their calibration, shape (3, 2): slope and intercept of each question's logit.

    `limits`, shape (4,): the least known and distinct shares, the longest foreign stretch and the greatest length, in
    units, of nearly all good texts. `about` says what it was learned from, in plain JSON values; under `learned` are
    the `fingerprints` of its texts.
    """

    parts: Parts
    calibration: Floats
    limits: Floats
    about: dict[str, Any]

    def score(self, requests: Sequence[str], texts: Sequence[str]) -> Scores:
        """Judge N texts, each for its own request."""
        reading = self.parts.read([framed(text) for text in texts])
        return self.weigh(reading, self.parts.ask([framed(one) for one in requests]))

    def weigh(self, reading: Reading, requests: Vectors) -> Scores:
        """Judge N texts that are read already against N requests that are read already.

        Outside the limits nothing was learned, so the score is at most one half there, which is not good.
        """
        fit = self.parts.encoder.fit(requests, reading.vectors)
        logits = np.stack([reading.wording, fit, reading.ending], axis=1).astype(float) * self.calibration[:, 0]
        factors = expit(logits + self.calibration[:, 1])
        known, distinct, strange, longest = self.limits
        shares = (reading.known / known, reading.distinct / distinct)
        lengths = (strange / np.maximum(reading.strange, 1), longest / np.maximum(reading.length, 1))
        within = np.stack([*shares, *lengths], axis=1)
        nearest = within.min(axis=1)
        score = factors.prod(axis=1)
        return Scores(np.where(nearest < 1, np.minimum(score, 0.5) * nearest, score), factors, within)

    def seen(self, texts: Iterable[str]) -> int | None:
        """Count those of `texts` that it was learned from; None where it does not say, being from before it did."""
        if "learned" not in self.about:
            return None
        learned = set(self.about["learned"])
        return sum(fingerprint(text) in learned for text in texts)

    def explain(self, request: str, text: str, scores: Scores) -> str:
        """Say in a line what decided about the one case that `scores` is of."""
        outside = [name for name, much in zip(LIMITS, scores.within[0], strict=True) if much < 1]
        if outside:
            return f"unlike the texts it learned from: {', '.join(_OUTSIDE[name] for name in outside)}"
        named = {"wording": self._wording(text), "request": self._relation(request, text), "ending": _end(text)}
        order = sorted(range(3), key=lambda index: float(scores.factors[0, index]))
        facts = [f"{QUESTIONS[index]} {scores.factors[0, index]:.2f} ({named[QUESTIONS[index]]})" for index in order]
        return "; ".join(facts)

    def _wording(self, text: str) -> str:
        """Name the n-grams that count most for and against the text."""
        sequence = framed(text)
        bag = self.parts.text.bags([sequence]).weights
        weight = bag.data * self.parts.wording[bag.indices] * self.calibration[0, 0]
        names = spellings(sequence, TEXT_NGRAMS)
        codes = self.parts.text.codes[bag.indices]
        return _most([(names[int(code)], float(much)) for code, much in zip(codes, weight, strict=True)])

    def _relation(self, request: str, text: str) -> str:
        """Name the n-grams of the text that speak most for this request and against it.

        Each one's share of the fit, to first order: its part of the text's vector times the gradient of the fit.
        """
        sequence = framed(text)
        bag = self.parts.tell(self.parts.text.bags([sequence]).weights)
        vectors = bag.data[:, None] * self.parts.encoder.said[bag.indices]
        length = max(float(np.linalg.norm(vectors.sum(axis=0))), 1e-6)
        gradient = self.parts.encoder.gradient(self.parts.ask([framed(request)])[0], vectors.sum(axis=0) / length)
        shares = self.calibration[1, 0] * (vectors @ gradient) / length
        names = spellings(sequence, TEXT_NGRAMS)
        codes = self.parts.text.codes[self.parts.told[bag.indices]]
        return _most([(names[int(code)], float(much)) for code, much in zip(codes, shares, strict=True)])


_OUTSIDE = {
    "known": "most of its n-grams are new",
    "distinct": "it repeats itself",
    "strange": "a long stretch of it is new",
    "length": "it is too long",
}


def _end(text: str) -> str:
    return "".join(text.strip()[-4:].split()) or "nothing"


def _most(named: list[tuple[str, float]]) -> str:
    """Write the few entries of the largest weight; of entries that overlap, the one that weighs most."""
    chosen: list[tuple[str, float]] = []
    for name, weight in sorted(named, key=lambda one: (-abs(one[1]), one[0])):
        if len(chosen) < NAMED and not any(name in other or other in name for other, _ in chosen):
            chosen.append((name, weight))
    return ", ".join(f"{name} {weight:+.2f}" for name, weight in chosen) or "nothing known"


def platt(raw: Floats, good: NDArray[np.bool_], weights: Floats | None = None) -> tuple[float, float]:
    """Fit slope and intercept of the logit to labels (J. C. Platt, 1999); a slope below 0 becomes 0."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e3, max_iter=500).fit(raw[:, None], good, sample_weight=weights)
    return max(float(fitted.coef_[0, 0]), 0.0), float(fitted.intercept_[0])
