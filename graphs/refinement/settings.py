"""What shapes a game, apart from who plays: how it is played, and on which material."""

from dataclasses import dataclass

from kindling.records import LabelledCase


@dataclass(frozen=True, slots=True)
class Settings:
    """`batch` is the number of forgeries and of labelled cases a round.

    The game ends after `rounds`, or after `patience` rounds without an accepted proposal. `per_item` makes a proposal
    of each lesson, one after the other, instead of one of the whole batch. Without `reflect`, only forgeries teach;
    without `gate`, every proposal that is well formed is accepted, unmeasured.
    """

    rounds: int = 5
    batch: int = 24
    patience: int = 3
    seed: int = 0
    per_item: bool = False
    reflect: bool = True
    gate: bool = True

    @property
    def looks(self) -> int:
        """How many proposals the gate may have to weigh in a whole game."""
        lessons = self.batch * (2 if self.reflect else 1)
        return self.rounds * (lessons if self.per_item else 1)


@dataclass(frozen=True, slots=True)
class Material:
    """The queries that are forged for, and the labelled cases that teach and decide.

    `groups` gives each validation case the number of its query; the test cases are nobody's business here.
    """

    queries: tuple[str, ...]
    train: tuple[LabelledCase, ...]
    validation: tuple[LabelledCase, ...]
    groups: tuple[int, ...]
