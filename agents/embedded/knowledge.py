"""What a lexicon knows of the world, and how a text contradicts it, its request, or itself.

    scales        numbers with names: ages, anniversaries. A name stands for a range, a pattern finds plain numbers.
    conflicts     wording that excludes other wording, within a text, with its request, or for some topics
    attributions  sayings and those who said them

Everything is a table of the task pack; the code only compares. Only what is surely wrong is found: a number that the
request does not name may be a memory, so it counts where the request names one and the text never repeats it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from kindling.agents.requests import number


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scale(_Entry):
    """Numbers that have names: the first group of `pattern` is one, `names` gives each name its lowest and highest."""

    pattern: str
    names: dict[str, tuple[int, int]] = Field(default_factory=dict)


class Conflict(_Entry):
    """A text that matches `one` must not match `other`; without `one`, only its topics say where `other` is wrong.

    With `request`, `one` is looked for in the request instead of the text.
    """

    one: str = ""
    other: str
    topics: tuple[str, ...] = ()
    request: bool = False


class Knowledge(_Entry):
    """The tables as they stand in the lexicon's file."""

    scales: dict[str, Scale] = Field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    attributions: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Rule:
    one: re.Pattern[str] | None
    other: re.Pattern[str]
    topics: frozenset[str]
    request: bool


class World:
    """The tables, compiled. Raises `re.error` for a pattern that is none."""

    def __init__(self, data: Knowledge) -> None:
        self._scales = [(re.compile(scale.pattern), scale.names) for scale in data.scales.values()]
        self._rules = [
            _Rule(
                re.compile(rule.one) if rule.one else None, re.compile(rule.other), frozenset(rule.topics), rule.request
            )
            for rule in data.conflicts
        ]
        self._said = data.attributions
        self._authors = sorted({author for authors in data.attributions.values() for author in authors.split()})

    def misnumbered(self, query: str, text: str) -> Iterator[str]:
        """Numbers, or names of numbers, that are not the request's or not the text's own."""
        for pattern, names in self._scales:
            asked, told = _numbers(pattern, query), _numbers(pattern, text)
            for name, (low, high) in names.items():
                there = asked or told
                if name in text and there and not any(low <= value <= high for value in there.values()):
                    yield name
                if name in query and told and not any(low <= value <= high for value in told.values()):
                    yield next(iter(told))
            if asked and told and not set(asked.values()) & set(told.values()):
                yield next(iter(told))

    def conflicting(self, query: str, text: str, topics: tuple[str, ...]) -> Iterator[str]:
        """Wording that cannot stand beside other wording of the text or its request."""
        for rule in self._rules:
            if rule.topics and topics[0] not in rule.topics:
                continue
            if rule.one and not rule.one.search(query if rule.request else text):
                continue
            if found := rule.other.search(text):
                yield found[0]

    def misattributed(self, text: str) -> Iterator[str]:
        """Sayings in the mouth of somebody else."""
        for saying, authors in self._said.items():
            if saying in text:
                named = [author for author in self._authors if author in text]
                if named and not any(author in named for author in authors.split()):
                    yield named[0]


def _numbers(pattern: re.Pattern[str], text: str) -> dict[str, int]:
    """Each match of the pattern with its number."""
    return {found[0]: number(found[1]) for found in pattern.finditer(text)}
