"""How small a difference an evaluation can tell, and how many queries it would take to tell a smaller one.

Between two models, the difference of their rates has the standard error s / √Q over Q queries, where s is how much a
query's part in it strays, as measured on these very models (pairs of models together by their mean square). A test at
the level α finds a true difference of

    δ = (z(1 - α/2) + z(0.8)) s / √Q

in 80 % of evaluations. α is 5 % shared by all pairs of models (Bonferroni), as Holm's correction grants the first.

Models that hardly differ stray little, but a true difference would make them stray, and the test is exact: k queries
that all speak for one model have p = 2 / 2ᵏ, so it takes at least so many. That much is asked for even where no query
speaks for the other model.
"""

import math
from collections.abc import Sequence

from scipy.stats import beta, nbinom, norm

POWER = 0.80
ALPHA = 0.05
POINTS = (1, 2, 5, 10)


def reach(pairs: int) -> float:
    """How many standard errors a true difference must measure; `pairs` of models share the level."""
    return float(norm.ppf(1 - _level(pairs) / 2) + norm.ppf(POWER))


def fewest(pairs: int) -> int:
    """How many queries must speak for one model, and none for the other, before the exact test is below the level."""
    return math.floor(1 - math.log2(_level(pairs))) + 1


def detectable(spreads: Sequence[float], queries: int, each: float = 1) -> float:
    """The smallest true difference that is found in 80 % of evaluations, from the pairs' spreads; at most 1.

    `each` is the texts a query.
    """
    usual, k = reach(len(spreads)) * _together(spreads) / math.sqrt(queries), fewest(len(spreads))
    least = float(beta.ppf(POWER, k, queries - k + 1)) / each if queries >= k else 1.0
    return min(1.0, max(usual, least))


def needed(spreads: Sequence[float], each: float = 1) -> dict[str, int]:
    """How many queries it takes to find differences of so many points."""
    strays, k = reach(len(spreads)) * _together(spreads), fewest(len(spreads))
    return {
        str(points): max(
            math.ceil((strays / (points / 100)) ** 2), k + int(nbinom.ppf(POWER, k, min(1.0, each * points / 100)))
        )
        for points in POINTS
    }


def _level(pairs: int) -> float:
    return ALPHA / max(1, pairs)


def _together(spreads: Sequence[float]) -> float:
    return math.sqrt(math.fsum(spread * spread for spread in spreads) / len(spreads))
