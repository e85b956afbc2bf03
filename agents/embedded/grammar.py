"""A task pack's `grammar.toml`: fragments from which texts are built, and lines that spoil them.

A *fragment* is a clause of a text without its last stop; `{you}` in it stands for the pronoun. A *slot* (opening,
scene, wish …) is a kind of fragment, a *shape* a sequence of slots. Which slots there are is the grammar's affair: the
engine joins what a shape names. Three slot names have a meaning: `salutation` and `opening` take their own stops, and
`four` holds set phrases of four characters, for languages that have them.

Fragments of a slot come from the topic, from the topic for the register at hand, from the audience (`scene`s only where
the topic is personal), else from the register. An `exclusive` audience, such as oneself, uses its own fragments only.
"""

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kindling.agents.embedded.lexicon import Lexicon
from kindling.agents.embedded.packfile import reading
from kindling.errors import InputError

Lines = tuple[str, ...]


def _slots(value: Any) -> Any:
    """Gather the arrays of a table as its slots; what else is in it stays."""
    if not isinstance(value, dict):
        return value
    slots = {key: entry for key, entry in value.items() if isinstance(entry, list)}
    return {**{key: entry for key, entry in value.items() if key not in slots}, "slots": slots}


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Style(_Entry):
    """Pronoun, stops and spacing of the language."""

    you: str
    salutation_stop: str
    opening_stop: str
    sentence_stop: str
    last_stop: Lines
    phrase_stop: str
    space: str


class Shape(_Entry):
    """A sequence of slots and how often it is used."""

    parts: Lines
    weight: float = Field(1.0, gt=0)


class RegisterStyle(_Entry):
    """How a register says "you", to one and to two, and its own fragments."""

    you: str
    plural: str
    slots: dict[str, Lines] = Field(default_factory=dict)


class AudienceLines(_Entry):
    """Fragments of an audience; `match` gives other salutations where the query calls it by a certain name."""

    you: str = ""
    exclusive: bool = False
    match: dict[str, Lines] = Field(default_factory=dict)
    slots: dict[str, Lines] = Field(default_factory=dict)


class Flaws(_Entry):
    """Lines that spoil a text, by flaw; taboos also by topic and by register. `weights` says how often each flaw is.

    `stock` is the emptiest text for a topic, whose name or mark takes the place of `{topic}`.
    """

    stock: str = "{topic}"
    weights: dict[str, float]
    lines: dict[str, Lines]
    taboo_by_topic: dict[str, Lines]
    taboo_by_register: dict[str, Lines]


class English(_Entry):
    """Whole lines for requests to write in English; `{name}` is the topic's."""

    names: dict[str, str]
    other: str
    lines: Lines


class TopicLines(_Entry):
    """Fragments of a topic, and further ones for a register. A `plural` topic addresses two people."""

    personal: bool = False
    plural: bool = False
    slots: dict[str, Lines]
    registers: dict[str, dict[str, Lines]]


def _topic(value: Any) -> Any:
    """Tables inside a topic are registers, arrays slots."""
    if not isinstance(value, dict):
        return value
    value = _slots(value)
    registers = {key: entry for key, entry in value.items() if isinstance(entry, dict) and key != "slots"}
    return {**{key: entry for key, entry in value.items() if key not in registers}, "registers": registers}


class Grammar(_Entry):
    """A checked `grammar.toml`."""

    style: Style
    shapes: tuple[Shape, ...] = Field(min_length=1)
    registers: dict[str, Annotated[RegisterStyle, BeforeValidator(_slots)]]
    audiences: dict[str, Annotated[AudienceLines, BeforeValidator(_slots)]]
    topics: dict[str, Annotated[TopicLines, BeforeValidator(_topic)]]
    phrases: dict[int, Lines] = Field(default_factory=dict)
    english: English | None = None
    flaws: Flaws
    digest: str = ""


def load_grammar(path: Path, lexicon: Lexicon) -> Grammar:
    """Read and check a grammar against its lexicon. Raises `InputError` that names the first offending key."""
    with reading(path):
        raw = path.read_bytes()
        data = tomllib.loads(raw.decode())
        grammar = Grammar.model_validate({**data, "digest": hashlib.sha256(raw).hexdigest()[:16]})
    for kind, there in (("topics", lexicon.topics), ("audiences", lexicon.audiences), ("registers", lexicon.registers)):
        if unknown := sorted(set(getattr(grammar, kind)) - set(there)):
            raise InputError(f"{path}: {kind}.{unknown[0]}: not in the lexicon")
    if missing := sorted(set(lexicon.topics) - set(grammar.topics)):
        raise InputError(f"{path}: topics.{missing[0]}: the lexicon has it, the grammar no fragments for it")
    if missing := sorted(set(lexicon.registers) - set(grammar.registers)):
        raise InputError(f"{path}: registers.{missing[0]}: the lexicon has it, the grammar no pronoun for it")
    return grammar
