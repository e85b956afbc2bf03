"""What shapes the sampling of a row, apart from who plays."""

from dataclasses import dataclass

from kindling.config import Config
from kindling.graphs.rejection_sampling.pairing import Pairing


@dataclass(frozen=True, slots=True)
class Settings:
    """`candidates` a row, how they are paired, and who sees the examples ("generator", "positive", "negative").

    `margin` in [0, 1] is the smallest score difference of a pair. `seed` decides the pairing's ties.
    """

    candidates: int = 4
    pairing: Pairing = "closest_length"
    margin: float = 0.2
    seed: int = 0
    show_to: tuple[str, ...] = ("generator",)

    @classmethod
    def of(cls, config: Config, seed: int) -> "Settings":
        """Take the settings out of `config`."""
        curate = config.curate
        return cls(curate.candidates, curate.pairing, curate.margin, seed, config.retriever.show_to)
