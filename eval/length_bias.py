"""How far length alone decides a preference dataset.

In a dataset where the longer text is nearly always the chosen one, a judge that counts characters looks excellent and a
policy trained on it learns to be long. The share is therefore reported with every dataset, with its interval; pairs of
equal length say nothing either way and count as half.
"""

from collections.abc import Iterable
from dataclasses import dataclass

LIMIT = 0.60


@dataclass(frozen=True, slots=True)
class LengthBias:
    """`longer_chosen` in [0, 1], of `pairs`, with its 95 % Wilson interval; mean lengths in characters."""

    pairs: int
    longer_chosen: float
    low: float
    high: float
    equal: int
    mean_chosen: float
    mean_rejected: float

    @property
    def acceptable(self) -> bool:
        """Whether length decides no more than the house allows, in either direction."""
        return 1 - LIMIT <= self.longer_chosen <= LIMIT


def length_bias(pairs: Iterable[tuple[str, str]]) -> LengthBias | None:
    """The bias of (chosen, rejected) texts; None where there are no pairs.

    The interval is Wilson's score interval with pairs of equal length split in half (E. B. Wilson, JASA 1927).
    """
    lengths = [(len(chosen), len(rejected)) for chosen, rejected in pairs]
    if not lengths:
        return None
    total = len(lengths)
    equal = sum(chosen == rejected for chosen, rejected in lengths)
    share = (sum(chosen > rejected for chosen, rejected in lengths) + equal / 2) / total
    low, high = wilson(share, total)
    means = [sum(pair[side] for pair in lengths) / total for side in (0, 1)]
    return LengthBias(total, share, low, high, equal, *means)


def wilson(share: float, total: float, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95 % interval of a share out of `total`; takes counts that are not whole, unlike scipy's."""
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * (share * (1 - share) / total + z * z / (4 * total * total)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)
