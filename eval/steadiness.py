"""Is a judge steady? The same cases, judged again: how many labels flip, and how far scores stray.

A judge that uses no chance answers the same every time, and its certificate then says so as a measured fact. Whether
the *order* of two texts matters is not asked: judges here see one text at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import ClassVar

from pydantic import ConfigDict

from kindling.eval.intervals import Estimate, share
from kindling.records import Verdict

NO_ORDER = "not applicable: the judge sees one text at a time"


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Of `cases` with at least two scored verdicts out of `repeats`, the share whose labels differ.

    `score_sd` is the mean of the cases' sample standard deviations. `unscored` counts verdicts. With `repeats` = 1
    nothing was judged again.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    repeats: int
    cases: int
    flips: Estimate
    score_sd: float | None
    unscored: int
    order: str = NO_ORDER


def steadiness(queries: Sequence[str], rounds: Sequence[Sequence[Verdict]]) -> Steadiness:
    """Compare `rounds` of verdicts on the same cases, whose queries are `queries`."""
    scores = [[verdict.score for verdict in case if verdict.score is not None] for case in zip(*rounds, strict=True)]
    several = [(query, each) for query, each in zip(queries, scores, strict=True) if len(each) > 1]
    flipped = sum(len({score > 0.5 for score in each}) > 1 for _, each in several)
    return Steadiness(
        len(rounds),
        len(several),
        share(flipped, [query for query, _ in several]),
        fmean(stdev(each) for _, each in several) if several else None,
        sum(verdict.score is None for one in rounds for verdict in one),
    )
