"""Learn the embedded judge's weights from labelled cases: logistic regression that starts from what the lexicon says.

The inputs are counts of findings, at most `most` of each check: length is no input, and padding adds nothing. The
penalty pulls each weight towards the lexicon's (a Gaussian prior around it, MAP estimate), and none may leave the range
from half to twice the lexicon's: a merit stays a merit, a flaw that the cases happen not to show keeps its weight, and
what these cases do not reward is not unlearned. Without evidence a text is not good, so the bias is at most 0.

Beside the cases stand two kinds of evidence that are made from what is there:

    swapped   a good text is better under its own query than under one about another topic or for another audience; as
              in R. A. Bradley and M. E. Terry (Biometrika 1952), only the difference counts, so that what is good about
              the text itself is not held against it
    stock     a topic's name and stock phrases, few or many, are bad

Good and bad weigh the same; of the bad, stock is a third. All swaps together weigh half as much as all that.
"""

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from kindling.agents.embedded.examiner import Examiner
from kindling.agents.embedded.weights import Weights
from kindling.agents.requests import measure
from kindling.records import Case, LabelledCase

Floats = NDArray[np.float64]

PENALTY = 0.5
RANGE = 2.0
SWAPS = 2  # queries of each kind for a good text
STOCK = 400
MOST_STOCK = 6  # phrases in a text
STOCK_SHARE = 1 / 3  # of the bad
SWAP_SHARE = 0.5  # beside the cases


def fit(examiner: Examiner, cases: Sequence[LabelledCase], stock: Sequence[LabelledCase], seed: int = 0) -> Weights:
    """Learn from `cases`, good texts of them under other queries, and `stock`."""
    inputs, sign, weight = _evidence(examiner, cases, stock, seed)
    prior = np.array([check.weight for check in examiner.lexicon.checks.values()])

    def loss(place: Floats) -> tuple[float, Floats]:
        margin = sign * (inputs @ place)
        slope = -sign * weight / (1 + np.exp(np.minimum(margin, 500)))
        strayed = np.concatenate([[0.0], place[1:] - prior])
        value = weight @ np.logaddexp(0, -margin) + PENALTY * strayed @ strayed
        return float(value), inputs.T @ slope + 2 * PENALTY * strayed

    bounds = [(None, 0.0), *(tuple(sorted((one / RANGE, one * RANGE))) for one in prior)]
    start = np.concatenate([[min(examiner.lexicon.judgement.bias, 0.0)], prior])
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return Weights(float(found[0]), dict(zip(examiner.lexicon.checks, map(float, found[1:]), strict=True)), "")


def _evidence(
    examiner: Examiner, cases: Sequence[LabelledCase], stock: Sequence[LabelledCase], seed: int
) -> tuple[Floats, Floats, Floats]:
    """Inputs (N, 1 + C) with the bias first, signs (N,) and weights (N,) of labelled cases and pairs."""
    own = count(examiner, [(case.query, case.response) for case in cases])
    plain = count(examiner, [(case.query, case.response) for case in stock])
    pairs = swaps(examiner, cases, seed)
    better = count(examiner, [(case.query, case.response) for case, _ in pairs])
    worse = count(examiner, [(query, case.response) for case, query in pairs])
    good = np.array([case.label == "good" for case in cases])
    total = len(cases) / 2
    weight = np.where(good, total / max(good.sum(), 1), total * (1 - STOCK_SHARE) / max((~good).sum(), 1))
    inputs = np.vstack([own, plain, better - worse])
    sign = np.concatenate([np.where(good, 1.0, -1.0), -np.ones(len(plain)), np.ones(len(pairs))])
    made = [np.full(len(plain), total * STOCK_SHARE / max(len(plain), 1))]
    made.append(np.full(len(pairs), len(cases) * SWAP_SHARE / max(len(pairs), 1)))
    return inputs, sign, np.concatenate([weight, *made])


def count(examiner: Examiner, texts: Sequence[tuple[str, str]]) -> Floats:
    """Findings of each check in N (query, response), shape (N, 1 + C); the first column is 1, for the bias."""
    place = {key: column for column, key in enumerate(examiner.lexicon.checks, 1)}
    counts = np.zeros((len(texts), 1 + len(place)))
    counts[:, 0] = 1
    for row, (query, response) in enumerate(texts):
        for found in examiner.examine(Case(query, response)):
            counts[row, place[found.check]] += 1
    return counts


def swaps(examiner: Examiner, cases: Sequence[LabelledCase], seed: int) -> list[tuple[LabelledCase, str]]:
    """Good cases, each with a query that the text cannot be for, though it meets what can be verified of it."""
    rng = random.Random(seed)  # noqa: S311 - a reproducible draw, no secret
    good = [case for case in cases if case.label == "good"]
    readings = {case.query: examiner.read(case.query) for case in good}
    near, kin = examiner.lexicon.near, examiner.lexicon.kin
    pairs = []
    for case in good:
        own = readings[case.query]
        beside = {one for topic in own.topics for one in near[topic]}
        far = [query for query, one in readings.items() if one.known and own.known and not beside & {*one.topics}]
        folk = [
            query
            for query, one in readings.items()
            if {*own.topics} & {*one.topics} and one.audience and own.audience and one.audience not in kin[own.audience]
        ]
        for pool in (far, folk):
            for query in rng.sample(pool, min(SWAPS, len(pool))):
                if all(fact.met for fact in measure(query, case.response, examiner.brief_chars)):
                    pairs.append((case, query))
    return pairs


def stock_cases(examiner: Examiner, queries: Sequence[str], frame: str, join: str, seed: int = 0) -> list[LabelledCase]:
    """Texts of nothing but stock: `frame` with a {topic} in it, and up to `MOST_STOCK` stock phrases, put by `join`."""
    rng = random.Random(seed)  # noqa: S311 - a reproducible draw, no secret
    phrases = examiner.lexicon.wording("cliches") + examiner.lexicon.wording("generic")
    made: list[LabelledCase] = []
    while len(made) < STOCK:
        query = rng.choice(queries)
        topic = examiner.lexicon.topics[examiner.read(query).topic]
        words = [frame.format(topic=rng.choice(topic.marks or topic.cues))]
        words += rng.sample(phrases, rng.randint(0, min(MOST_STOCK, len(phrases))))
        made.append(LabelledCase(query, join.join(words), "bad"))
    return made
