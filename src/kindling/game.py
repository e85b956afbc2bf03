"""The nouns of the refinement game: a forger tries to pass flawed texts, and the judge's principles learn from it.

Two lists of *rules* evolve: the forger's tactics and the judge's principles. A `Forgery` is a text whose writer knows
that it is flawed; a `Lesson` is a verdict to learn from, with why; a `Rewrite` is a new list of rules. `Evidence` is
what the gate sees of a proposed rewrite, `Decision` what it makes of it. A `Standing` is a whole game so far: the rules
that it started from and every `Round`; all else is derived from these.

Labels are those of `records`: what is true of a text and what a judge said of it have one type, and a lesson holds both
beside the text, so nothing is joined by an identifier that a model repeats.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from kindling.records import Label, Verdict, text_id

Rules = tuple[str, ...]
# why a proposal was not accepted; several may hold
Refusal = Literal[
    "unusable",  # the optimizer failed, or its answer could not be read
    "unchanged",  # the same rules again
    "too_many",  # more rules than a judge may have
    "schema",  # a rule speaks about the form of the verdict, or is no plain sentence
    "unscored",  # the new judge leaves more cases without a verdict
    "not_better",  # no better on the validation cases, or not beyond noise
    "old_attack",  # a forgery that the judge knew gets through again
    "length",  # the new judge goes by length more than the old one
]
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Forgery:
    """A response that looks fine and is flawed; `flaws` is its forger's confession, in words."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    query: str
    response: str
    flaws: str

    @property
    def id(self) -> str:
        """Depends on query and response alone."""
        return text_id(self.query, self.response)


@dataclass(frozen=True, slots=True)
class Lesson:
    """A verdict that was wrong: `said` for `truth`. `reason` is the judge's, `why` says what it should have seen."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    query: str
    response: str
    truth: Label
    said: Label
    reason: str
    why: str


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A new list of rules, and its optimizer's reason for it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    rules: Rules
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a gate weighs: two judges on the same cases.

    `labels`, `groups`, `lengths`, `before` and `after` run over the V validation cases: their labels, the number of the
    query each belongs to, their response's length in characters, and the verdicts of the present and of the proposed
    judge. `attacks_before` and `attacks_after` run over the H old forgeries, which are all bad. `looks` is how many
    proposals may be weighed in the whole run.
    """

    labels: tuple[Label, ...]
    groups: tuple[int, ...]
    lengths: tuple[int, ...]
    before: tuple[Verdict, ...]
    after: tuple[Verdict, ...]
    attacks_before: tuple[Verdict, ...]
    attacks_after: tuple[Verdict, ...]
    looks: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What a gate decides. Accepted if there is no refusal.

    `better` and `worse` count validation cases that only the new judge or only the old one got right; `p` goes by query
    with both labels counting the same, is one-sided and compared with `alpha`, the level of the whole run shared among
    its looks. `kappa` and `length` are (before, after): agreement with the labels, and how far the verdict goes by
    length among texts of one label (.5 is not at all); `rise` is the 95 % interval of the rise of kappa, over groups,
    and decides nothing. `passed_again` holds the places of old forgeries that the judge knew and would now pass.
    Figures are None where a proposal was refused before it was measured.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    refusals: tuple[Refusal, ...]
    better: int | None = None
    worse: int | None = None
    p: float | None = None
    alpha: float | None = None
    kappa: tuple[float | None, float | None] | None = None
    rise: tuple[float, float] | None = None
    length: tuple[float | None, float | None] | None = None
    passed_again: tuple[int, ...] = ()
    unscored: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the proposal becomes the judge's rules."""
        return not self.refusals


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rewrite of the principles before the gate: from how many lessons it was made, and what the gate decided.

    Without `rules` the optimizer gave none that could be read.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    rules: Rules
    reason: str
    lessons: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class Round:
    """One round of the game, from 1. `principles` and `tactics` are those that stand after it.

    Of the forgeries `forged`, `caught` were called bad, those that `fooled` the judge good, and `undecided` ones were
    left without a verdict; `unforged` could not be had. Of the labelled cases `examined`, `errors` were judged wrongly
    and `unscored` not at all. `tactics_reason` is the tactician's, empty where the tactics stayed. `asked` counts what
    was asked of each role, `faults` says what failed.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    number: int
    forged: int
    unforged: int
    caught: int
    fooled: tuple[Forgery, ...]
    undecided: int
    examined: int
    errors: int
    unscored: int
    proposals: tuple[Proposal, ...]
    principles: Rules
    tactics: Rules
    tactics_reason: str
    asked: dict[str, int]
    faults: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether any proposal of the round was."""
        return any(one.decision.accepted for one in self.proposals)


@dataclass(frozen=True, slots=True)
class Standing:
    """A game so far: the rules that it started from, and its rounds."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    first_principles: Rules
    first_tactics: Rules
    rounds: tuple[Round, ...] = ()

    @property
    def principles(self) -> Rules:
        """The principles that stand."""
        return self.rounds[-1].principles if self.rounds else self.first_principles

    @property
    def tactics(self) -> Rules:
        """The tactics that stand."""
        return self.rounds[-1].tactics if self.rounds else self.first_tactics

    @property
    def first_fooled(self) -> tuple[tuple[int, Forgery], ...]:
        """Every forgery that ever fooled a judge of this game, once, after the number of the first round it did so."""
        found: dict[str, tuple[int, Forgery]] = {}
        for played in self.rounds:
            for one in played.fooled:
                found.setdefault(one.id, (played.number, one))
        return tuple(found.values())

    @property
    def hard_negatives(self) -> tuple[Forgery, ...]:
        """Those forgeries alone."""
        return tuple(one for _, one in self.first_fooled)

    @property
    def stale(self) -> int:
        """Rounds since the last accepted proposal, or since the start."""
        return next((past for past, one in enumerate(reversed(self.rounds)) if one.accepted), len(self.rounds))
