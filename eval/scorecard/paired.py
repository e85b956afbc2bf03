"""Two models on the same queries: the difference of their rates, an exact test, wins and ties.

Texts are paired by query and place, and only pairs that the judge scored both of count. With d_q what the first model's
texts to query q gained over the other's (good texts, or any score),

    difference   Σ d_q / pairs, with an interval for differences of paired shares: half a query that only the one has
                 good, half a query that only the other has, and one that says nothing are added before the usual
                 interval over queries is taken (A. Agresti and Y. Min, Stat. Med. 2005); without them, models that
                 differ on no query would differ by 0 for certain
    p            P(|Σ ± d_q| ≥ |Σ d_q|), exact, with either sign equally likely (R. A. Fisher 1935; of one text a query
                 this is McNemar's exact test)
    p_holm       the same, corrected for all pairs of models by one judge on one group (S. Holm, Scand. J. Stat. 1979)
    wins, ties   by scores: a win is a score higher by more than the band

A judge sees one text at a time, so the order of two texts cannot matter to it; a judge of labels alone ties wherever it
gives both the same. A comparer sees both and was asked in both orders: what it prefers in one only is a tie. It gives
no rates, so there is no difference of them, and p is about its wins and losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindling.eval.gate import sign_flip
from kindling.eval.intervals import Estimate, Floats
from kindling.eval.scorecard.rates import Z, rate

ALONE = "one text at a time: the order of two texts cannot matter"
BAND = 0.1


@dataclass(frozen=True, slots=True)
class Paired:
    """What `compare` found; `spread` is the standard deviation of a query's part in the difference."""

    queries: int
    pairs: int
    difference: Estimate
    spread: float
    p: float
    wins: int
    ties: int
    losses: int
    win_rate: Estimate


def compare(one: Floats, other: Floats, clusters: Sequence[str], band: float = BAND) -> Paired | None:
    """Compare scores in [0, 1] of the same rows, NaN where there is none; None where no row has both.

    A text is called good when its score is above one half. `clusters` are the rows' queries.
    """
    both = ~(np.isnan(one) | np.isnan(other))
    if not both.any():
        return None
    mine, theirs = one[both], other[both]
    names = np.asarray(clusters)[both]
    queries, of = np.unique(names, return_inverse=True)
    gained = np.bincount(of, (mine > 0.5).astype(float) - (theirs > 0.5))
    difference, spread = _difference(gained, np.bincount(of))
    won = outcome(mine, theirs, band)
    return _paired(won, names.tolist(), len(queries), difference, spread, two_sided(gained))


def preferred(won: Floats, clusters: Sequence[str]) -> Paired | None:
    """Sum up preferences between two models' texts row by row: 1 for the first, 0 for the other, .5 a tie, NaN none."""
    there = ~np.isnan(won)
    if not there.any():
        return None
    names = np.asarray(clusters)[there]
    queries, of = np.unique(names, return_inverse=True)
    gained = np.bincount(of, 2 * won[there] - 1)
    spread = float((gained / np.bincount(of)).std(ddof=1)) if len(queries) > 1 else 1.0
    return _paired(won[there], names.tolist(), len(queries), Estimate(), spread, two_sided(gained))


def outcome(one: Floats, other: Floats, band: float) -> Floats:
    """Who wins by scores, row by row: 1 the first, 0 the other, .5 for scores within the band, NaN where one lacks."""
    gap = one - other
    found: Floats = np.where(np.isnan(gap), np.nan, np.where(gap > band, 1.0, np.where(gap < -band, 0.0, 0.5)))
    return found


def _paired(won: Floats, names: list[str], queries: int, difference: Estimate, spread: float, p: float) -> Paired:
    wins, losses = int((won == 1).sum()), int((won == 0).sum())
    ties = len(won) - wins - losses
    return Paired(queries, len(won), difference, spread, p, wins, ties, losses, rate(won, names))


def _difference(gained: NDArray[Any], sizes: NDArray[Any]) -> tuple[Estimate, float]:
    """The difference with its interval, and how much a query's part in it strays."""
    queries, each = len(gained), float(sizes.mean())
    value = float(gained.sum() / sizes.sum())
    # two more queries of the usual size: half a one for either model, and one on which they are alike
    count = queries + 2
    drawn = float(gained.sum() / (sizes.sum() + 2 * each))
    squares = ((gained - drawn * sizes) ** 2).sum() + each**2 * ((1 - drawn) ** 2 / 2 + (1 + drawn) ** 2 / 2 + drawn**2)
    spread = float((squares / count) ** 0.5 / each)
    half = Z * spread / count**0.5
    return Estimate(value, min(value, max(-1.0, drawn - half)), max(value, min(1.0, drawn + half))), spread


def two_sided(gained: NDArray[Any]) -> float:
    """Test exactly whether whole-numbered gains are as likely to be losses."""
    whole = np.rint(gained).astype(int)
    return min(1.0, 2 * sign_flip(whole if whole.sum() > 0 else -whole)) if whole.sum() else 1.0


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p values for their number, in their order."""
    found, most = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda at: ps[at])):
        most = max(most, min(1.0, (len(ps) - rank) * ps[place]))
        found[place] = most
    return found
