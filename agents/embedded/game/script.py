"""A task pack's `game.toml`: the sentences in which the embedded players speak.

The engine puts phrases into frames and knows no language. That players understand what they say is checked when the
file is read: a phrase must name its check by the words that the lexicon gives it, frames and leads must name none, a
tactic and its confession must name their kind of flaw and no other, and a confession a check that sees the flaw.
"""

import tomllib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from string import Formatter

from pydantic import BaseModel, ConfigDict, Field

from kindling.agents.embedded.debate import understood
from kindling.agents.embedded.game.naming import unquoted
from kindling.agents.embedded.grammar import Grammar
from kindling.agents.embedded.lexicon import Lexicon, Words
from kindling.agents.embedded.packfile import reading
from kindling.errors import InputError


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


FIELDS = {
    "principle": {"lead", "phrases"},
    "sharpened": {"rule", "phrases"},
    "missed": {"phrases"},
    "misled": {"phrases"},
    "added": {"phrases", "count"},
    "sharper": {"rule", "phrases", "count"},
    "trimmed": {"phrases", "count"},
    "crowded": {"phrases"},
    "replaced": {"old", "new", "count"},
}


class Sentences(_Entry):
    """Frames, with the fields that `FIELDS` gives them, and what joins their parts.

    `room` is how many characters a rule may have before nobody reads it.
    """

    room: int = Field(120, gt=0)
    join: str
    stop: str
    principle: str
    next_principle: str
    sharpened: str
    missed: str
    misled: str
    unseen: str
    added: str
    sharper: str
    trimmed: str
    crowded: str
    unchanged: str
    replaced: str
    kept: str


class Family(_Entry):
    """Checks that one principle speaks of: a lead, and a phrase for each."""

    lead: str
    phrases: dict[str, str] = Field(min_length=1)


class Kind(_Entry):
    """A kind of flaw: the grammar's `flaw`, in one `line` of the text or wherever its operator puts it.

    A tactic names the kind by one of `words`; `confession` has the field `where`. `subtler` is a kind that is harder
    to see.
    """

    flaw: str
    line: bool = False
    words: Words = Field(min_length=1)
    tactic: str
    confession: str
    subtler: str = ""


class Script(_Entry):
    """A checked `game.toml`."""

    sentences: Sentences
    families: dict[str, Family]
    tactics: dict[str, Kind] = Field(min_length=1)

    @cached_property
    def phrases(self) -> dict[str, str]:
        """The phrase of every check that a principle may be about, family by family."""
        return {key: phrase for family in self.families.values() for key, phrase in family.phrases.items()}

    def kinds(self, text: str) -> tuple[str, ...]:
        """The kinds of flaws, by key, that a tactic or a confession names; none if it means nothing here."""
        plain = unquoted(text).casefold()
        return tuple(key for key, kind in self.tactics.items() if any(word.casefold() in plain for word in kind.words))

    def phrased(self, keys: Iterable[str]) -> str:
        """The phrases of these checks, joined."""
        return self.sentences.join.join(self.phrases[key] for key in keys)

    def principle(self, keys: Iterable[str]) -> str:
        """One principle about all these checks, family by family; empty if there are none that it can be about."""
        wanted = set(keys)
        parts = []
        for family in self.families.values():
            if here := [key for key in family.phrases if key in wanted]:
                parts.append(self.sentences.principle.format(lead=family.lead, phrases=self.phrased(here)))
        return self.sentences.next_principle.join(parts) + self.sentences.stop if parts else ""


def load_script(path: Path, lexicon: Lexicon, grammar: Grammar) -> Script:
    """Read and check a script. Raises `InputError` that names the first offending key."""
    with reading(path):
        script = Script.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    for where, message in _faults(script, lexicon, grammar):
        raise InputError(f"{path}: {where}: {message}")
    return script


def _faults(script: Script, lexicon: Lexicon, grammar: Grammar) -> Iterator[tuple[str, str]]:
    """Place and message of everything that would be misunderstood."""
    frames = script.sentences.model_dump(exclude={"room"})
    for name, frame in frames.items():
        yield from _unknown_fields(f"sentences.{name}", frame, FIELDS.get(name, set()))
    silent = {f"sentences.{name}": frame for name, frame in frames.items()}
    silent |= {f"families.{name}.lead": family.lead for name, family in script.families.items()}
    for where, frame in silent.items():
        if named := understood(unquoted(frame), lexicon):
            yield where, f"names the check {named[0]}, which every sentence made with it would name then"
    for name, family in script.families.items():
        for key, phrase in family.phrases.items():
            if key not in lexicon.checks:
                yield f"families.{name}.phrases.{key}", "there is no such check in the lexicon"
            elif key not in understood(phrase, lexicon):
                yield f"families.{name}.phrases.{key}", f"has none of the words of checks.{key} in the lexicon"
    for key, check in lexicon.checks.items():
        if not check.always and key not in script.phrases:
            yield "families", f"no phrase for checks.{key}"
    for name, kind in script.tactics.items():
        yield from _unknown_fields(f"tactics.{name}.confession", kind.confession, {"where"})
        yield from ((f"tactics.{name}.{part}", message) for part, message in _misread(name, kind, script, lexicon))
        if kind.flaw not in grammar.flaws.weights:
            yield f"tactics.{name}.flaw", f"{kind.flaw!r} is not among the grammar's flaws.weights"
        if kind.subtler and kind.subtler not in script.tactics:
            yield f"tactics.{name}.subtler", f"{kind.subtler!r} is not among tactics"


def _unknown_fields(where: str, frame: str, known: set[str]) -> Iterator[tuple[str, str]]:
    try:
        fields = {field for _, field, _, _ in Formatter().parse(frame) if field is not None}
    except ValueError as error:
        yield where, str(error)
        return
    yield from ((where, f"{field!r} is no field of it") for field in sorted(fields - known))


def _misread(name: str, kind: Kind, script: Script, lexicon: Lexicon) -> Iterator[tuple[str, str]]:
    for part, text in (("tactic", kind.tactic), ("confession", kind.confession)):
        if (named := script.kinds(text)) != (name,):
            yield part, f"names {', '.join(named) or 'no kind of flaw'}, not {name} alone"
    confessed = understood(unquoted(kind.confession), lexicon)
    if not any(lexicon.checks[key].side == "flaws" for key in confessed):
        yield "confession", "names no check for a flaw"
