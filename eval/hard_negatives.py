"""Hard negatives: flawed texts that fooled a judge of a refinement game, as one more family of a certificate's attacks.

Unlike the shipped attacks (`kindling.eval.attacks`), they are whole texts of their own, bad by their making, and are
asked about whatever the judge says of anything else. A judge that is refined should know the ones it was refined
against; those of another game, which it never met, say more.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from kindling.eval.fooling import WORST, AttackCount, Family
from kindling.eval.intervals import share
from kindling.game import Standing
from kindling.records import Verdict, load
from kindling.tables import read_rows

FAMILY = "hard negatives"


@dataclass(frozen=True, slots=True)
class HardNegative:
    """A line of hard_negatives.jsonl: a forgery, and the round of its game, from 1, where it is known."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    query: str
    response: str
    flaws: str = ""
    round: int | None = None

    @property
    def named(self) -> str:
        """What a certificate calls it: its round."""
        return FAMILY if self.round is None else f"{FAMILY}.round {self.round}"


def read_hard_negatives(path: Path) -> tuple[HardNegative, ...]:
    """Read `path`. Raises `InputError` if it is no such file, or has no rows."""
    rows = read_rows(path, ("query", "response"))
    return tuple(load(HardNegative, row, f"{path}: row {number}") for number, row in enumerate(rows, 1))


def of_game(standing: Standing) -> tuple[HardNegative, ...]:
    """Every forgery that ever fooled a judge of the game, once, with the first round in which it did."""
    return tuple(HardNegative(one.query, one.response, one.flaws, number) for number, one in standing.first_fooled)


def family(forgeries: Sequence[HardNegative], verdicts: Sequence[Verdict]) -> Family:
    """Count how many of `forgeries` were called good; each is an attack of its own, the worst are named by round."""
    judged = [(one, verdict.label) for one, verdict in zip(forgeries, verdicts, strict=True) if verdict.label]
    tried = Counter(one.named for one, _ in judged)
    fooled = Counter(one.named for one, label in judged if label == "good")
    worst = sorted(fooled, key=lambda name: (-fooled[name] / tried[name], name))[:WORST]
    return Family(
        family=FAMILY,
        wants="bad stays bad",
        attacks=len(forgeries),
        trials=len(judged),
        fooled=fooled.total(),
        unscored=len(forgeries) - len(judged),
        rate=share(fooled.total(), [one.query for one, _ in judged]),
        worst=tuple(AttackCount(name, fooled[name], tried[name]) for name in worst),
        possible=True,
    )
