"""The certificate of a judge: what it agrees with, what fools it, and whether that is good enough.

A certificate is a strict record in JSON: `load_certificate` refuses unknown and missing fields. It is made for one
judge with one prompt and one model; `fits` says why it does not speak for another. The limits are those of the
section `[certify]` of kindling.toml and stand in the certificate.

A line passes if its value keeps the limit and verdicts are not missing: of the labelled cases, and of each family of
attacks, at most `max_unscored` may have none, and of a reading's comparisons, which take two, twice that. It is `sure`
if the whole interval lies on that side of the limit (for the gain, whose lower end decides, always). Lines are many,
and not corrected for that. A line that could not be measured fails, unless the *file* has nothing to measure it with
(no recipients, no countable requests): then it is not applicable.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import orjson
from pydantic import ConfigDict

from kindling.config import CertifySection
from kindling.errors import InputError
from kindling.eval.agreement import Agreement
from kindling.eval.fooling import Family
from kindling.eval.intervals import Estimate
from kindling.eval.reading import Reading
from kindling.eval.steadiness import Steadiness
from kindling.records import load
from kindling.tables import write_json

FORMAT = 1
FEWEST = 10  # matched texts of either label: of one pair, every resample says the same
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class JudgeCard:
    """Who was judged: `model` as MODEL @ ENDPOINT, empty where no model is asked; `template` the hash of its prompt.

    `served` tells what the endpoints said they are ("model/fingerprint"); `folds` is 0 for a judge that was measured
    as it is, and else the number of folds that it was refitted on. `grading` says how a model's verdicts became scores,
    such as "auto, 3 votes": empty where no model decides, None in certificates that were made before it was told.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    template: str
    model: str
    served: tuple[str, ...]
    folds: int
    grading: str | None = None


@dataclass(frozen=True, slots=True)
class DataCard:
    """What it was measured on: `sha256` is that of the file's bytes.

    `seen` counts the cases whose text the judge learned from; None for one that does not know. `hard_negatives` is the
    SHA-256 of their file, empty where there were none.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    file: str
    sha256: str
    cases: int
    good: int
    queries: int
    seen: int | None = None
    hard_negatives: str = ""


@dataclass(frozen=True, slots=True)
class Unscored:
    """The share of cases without a verdict, and the reasons with their counts."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    share: Estimate
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class Beside:
    """A baseline's agreement on the same cases, and on the length-matched ones."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    agreement: Agreement
    matched: Agreement


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything measured. `gain` is how far the judge's AUC exceeds that of length on the length-matched cases.

    `matched` holds the judge's agreement on those of the `matchable` ones that it scored; lengths differ by at most
    `tolerance`. `judged` counts distinct
    judgements and `seconds` the wall-clock time they took.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    agreement: Agreement
    matched: Agreement
    matchable: int
    tolerance: float
    gain: Estimate
    baselines: tuple[Beside, ...]
    unscored: Unscored
    reading: tuple[Reading, ...]
    attacks: tuple[Family, ...]
    steadiness: Steadiness
    judged: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What 1,000 judgements take: wall-clock seconds, model calls, tokens and money.

    `recalled` is the share of calls that were answered from the ledger, without waiting: with many of them the
    seconds say little, but calls, tokens and money are those of paid ones.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    seconds: float
    calls: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    money: float = 0.0
    recalled: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that the judge must reach. `passed` is None where the file has nothing to measure it with."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    estimate: Estimate
    wants: Literal["at least", "at most", "more than"]
    limit: float
    passed: bool | None
    note: str = ""

    @property
    def sure(self) -> bool:
        """Whether the interval lies on one side of the limit; true where nothing is claimed."""
        low, high = self.estimate.low, self.estimate.high
        if low is None or high is None or self.wants == "more than":
            return True
        return high < self.limit or low > self.limit or (self.limit == (low if self.wants == "at least" else high))


@dataclass(frozen=True, slots=True)
class Certificate:
    """The whole of it; `created` is UTC, ISO 8601; `limits` are the values of `[certify]`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    format: int
    passed: bool
    judge: JudgeCard
    data: DataCard
    lines: tuple[Line, ...]
    findings: Findings
    cost: Cost
    limits: dict[str, float]
    seed: int
    versions: dict[str, str]
    created: str

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the lines that failed."""
        return tuple(line.name for line in self.lines if line.passed is False)


def lines(findings: Findings, limits: CertifySection, data: DataCard | None = None) -> tuple[Line, ...]:
    """Hold the findings against the limits, and the file against what the judge learned from, if told."""
    steady = findings.steadiness
    return (
        _line("kappa", findings.agreement.kappa, "at least", limits.min_kappa),
        _gain(findings, limits.min_gain_over_length),
        *_readings(findings.reading, limits),
        *(_attacked(family, limits) for family in findings.attacks),
        _line("flips", steady.flips, "at most", limits.max_flips, f"{steady.repeats} verdicts each")
        if steady.repeats > 1
        else Line("flips", Estimate(), "at most", limits.max_flips, None, "judged once only"),
        _line("unscored", findings.unscored.share, "at most", limits.max_unscored),
        *(() if data is None or data.seen is None else (_learned(data.seen, data.cases),)),
    )


def _learned(seen: int, cases: int) -> Line:
    """No case may be one that the judge learned from: a file is counted here, nothing is estimated."""
    share, note = seen / cases, f"{seen} of {cases} texts stand in what the judge learned from"
    return Line("seen in training", Estimate(share, share, share), "at most", 0.0, seen == 0, note)


def _answered(line: Line, unscored: int, asked: int, limit: float) -> Line:
    """The line, failed if of its `asked` trials more than `limit` are `unscored`: what is silent proves nothing."""
    if line.passed is None or unscored <= limit * asked:
        return line
    missing = f"no verdict on {unscored} of {asked}, more than {limit:g}"
    return replace(line, passed=False, note="; ".join(filter(None, (missing, line.note))))


def _line(name: str, estimate: Estimate, wants: Literal["at least", "at most"], limit: float, note: str = "") -> Line:
    if estimate.value is None:
        return Line(name, estimate, wants, limit, False, "could not be measured")
    return Line(
        name, estimate, wants, limit, estimate.value >= limit if wants == "at least" else estimate.value <= limit, note
    )


def _gain(findings: Findings, limit: float) -> Line:
    low, cases, few = findings.gain.low, findings.matched.cases, 2 * FEWEST
    note = f"AUC above that of length on {cases} length-matched cases; the interval's lower end counts"
    passed: bool | None = low is not None and low > limit
    if findings.matchable < few:
        passed, note = None, f"{findings.matchable} length-matched cases are too few: needs {few}"
    elif cases < few:
        passed, note = False, f"only {cases} of {findings.matchable} length-matched cases have a verdict: needs {few}"
    return Line("gain over length", findings.gain, "more than", limit, passed, note)


def _readings(found: tuple[Reading, ...], limits: CertifySection) -> Iterator[Line]:
    kinds = {one.kind: one for one in found}
    wanted = {"occasion": limits.min_reading_occasion, "recipient": limits.min_reading_recipient}
    if "query" in kinds:
        note = f"the file names no occasions: own query against one of the least similar; {_of(kinds['query'])}"
        line = _line("reads the query", kinds["query"].preferred, "at least", limits.min_reading_occasion, note)
        yield _compared(line, kinds["query"], limits)
        return
    for kind in ("occasion", "recipient"):
        if kind in kinds:
            line = _line(f"reads the {kind}", kinds[kind].preferred, "at least", wanted[kind], _of(kinds[kind]))
            yield _compared(line, kinds[kind], limits)
        else:
            yield Line(
                f"reads the {kind}", Estimate(), "at least", wanted[kind], None, "the file has no other to compare with"
            )


def _compared(line: Line, found: Reading, limits: CertifySection) -> Line:
    # a comparison takes two verdicts, so it is missing nearly twice as often as one
    return _answered(line, found.unscored, found.compared + found.unscored, 2 * limits.max_unscored)


def _of(found: Reading) -> str:
    """Say what a reading rests on."""
    return f"{found.compared} compared, {found.ties} ties, {found.unscored} unscored"


def _attacked(family: Family, limits: CertifySection) -> Line:
    name = f"attack: {family.family}"
    limit = limits.max_padding if family.family == "padding" else limits.max_attack
    if not family.possible:
        return Line(name, family.rate, "at most", limit, None, "the file has no case that it acts on")
    if not family.trials:
        target = "bad" if family.wants == "bad stays bad" else "good"
        note = f"no verdict on any attacked text: unscored {family.unscored}, or no {target} text was called {target}"
        return Line(name, family.rate, "at most", limit, False, note)
    worst = ", ".join(f"{one.attack} {one.fooled}/{one.trials}" for one in family.worst[:2])
    line = _line(name, family.rate, "at most", limit, worst)
    return _answered(line, family.unscored, family.trials + family.unscored, limits.max_unscored)


def fits(certificate: Certificate, judge: str, template: str, model: str, grading: str) -> list[str]:
    """Say why the certificate does not speak for this judge, a short sentence each; an empty list if it does.

    `judge` is its name, `template` the hash of its prompt, `model` is MODEL @ ENDPOINT (empty where no model is asked),
    `grading` how its verdicts become scores, as in `JudgeCard`.
    """
    card = certificate.judge
    reasons = [
        f"it was made for {what} {had or 'none'!r}, not {now or 'none'!r}"
        for what, had, now in (
            ("judge", card.name, judge),
            ("template", card.template, template),
            ("model", card.model, model),
        )
        if had != now
    ]
    if card.model == model and grading and card.grading is None:
        reasons.append(f"it does not say how verdicts were graded (now: {grading}); make it anew with kindling certify")
    elif card.model == model and (card.grading or "") != grading:
        reasons.append(f"it was made for verdicts graded {card.grading or 'none'!r}, not {grading or 'none'!r}")
    if not certificate.passed:
        reasons.append(f"it failed: {', '.join(certificate.failed)}")
    return reasons


def save_certificate(path: Path, certificate: Certificate) -> None:
    """Write the certificate as indented JSON, whole or not at all."""
    write_json(path, certificate)


def load_certificate(path: Path) -> Certificate:
    """Read a certificate. Raises `InputError` in one line if there is none, or it was made by another format."""
    try:
        data = orjson.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: no certificate: {error.strerror or error}; make one with kindling certify"
        ) from error
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not a certificate: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path}: not a certificate of format {FORMAT}; make it anew with kindling certify")
    return load(Certificate, data, str(path))
