"""Reading a query: what it is for, whom the text will address and how, who speaks, and what it asks by number.

Cues decide, not grammar: queries are keywords as typed into a search box. The few rules about who speaks (a daughter's
day, "a mother's words") come from the lexicon. Where two audiences are joined into one relation (a friend's mother),
nobody is addressed by name.
"""

from dataclasses import dataclass
from itertools import pairwise

from kindling.agents.embedded.lexicon import Hit, Lexicon
from kindling.agents.requests import Request, parse


@dataclass(frozen=True, slots=True)
class Reading:
    """What a query asks for. `topics` has the main one first; `audience` is None where nobody certain is addressed.

    `known` is whether a cue said the topic, or it is the default; `called` is how the query names the audience.
    """

    topics: tuple[str, ...]
    known: bool
    audience: str | None
    audiences: frozenset[str]
    called: str
    register: str
    requests: tuple[Request, ...]

    @property
    def topic(self) -> str:
        """The main topic."""
        return self.topics[0]

    @property
    def counted(self) -> bool:
        """Whether the query asks for so many characters, as for a set phrase."""
        return any(request.kind == "characters" for request in self.requests)


def read(query: str, lexicon: Lexicon, brief_chars: int) -> Reading:
    """The reading of `query`."""
    hits = lexicon.query_scanner.scan(query)
    topics = _topics(query, hits.get("cue", []), lexicon)
    audience, audiences, called, register = _audience(query, hits.get("audience", []), lexicon)
    return Reading(
        topics or (lexicon.default_topic,),
        bool(topics),
        audience,
        audiences,
        called,
        register,
        parse(query, brief_chars),
    )


def _topics(query: str, cues: list[Hit], lexicon: Lexicon) -> tuple[str, ...]:
    """All topics that the query names, in the lexicon's order; the default one only if it stands alone."""
    found = {hit.owner for hit in cues}
    found.update(topic for pattern, topic in lexicon.topic_patterns if pattern.search(query))
    if len(found) > 1:
        found.discard(lexicon.default_topic)
    return tuple(topic for topic in lexicon.topics if topic in found)


def _audience(query: str, hits: list[Hit], lexicon: Lexicon) -> tuple[str | None, frozenset[str], str, str]:
    """Who is addressed (None if uncertain), everyone who may be, how the query calls them, and the register."""
    by_place: dict[int, Hit] = {}
    for hit in hits:
        if lexicon.audiences[hit.owner].name:
            by_place.setdefault(hit.start, hit)
    named = list(by_place.values())
    hearers = [hit for place, hit in enumerate(named) if not _speaks(query, hit, place, named, lexicon)]
    if not hearers:
        for pattern, audience in lexicon.audience_patterns:
            if pattern.search(query):
                return audience, frozenset([audience]), "", lexicon.audiences[audience].manner
        return None, frozenset(), "", lexicon.default_register
    first, last = hearers[0], hearers[-1]
    manner = lexicon.audiences[last.owner].manner
    if any(_joined(query, one, other, lexicon) for one, other in pairwise(hearers)):
        return None, frozenset(), "", manner if manner in lexicon.outranking else lexicon.default_register
    owners = frozenset(hit.owner for hit in hearers)
    return first.owner, owners, first.phrase, lexicon.audiences[first.owner].manner


def _speaks(query: str, hit: Hit, place: int, named: list[Hit], lexicon: Lexicon) -> bool:
    """Whether `hit` is who speaks: only where somebody else is named too."""
    if len(named) < 2:
        return False
    rest = query[hit.start + len(hit.phrase) :].lstrip()
    if place < len(named) - 1 and rest.startswith(lexicon.rules.speaker_before):
        return True
    return place == len(named) - 1 and rest.startswith(lexicon.rules.speaker_after)


def _joined(query: str, one: Hit, other: Hit, lexicon: Lexicon) -> bool:
    """Whether `other` is named as a relation of `one`."""
    between = query[one.start + len(one.phrase) : other.start]
    return between == "" or between in lexicon.rules.link
