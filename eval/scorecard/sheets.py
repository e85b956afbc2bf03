"""What goes into a scorecard: rows that were asked of every model, and a sheet of texts and scores for each.

The n-th entry of every sheet answers the n-th row. A text that is not whole has a failure instead and no score; a score
that a judge could not give is NaN. Neither is ever a bad text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kindling.eval.intervals import Floats

Failure = Literal["empty", "cut_off", "failed"]


@dataclass(frozen=True, slots=True)
class Row:
    """One text that every model is asked for: the `index`-th to a query, which is of a group."""

    query: str
    index: int
    group: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What a model answered: a whole text, or what went wrong and why."""

    text: str
    failure: Failure | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything from one model, row by row; `scores` maps a judge's name to scores in [0, 1], shape (rows,)."""

    name: str
    written: tuple[Written, ...]
    scores: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Duels:
    """What a comparer made of every two models' texts, row by row, in the order of the sheets.

    `won` has 1 where the first model's text is preferred in both orders, 0 the other's, .5 for a tie, NaN where there
    is no preference; `turned` counts the rows whose preference turned with the order.
    """

    judge: str
    independent_of: tuple[str, ...]
    won: Mapping[tuple[str, str], Floats]
    turned: Mapping[tuple[str, str], NDArray[np.bool_]]
