"""The nouns that travel between the rooms, and the invariants that no room may break.

All are frozen. `load` builds one from plain data (JSON) and refuses unknown or missing fields, so that a file made by
another version is noticed and not half understood; `orjson.dumps` takes every one of them as it is.

A `Verdict` is either scored (label *and* score) or unscored (neither, and why): there is no third kind, and nothing in
the house may turn an unscored verdict into a label.
"""

import hashlib
import math
import unicodedata
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from kindling.errors import InputError

Label = Literal["good", "bad"]
Side = Literal["merits", "flaws"]
Status = Literal["accepted", "rejected", "unscored", "failed", "dropped", "pending"]

T = TypeVar("T")


def text_id(*parts: str) -> str:
    """Sixteen hex digits that depend on `parts` alone: the same text has the same id in every run."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def request_key(text: str) -> str:
    """Equal for queries that ask for the same: case, width, spaces and punctuation are folded away."""
    return "".join(char for char in unicodedata.normalize("NFKC", text).casefold() if char.isalnum())


def fingerprint(text: str) -> str:
    """Sixteen hex digits that are the same for texts which differ in case, width, spaces or punctuation only."""
    return text_id(request_key(text) or text)


def load(kind: type[T], data: Any, where: str = "") -> T:
    """`data` as a record of `kind`. Raises `InputError` that names `where` and the first wrong field."""
    if kind not in _ADAPTERS:  # an adapter takes a millisecond to build
        _ADAPTERS[kind] = TypeAdapter(kind)
    try:
        record: T = _ADAPTERS[kind].validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or kind.__name__
        raise InputError(f"{where or kind.__name__}: {field}: {first['msg']}") from error
    return record


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Query:
    """One user request. `row` is its place in the input file (from 0); `count`, how often the file asks for it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    text: str
    row: int = 0
    count: int = 1

    @property
    def id(self) -> str:
        """Depends on the text alone."""
        return text_id(self.text)


@dataclass(frozen=True, slots=True)
class Example:
    """A good response to some query, shown to a generator or critic. `similarity` in [0, 1] is to the query at hand."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    query: str
    response: str
    similarity: float = 0.0
    popularity: int = 0


@dataclass(frozen=True, slots=True)
class Fact:
    """A verifiable request of the query, measured in code: what was asked, what the response has, whether it is met."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    kind: str
    asked: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response with where it came from: `source` names the generator, `index` its place in the row."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    text: str
    source: str
    index: int = 0
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """What a judge gets to see: the request, the text under judgement, and the measured facts about it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    query: str
    response: str
    facts: tuple[Fact, ...] = ()
    examples: tuple[Example, ...] = ()

    @property
    def missed(self) -> tuple[str, ...]:
        """The verifiable requests that the text does not meet, in words; empty if it meets all."""
        return tuple(f"{fact.kind}: asked {fact.asked}, has {fact.measured}" for fact in self.facts if not fact.met)


@dataclass(frozen=True, slots=True)
class LabelledCase:
    """A case with the label that people (or a documented process) gave it; the ground truth of certificates.

    `occasion` and `recipient` say what the query is about, where the file tells: two cases with the same one may be
    mistaken for each other by a judge that does not read the request.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    query: str
    response: str
    label: Label
    flaw: str | None = None
    source: str = ""
    occasion: str | None = None
    recipient: str | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One merit or flaw: its aspect (a short name) and the reason with evidence from the text."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    aspect: str
    reason: str


@dataclass(frozen=True, slots=True)
class Critique:
    """What one critic found. No points is a legitimate finding; a critic that failed gives no `Critique` at all."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    side: Side
    points: tuple[Point, ...]
    critic: str
    template: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement: scored (label and score in [0, 1]) or unscored (neither, and `unscored` says why).

    `score` is the probability of *good*, or the share of votes for it; `label` is good when it is above one half, so a
    tie is bad. `judge` names who judged, `template` the hash of the prompt (empty for a judge without one).
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    label: Label | None
    score: float | None
    reason: str
    judge: str
    template: str = ""
    unscored: str | None = None
    votes: tuple[Label, ...] = ()

    def __post_init__(self) -> None:
        """Refuse anything between scored and unscored."""
        if self.unscored is not None:
            if not self.unscored or self.label is not None or self.score is not None:
                raise ValueError("an unscored verdict has a reason and neither label nor score")
        elif self.score is None or not math.isfinite(self.score) or not 0 <= self.score <= 1:
            raise ValueError(f"a scored verdict has a score in [0, 1], not {self.score!r}")
        elif self.label != ("good" if self.score > 0.5 else "bad"):
            raise ValueError(f"label {self.label!r} contradicts score {self.score}")

    @classmethod
    def of(cls, score: float, reason: str, judge: str, template: str = "", votes: tuple[Label, ...] = ()) -> "Verdict":
        """A scored verdict; its label follows from `score`."""
        return cls("good" if score > 0.5 else "bad", score, reason, judge, template, None, votes)

    @classmethod
    def none(cls, why: str, judge: str, template: str = "", votes: tuple[Label, ...] = ()) -> "Verdict":
        """An unscored verdict with the reason `why`."""
        return cls(None, None, "", judge, template, why or "no reason given", votes)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A candidate with its whole debate: facts, critiques, the judge's first verdict and the one that stands."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    candidate: Candidate
    verdict: Verdict
    first: Verdict | None = None
    critiques: tuple[Critique, ...] = ()
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A good and a bad response to one query, with the evidence: scores, sources, and where they stand in `records`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    query: str
    chosen: str
    rejected: str
    query_id: str
    chosen_index: int
    rejected_index: int
    chosen_score: float
    rejected_score: float
    chosen_source: str
    rejected_source: str
    judge: str
    template: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input row. `reason` is a short code for counting; `detail` says more, for people."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    query: Query
    status: Status
    reason: str
    detail: str = ""
    examples: tuple[Example, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    pairs: tuple[PreferencePair, ...] = ()
