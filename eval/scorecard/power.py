"""How small a difference an evaluation can tell, and how many queries it would take to tell a smaller one.

Between two models, the difference of their rates has the standard error s / √Q over Q queries, where s is how much a
query's part in it strays, as measured on these very models (pairs of models together by their mean square). A test at
the level α finds a true difference of

    δ = (z(1 - α/2) + z(0.8)) s / √Q

in 80 % of evaluations. α is 5 % shared by all pairs of models (Bonferroni), as Holm's correction grants the first.
"""

import math
from collections.abc import Sequence

from scipy.stats import norm

POWER = 0.80
ALPHA = 0.05
POINTS = (1, 2, 5, 10)


def reach(pairs: int) -> float:
    """How many standard errors a true difference must measure; `pairs` of models share the level."""
    return float(norm.ppf(1 - ALPHA / (2 * max(1, pairs))) + norm.ppf(POWER))


def detectable(spreads: Sequence[float], queries: int) -> float:
    """The smallest true difference that is found in 80 % of evaluations, from the pairs' spreads; at most 1."""
    return min(1.0, reach(len(spreads)) * _together(spreads) / math.sqrt(queries))


def needed(spreads: Sequence[float]) -> dict[str, int]:
    """How many queries it takes to find differences of so many points."""
    strays = reach(len(spreads)) * _together(spreads)
    return {str(points): math.ceil((strays / (points / 100)) ** 2) for points in POINTS}


def _together(spreads: Sequence[float]) -> float:
    return math.sqrt(math.fsum(spread * spread for spread in spreads) / len(spreads))
