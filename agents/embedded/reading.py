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

    `known` is whether a cue said the topic, or it is the default; `called` is how the query names the audience, `cues`
    are all words that the reading rests on.
    """

    topics: tuple[str, ...]
    known: bool
    audience: str | None
    audiences: frozenset[str]
    called: str
    register: str
    requests: tuple[Request, ...]
    cues: tuple[str, ...]

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
    main = topics[0] if topics else lexicon.default_topic
    manner = lexicon.topics[main].manner or lexicon.default_register
    hearers = _hearers(query, hits.get("audience", []), lexicon)
    audience, called, register = _audience(query, hearers, manner, lexicon)
    return Reading(
        topics or (main,),
        bool(topics),
        audience,
        frozenset([*(hit.owner for hit in hearers), audience]) if audience else frozenset(),
        called,
        register,
        parse(query, brief_chars),
        tuple(hit.phrase for group in hits.values() for hit in group),
    )


def _topics(query: str, cues: list[Hit], lexicon: Lexicon) -> tuple[str, ...]:
    """All topics that the query names, in the lexicon's order; the default one only if it stands alone."""
    found = {hit.owner for hit in cues}
    found.update(topic for pattern, topic in lexicon.topic_patterns if pattern.search(query))
    if len(found) > 1:
        found.discard(lexicon.default_topic)
    return tuple(topic for topic in lexicon.topics if topic in found)


def _hearers(query: str, hits: list[Hit], lexicon: Lexicon) -> list[Hit]:
    """Everyone whom the query names, less those who speak."""
    by_place: dict[int, Hit] = {}
    for hit in hits:
        if lexicon.audiences[hit.owner].name:
            by_place.setdefault(hit.start, hit)
    named = list(by_place.values())
    return [hit for place, hit in enumerate(named) if not _speaks(query, hit, place, named, lexicon)]


def _audience(query: str, hearers: list[Hit], manner: str, lexicon: Lexicon) -> tuple[str | None, str, str]:
    """Who is addressed (None if uncertain), how the query calls them, and the register.

    `manner` is the topic's register, for queries that leave open whom they address.
    """
    groups = [
        one
        for one, other in pairwise(hearers)
        if lexicon.audiences[one.owner].group and _joined(query, one, other, lexicon)
    ]
    hearers = [hit for hit in hearers if hit not in groups]
    if any(_joined(query, one, other, lexicon) for one, other in pairwise(hearers)):
        last = lexicon.audiences[hearers[-1].owner].manner
        return None, "", last if last in lexicon.outranking else manner
    if hearers:
        chosen = next((hit for hit in hearers if not lexicon.audiences[hit.owner].vague), hearers[0])
        entry = lexicon.audiences[chosen.owner]
        left_open = entry.vague and entry.manner == lexicon.default_register
        return chosen.owner, chosen.phrase, manner if left_open else entry.manner
    for pattern, audience in lexicon.audience_patterns:
        if pattern.search(query):
            return audience, "", lexicon.audiences[audience].manner
    return None, "", manner


def _speaks(query: str, hit: Hit, place: int, named: list[Hit], lexicon: Lexicon) -> bool:
    """Whether `hit` is who speaks; the last one named does not if the first does."""
    rest = query[hit.start + len(hit.phrase) :].lstrip()
    if len(named) < 2:
        return hit.start == 0 and rest.startswith(lexicon.rules.speaker_alone)
    if place < len(named) - 1 and rest.startswith(lexicon.rules.speaker_before):
        return True
    if _speaks_first(query, named, lexicon):
        return False
    return place == len(named) - 1 and rest.startswith(lexicon.rules.speaker_after)


def _speaks_first(query: str, named: list[Hit], lexicon: Lexicon) -> bool:
    first = named[0]
    return query[first.start + len(first.phrase) :].lstrip().startswith(lexicon.rules.speaker_before)


def _joined(query: str, one: Hit, other: Hit, lexicon: Lexicon) -> bool:
    """Whether `other` is named as a relation of `one`."""
    between = query[one.start + len(one.phrase) : other.start]
    return one.owner != other.owner and (between == "" or between in lexicon.rules.link)
