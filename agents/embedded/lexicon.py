"""A task pack's `lexicon.toml`: what a task's texts are about, whom they address, wording to look for, and the checks.

The engine knows five kinds of things and nothing of any task:

    topics      what a text is for; recognised in a query by cues, in a response by marks (sure) and signs (likely)
    audiences   whom it addresses, each with a register, that is, how one speaks to them
    wording     lists by purpose (cliches, images, adverts …), read by the checks in `checks.py`
    knowledge   numbers with names, wording that excludes other wording, sayings (`knowledge.py`)
    checks      each with its name, weight, and the words by which a principle mentions it; those that `checks.py` does
                not have look for the wording, or the pattern, of the same name

A list of words may be written as one string, split at spaces; phrases that hold a space need an array. Unknown keys, a
topic or register that is named but not defined, and a check without anything to look for are refused.
"""

import hashlib
import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kindling.agents.embedded.knowledge import Conflict, Knowledge, Scale, World
from kindling.agents.embedded.language import LANGUAGES, LanguageName
from kindling.agents.embedded.packfile import reading
from kindling.errors import InputError
from kindling.records import Side


def _split(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Topic(_Entry):
    """What a text is for. `near` names topics whose marks do no harm in a text for this one.

    `register` is how one speaks where the query names nobody. `audiences` are those whom such a text may call, whoever
    asked for it: the child at a birth, not only its parents. `allows` names lists of wording that are taboo elsewhere.
    """

    name: str
    cues: Words
    patterns: tuple[str, ...] = ()
    marks: Words = ()
    signs: Words = ()
    near: Words = ()
    taboos: Words = ()
    audiences: Words = ()
    allows: Words = ()
    manner: str = Field("", alias="register")


class Audience(_Entry):
    """Whom a text addresses. A text calls them by `address` (the cues where it is empty).

    A `vague` one may be called anything. A `group` before somebody says where they belong. One without a name is none:
    its cues hide the words inside them.
    """

    name: str
    cues: Words
    patterns: tuple[str, ...] = ()
    address: Words = ()
    details: Words = ()
    near: Words = ()
    vague: bool = False
    group: bool = False
    manner: str = Field(alias="register")


class Register(_Entry):
    """How one speaks to an audience. A text with `instead` and without `pronoun` misses the tone.

    `uses` are the forms of address that are at home here; a text with those of other registers only sounds wrong.

    One that `outranks` is kept where the query leaves open who exactly is addressed.
    """

    name: str
    prefers: Words = ()
    avoids: Words = ()
    uses: Words = ()
    pronoun: str = ""
    instead: str = ""
    outranks: bool = False


class Check(_Entry):
    """One kind of finding. `weight` is what a finding adds to the log-odds of good, at most `most` times.

    It counts if a principle mentions one of `words`, or `always`; a `decisive` one overturns a verdict that overlooked
    it. `reason` is a format string with evidence, topic and audience.
    """

    name: str
    side: Side
    weight: float
    most: int = Field(1, ge=1)
    decisive: bool = False
    always: bool = False
    words: Words
    reason: str


class ReadingRules(_Entry):
    """How to tell who speaks and who is addressed; `harmless` phrases hide the words inside them."""

    speaker_before: Words = ()
    speaker_after: Words = ()
    speaker_alone: Words = ()
    link: Words = ()
    vocative_before: Words = ()
    vocative_after: str = ""
    harmless: Words = ()


class Judgement(_Entry):
    """`bias` is the log-odds of good without any finding; `other` weighs a point of a kind that no check names."""

    bias: float
    other: float = 0.4
    join: str
    nothing: str


class _File(_Entry):
    language: LanguageName
    default_topic: str
    reading: ReadingRules
    topics: dict[str, Topic]
    audiences: dict[str, Audience]
    registers: dict[str, Register]
    default_register: str
    wording: dict[str, Words]
    patterns: dict[str, str]
    judgement: Judgement
    checks: dict[str, Check]
    scales: dict[str, Scale] = Field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    attributions: dict[str, str] = Field(default_factory=dict)


class Hit(NamedTuple):
    """A phrase found at `start`; `owner` is the topic, audience or register that it belongs to."""

    phrase: str
    start: int
    owner: str


Hits = dict[str, list[Hit]]
HARMLESS = "harmless"


class Scanner:
    """Finds thousands of phrases in one pass: at each character, only the lengths that start with it are looked up.

    Hits come by group, in text order. A hit inside a longer one of its group, or inside a harmless phrase, is dropped.
    Case does not count; a Latin phrase must stand as a word.
    """

    def __init__(self, phrases: Iterable[tuple[str, str, str]]) -> None:
        tags: dict[str, dict[tuple[str, str], None]] = {}
        lengths: dict[str, set[int]] = {}
        for phrase, group, owner in phrases:
            folded = phrase.casefold()
            tags.setdefault(folded, {})[group, owner] = None
            lengths.setdefault(folded[0], set()).add(len(folded))
        self._tags = {phrase: tuple(owners) for phrase, owners in tags.items()}
        self._lengths = {first: tuple(sorted(sizes, reverse=True)) for first, sizes in lengths.items()}

    @property
    def phrases(self) -> Iterable[str]:
        """What it finds, without case."""
        return self._tags.keys()

    def scan(self, text: str) -> Hits:
        """All hits in `text`, by group."""
        folded = text.casefold()
        found: Hits = {}
        ends: dict[str, int] = {}
        for start, first in enumerate(folded):
            for length in self._lengths.get(first, ()):
                end = start + length
                if end > len(folded):
                    continue
                phrase = folded[start:end]
                tags = self._tags.get(phrase)
                if tags is None or (phrase[0].isascii() and not _is_word(folded, start, end)):
                    continue
                if end <= ends.get(HARMLESS, 0):
                    continue
                for group, owner in tags:
                    last = found.get(group)
                    # the same phrase may have several owners; a shorter one inside it has none
                    if end <= ends.get(group, 0) and not (last and last[-1][:2] == (phrase, start)):
                        continue
                    ends[group] = end
                    found.setdefault(group, []).append(Hit(phrase, start, owner))
        return found


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether no Latin letter or digit touches text[start:end] where it begins or ends with one."""
    before = text[start - 1] if start and text[start].isalnum() else " "
    after = text[end] if end < len(text) and text[end - 1].isalnum() else " "
    return not (before.isascii() and before.isalnum()) and not (after.isascii() and after.isalnum())


class Lexicon:
    """A checked `lexicon.toml`, ready to scan. `digest` changes with every byte of the file."""

    def __init__(self, data: _File, digest: str) -> None:
        self.digest = digest
        self.language = LANGUAGES[data.language]
        self.default_topic = data.default_topic
        self.default_register = data.default_register
        self.rules = data.reading
        self.topics = data.topics
        self.audiences = data.audiences
        self.registers = data.registers
        self.judgement = data.judgement
        self.world = World(Knowledge(scales=data.scales, conflicts=data.conflicts, attributions=data.attributions))
        self.checks = data.checks
        self.patterns = {name: re.compile(pattern) for name, pattern in data.patterns.items()}
        self.topic_patterns = _compile(data.topics)
        self.audience_patterns = _compile(data.audiences)
        self.query_scanner = Scanner(_query_phrases(data))
        self.text_scanner = Scanner(_text_phrases(data))
        self._wording = data.wording
        self.near = _near(data.topics)
        self.kin = _near(data.audiences)
        self.outranking = frozenset(key for key, entry in data.registers.items() if entry.outranks)
        self.by_name = {check.name: key for key, check in data.checks.items()}

    def wording(self, purpose: str) -> Words:
        """The list of that purpose; empty if the file has none."""
        return self._wording.get(purpose, ())

    def only_begins(self, word: str) -> bool:
        """Whether `word`, in lower case, is no word of the lexicon's but the beginning of one."""
        place = bisect_left(self._words, word)
        return place < len(self._words) and self._words[place] != word and self._words[place].startswith(word)

    @cached_property
    def _words(self) -> list[str]:
        """Every word that a text may have, by the lexicon, in order."""
        return sorted({unit.text for phrase in self.text_scanner.phrases for unit in self.language.units(phrase)})


def _compile(entries: dict[str, Any]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern), key) for key, entry in entries.items() for pattern in entry.patterns]


def _near(entries: dict[str, Any]) -> dict[str, frozenset[str]]:
    """Each entry with those it names and those that name it."""
    near = {key: {key, *entry.near} for key, entry in entries.items()}
    for key, entry in entries.items():
        for other in entry.near:
            near[other].add(key)
    return {key: frozenset(others) for key, others in near.items()}


def _query_phrases(data: _File) -> Iterable[tuple[str, str, str]]:
    for key, topic in data.topics.items():
        yield from ((cue, "cue", key) for cue in topic.cues)
    for key, audience in data.audiences.items():
        yield from ((cue, "audience", key) for cue in audience.cues)


def _text_phrases(data: _File) -> Iterable[tuple[str, str, str]]:
    yield from ((phrase, HARMLESS, "") for phrase in data.reading.harmless)
    for key, topic in data.topics.items():
        for group, phrases in (("mark", topic.marks), ("sign", topic.signs), ("taboo", topic.taboos)):
            yield from ((phrase, group, key) for phrase in phrases)
    for key, audience in data.audiences.items():
        if audience.name:
            yield from ((phrase, "address", key) for phrase in audience.address or audience.cues)
        yield from ((phrase, "detail", key) for phrase in audience.details)
    for key, register in data.registers.items():
        yield from ((phrase, "prefers", key) for phrase in register.prefers)
        yield from ((phrase, "avoids", key) for phrase in register.avoids)
        yield from ((phrase, "uses", key) for phrase in register.uses)
    for purpose, phrases in data.wording.items():
        yield from ((phrase, purpose, "") for phrase in phrases)


def load_lexicon(path: Path) -> Lexicon:
    """Read and check a lexicon. Raises `InputError` that names the first offending key."""
    try:
        with reading(path):
            raw = path.read_bytes()
            data = _File.model_validate(tomllib.loads(raw.decode()))
            lexicon = Lexicon(data, hashlib.sha256(raw).hexdigest()[:16])
    except re.error as error:
        raise InputError(f"{path}: pattern {error.pattern!r}: {error}") from error
    except KeyError as error:
        raise InputError(f"{path}: near: {error.args[0]!r} is not defined in the file") from error
    _check_names(data, path)
    return lexicon


def _check_names(data: _File, path: Path) -> None:
    """Every topic and register that is named must be defined."""
    if data.default_topic not in data.topics:
        raise InputError(f"{path}: default_topic: {data.default_topic!r} is not among topics")
    named = {f"audiences.{key}.register": audience.manner for key, audience in data.audiences.items()}
    named |= {f"topics.{key}.register": topic.manner for key, topic in data.topics.items() if topic.manner}
    for where, register in {"default_register": data.default_register, **named}.items():
        if register not in data.registers:
            raise InputError(f"{path}: {where}: {register!r} is not among registers")
    for place, conflict in enumerate(data.conflicts):
        if unknown := sorted(set(conflict.topics) - set(data.topics)):
            raise InputError(f"{path}: conflicts.{place}.topics: {unknown[0]!r} is not among topics")
    for key, topic in data.topics.items():
        if unknown := sorted(set(topic.audiences) - set(data.audiences)):
            raise InputError(f"{path}: topics.{key}.audiences: {unknown[0]!r} is not among audiences")
