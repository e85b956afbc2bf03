"""How a language cuts a text up: into clauses, and these into units.

A *unit* is what a reader takes in as one: a character in Chinese, a word where words stand apart. A *clause* is what
stands between two marks (in Chinese, between two spaces too). The checks count units and compare clauses, so that the
same check reads both. Which language it is, a lexicon says; what its words mean is the lexicon's affair.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit, without case where words stand apart, and its place in the text."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause as it stands, and its units."""

    text: str
    units: tuple[Unit, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The units without their places."""
        return tuple(unit.text for unit in self.units)


@dataclass(frozen=True, slots=True)
class Language:
    """`long`: a clause of more units says something. `nearly`: so many units more or less are as good as equal.

    `spaced` is whether words stand apart. `clause` finds clauses with the marks that belong to words, such as hyphens;
    `stretch` without them, where these are no part of a unit.
    """

    spaced: bool
    long: int
    nearly: int
    clause: re.Pattern[str]
    stretch: re.Pattern[str]
    unit: re.Pattern[str]

    def clauses(self, text: str) -> list[Clause]:
        """The clauses of `text`."""
        return [self._cut(found) for found in self.clause.finditer(text) if not found[0].isspace()]

    def stretches(self, text: str) -> list[Clause]:
        """The stretches of `text`."""
        return [self._cut(found) for found in self.stretch.finditer(text) if not found[0].isspace()]

    def units(self, text: str) -> list[Unit]:
        """The units of `text`."""
        return list(self._units(text, 0, len(text)))

    def excerpt(self, text: str) -> str:
        """How `text` begins, to be quoted: eight characters, or four words."""
        return " ".join(text.split()[:4]) if self.spaced else text[:8]

    def _cut(self, found: re.Match[str]) -> Clause:
        return Clause(found[0].strip(), tuple(self._units(found.string, *found.span())))

    def _units(self, text: str, start: int, end: int) -> Iterator[Unit]:
        for found in self.unit.finditer(text, start, end):
            yield Unit(found[0].casefold() if self.spaced else found[0], found.start())


_BETWEEN_MARKS = re.compile(r"[^.,;:!?…—–()\[\]\"“”/|*\n\r]+")
LANGUAGES = {
    "zh": Language(False, 4, 2, re.compile(r"[\w'’-]+"), re.compile(r"[^\W_]+"), re.compile(r"[\w'’-]")),
    "en": Language(True, 1, 1, _BETWEEN_MARKS, _BETWEEN_MARKS, re.compile(r"[^\W_](?:[\w'’-]*[^\W_])?")),
}
LanguageName = Literal["zh", "en"]
