"""The record of an evaluation: `scorecard.json`, a strict record in JSON of a fixed shape.

Shares are in [0, 1], lengths in characters, and every `Estimate` is a value with its 95 % interval, or null where there
was nothing to count. Each list names its model, judge and group, so that a reader needs no order: group `all` is every
query, the others are the values of the group column. `load_scorecard` refuses any other format.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import orjson
from pydantic import ConfigDict

from kindling.errors import InputError
from kindling.eval.intervals import Estimate
from kindling.records import load
from kindling.tables import write_json

FORMAT = 1
FILE = "scorecard.json"
ALL = "all"
_STRICT = ConfigDict(extra="forbid")
Kind = Literal["better", "not distinguishable", "power", "warning"]


@dataclass(frozen=True, slots=True)
class Tie:
    """A judge that a model has to do with, and `how`.

    "reward" (of the model, or of one that it was trained from), "chose its texts" (that it learned from), "taught its
    reward model", "taught it" (somebody says), "shadow" (it chose the checkpoint), "the same model" (that writes).
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    judge: str
    how: str


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model under its `name`; `model` as it was given, `player` as it was understood; `note` is shown with it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    model: str
    player: str
    ties: tuple[Tie, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A judge's errors by its certificate: of `good` texts it called `true_good` good, of `bad` ones `true_bad` bad.

    `trials_good` and `trials_bad` count a query once, since cases of one query are alike.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    file: str
    passed: bool
    good: int
    true_good: int
    trials_good: int
    bad: int
    true_bad: int
    trials_bad: int

    @property
    def tpr(self) -> float:
        """The share of good texts that are called good."""
        return self.true_good / self.good

    @property
    def tnr(self) -> float:
        """The share of bad texts that are called bad."""
        return self.true_bad / self.bad


@dataclass(frozen=True, slots=True)
class Evaluator:
    """A judge: `template` is the hash of its prompt, `model` as MODEL @ ENDPOINT, empty where none is asked.

    `independent_of` names the models that it is not tied to. Without `accuracy`, `uncorrected` says why.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    template: str
    model: str
    accuracy: Accuracy | None
    uncorrected: str
    independent_of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked: `groups` counts the queries of each group, `samples` texts of each."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    file: str
    sha256: str
    queries: int
    samples: int
    groups: dict[str, int]


@dataclass(frozen=True, slots=True)
class Texts:
    """What came of the texts asked for: whole ones are judged, the others are failures and no evidence about texts."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    asked: int
    whole: int
    empty: int
    cut_off: int
    failed: int
    failures: Estimate
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class Excellence:
    """How many of a model's texts a judge calls good: as it says, and corrected by its certified errors."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    judge: str
    independent: bool
    tie: str
    scored: int
    unscored: int
    good: int
    raw: Estimate
    corrected: Estimate
    note: str


@dataclass(frozen=True, slots=True)
class Diversity:
    """Over `texts` texts, as many of every model; `different` over all of them.

    `unit` is what n-grams are made of; `distinct` maps n to distinct-n.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    texts: int
    unit: Literal["characters", "words"]
    different: Estimate
    distinct: dict[str, Estimate]
    self_bleu: Estimate
    vendi: Estimate


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A text beside the training text that is nearest to it; `run` is the longest common run in letters."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    query: str
    text: str
    nearest: str
    similarity: float
    run: int


@dataclass(frozen=True, slots=True)
class Novelty:
    """Against `training` distinct training texts: copies, the median longest common run, the nearest neighbours.

    `mostly` is the share of texts at least half of whose letters are one run of a training text.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    training: int
    verbatim: Estimate
    near: Estimate
    mostly: Estimate
    run: Estimate
    similarity: Estimate
    closest: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class Requests:
    """Texts whose query makes a verifiable request, the share that meets all of them, and (met, asked) by kind."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    texts: int
    met: Estimate
    kinds: dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Length:
    """Characters: the median, the tenths at the ends, and the share of texts over `limit`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    median: Estimate
    tenth: float | None
    ninetieth: float | None
    limit: int
    over: Estimate


@dataclass(frozen=True, slots=True)
class Taboo:
    """The share of texts with wording that the task forbids, and how many texts have each phrase."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    share: Estimate
    phrases: dict[str, int]


@dataclass(frozen=True, slots=True)
class Card:
    """Everything about one model on the queries of one group; diversity and novelty for all queries only."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    model: str
    group: str
    queries: int
    texts: Texts
    excellence: tuple[Excellence, ...]
    length: Length
    requests: Requests
    taboo: Taboo | None
    diversity: Diversity | None
    novelty: Novelty | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`one` against `other` by `judge`, on the `pairs` of texts, of `queries` queries, that it scored both of.

    `difference` is the share called good of one less that of the other. `p` is exact and two-sided, `p_holm` corrected
    for all pairs of models by this judge in this group. A win is a score higher by more than `band`; `win_rate` counts
    ties as half. `order` says whether the order of two texts can matter. A comparer, which sees both texts, gives no
    rates: its `difference` is null, and a win is a text that it prefers in both orders.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    judge: str
    group: str
    one: str
    other: str
    independent: bool
    queries: int
    pairs: int
    difference: Estimate
    p: float
    p_holm: float
    apart: bool
    wins: int
    ties: int
    losses: int
    win_rate: Estimate
    band: float
    order: str


@dataclass(frozen=True, slots=True)
class Strength:
    """A model's Bradley-Terry strength in log-odds, the mean of all models being 0."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    judge: str
    group: str
    model: str
    strength: Estimate


@dataclass(frozen=True, slots=True)
class Power:
    """The smallest true difference that `queries` queries find in 80 % of evaluations, at 5 % shared by the pairs.

    `needed` maps a difference in points to the queries that it takes.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    judge: str
    group: str
    queries: int
    pairs: int
    detects: float
    needed: dict[str, int]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """One sentence that the numbers allow; `judge` and `group` are empty where it is about neither."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    kind: Kind
    sentence: str
    judge: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The whole of it; `created` is UTC, ISO 8601; `sampling` is how texts were drawn."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    format: int
    task: str
    title: str
    language: str
    asked: Asked
    models: tuple[Contestant, ...]
    judges: tuple[Evaluator, ...]
    cards: tuple[Card, ...]
    comparisons: tuple[Comparison, ...]
    strengths: tuple[Strength, ...]
    power: tuple[Power, ...]
    conclusions: tuple[Conclusion, ...]
    sampling: dict[str, Any]
    seed: int
    versions: dict[str, str]
    created: str

    def card(self, model: str, group: str = ALL) -> Card:
        """The card of a model. Raises `KeyError` if there is none."""
        for card in self.cards:
            if (card.model, card.group) == (model, group):
                return card
        raise KeyError(f"no card of {model!r} on {group!r}")


def save_scorecard(path: Path, scorecard: Scorecard) -> None:
    """Write it as indented JSON, whole or not at all."""
    write_json(path, scorecard)


def load_scorecard(path: Path) -> Scorecard:
    """Read a scorecard. Raises `InputError` in one line if there is none, or another version made it."""
    try:
        data = orjson.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: no scorecard: {error.strerror or error}; make one with kindling eval") from error
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not a scorecard: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path}: not a scorecard of format {FORMAT}; make it anew with this version's kindling eval")
    return load(Scorecard, data, str(path))
