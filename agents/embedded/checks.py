"""The checks: small pure functions from a response and what its query asks to the evidence they find.

Each check is named in the lexicon, which gives it its weight and words; a check gives the *evidence*, at most a handful
of phrases of the text, and never looks at its length. Counts are of distinct phrases, so saying a thing twice is not
having two things to say. All of them read one scan of the text; nothing is scanned twice.

Some compare the text with the query (topic, audience, register, facts), the others look at its wording. A lexicon may
name checks of its own: `check_for` makes one of any list of wording, or pattern, that it has under the check's name.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from kindling.agents.embedded.language import Clause
from kindling.agents.embedded.lexicon import Hits, Lexicon
from kindling.agents.embedded.reading import Reading
from kindling.records import Fact

_CLAUSE = re.compile(r"[^\w'’-]+")
_PAIRS = ("“”", "（）", "《》", "()", "「」", "【】")
_SENTENCE = re.compile(r"[。！？!?…\n]+|(?<=[a-z])\.(?=\s|$)")
STRAY = 4
LAST = 6
FRESH = (0.35, 0.45, 0.55, 0.65)  # plain wishes have about a third of characters of their own


@dataclass(frozen=True)
class View:
    """A query and what it asks, a response and its scan. `text` is without its hidden characters, `raw` has them."""

    query: str
    raw: str
    text: str
    hits: Hits
    reading: Reading
    facts: tuple[Fact, ...]
    lexicon: Lexicon

    def distinct(self, group: str, owners: Iterable[str] | None = None) -> list[str]:
        """The distinct phrases found of a group, of all or some owners, in text order."""
        hits = self.hits.get(group, [])
        if owners is not None:
            allowed = set(owners)
            hits = [hit for hit in hits if hit.owner in allowed]
        return list(dict.fromkeys(hit.phrase for hit in hits))

    def match(self, pattern: str) -> list[str]:
        """The first match of one of the lexicon's patterns."""
        compiled = self.lexicon.patterns.get(pattern)
        found = compiled.search(self.text) if compiled else None
        return [found[0]] if found else []

    def matches(self, pattern: str) -> list[str]:
        """All distinct matches of one of the lexicon's patterns."""
        compiled = self.lexicon.patterns.get(pattern)
        return list(dict.fromkeys(found[0] for found in compiled.finditer(self.text))) if compiled else []

    @cached_property
    def clauses(self) -> list[Clause]:
        """The clauses of the text."""
        return self.lexicon.language.clauses(self.text)

    @cached_property
    def own(self) -> list[bool]:
        """For each character, whether it is a letter outside of stock phrases, the topic's marks and plain words."""
        stock = {
            place
            for group in ("cliches", "generic", "mark", "address", "plain")
            for hit in self.hits.get(group, [])
            for place in range(hit.start, hit.start + len(hit.phrase))
        }
        return [char.isalpha() and place not in stock for place, char in enumerate(self.text)]


Check = Callable[[View], list[str]]


def _near(view: View) -> set[str]:
    """The topics asked for and those whose marks do no harm beside them."""
    return {near for topic in view.reading.topics for near in view.lexicon.near[topic]}


def fits_topic(view: View) -> list[str]:
    """The text speaks of a topic asked for: by a mark, else by a sign."""
    if view.reading.topic == view.lexicon.default_topic and _foreign(view):
        return []
    topics = view.reading.topics
    return (view.distinct("mark", topics) or view.distinct("sign", topics))[:1]


def _foreign(view: View) -> list[str]:
    """Marks that belong only to topics that were not asked for."""
    near = _near(view)
    owners: dict[str, set[str]] = {}
    for hit in view.hits.get("mark", []):
        owners.setdefault(hit.phrase, set()).add(hit.owner)
    return [phrase for phrase, of in owners.items() if not of & near]


def wrong_topic(view: View) -> list[str]:
    """The text is surely about another topic, and about none that was asked for."""
    if not view.reading.known or view.reading.topic == view.lexicon.default_topic:
        return []  # a request without an occasion does not say which ones are wrong
    return [] if view.distinct("mark", view.reading.topics) else _foreign(view)


def off_topic(view: View) -> list[str]:
    """Nothing in the text shows what it is for."""
    if view.reading.topic == view.lexicon.default_topic or fits_topic(view) or wrong_topic(view):
        return []
    return [view.lexicon.topics[view.reading.topic].name]


def dwells_on_topic(view: View) -> list[str]:
    """What shows the topic beyond the first mark or sign."""
    topics = view.reading.topics
    return (view.distinct("mark", topics) + view.distinct("sign", topics))[1:]


def leans_elsewhere(view: View) -> list[str]:
    """Marks and signs of another topic, where there are more of them than of the topic asked for."""
    if not view.reading.known:
        return []
    near = _near(view)
    support: dict[str, list[str]] = {}
    for group, weight in (("mark", 2), ("sign", 1)):
        for hit in view.hits.get(group, []):
            support.setdefault(hit.owner, []).extend([hit.phrase] * weight)
    own = max((len(support.get(topic, ())) for topic in near), default=0)
    others = [phrases for topic, phrases in support.items() if topic not in near]
    most = max(others, key=len, default=[])
    return list(dict.fromkeys(most)) if len(most) > own + 1 else []


def _vocatives(view: View) -> dict[str, set[str]]:
    """Whom the text calls, with every audience that may be meant.

    A name is a call if it opens a sentence and a stop follows, or if one of the lexicon's words comes before it.
    """
    rules = view.lexicon.rules
    calls: dict[str, set[str]] = {}
    for hit in view.hits.get("address", []):
        before, after = view.text[: hit.start].rstrip().casefold(), view.text[hit.start + len(hit.phrase) :][:1]
        opens = not before or not before[-1].isalnum()
        if (opens and after and after in rules.vocative_after) or before.endswith(rules.vocative_before):
            calls.setdefault(hit.phrase, set()).add(hit.owner)
    return calls


def _kin(view: View) -> set[str]:
    """Everyone whom the text may call: those addressed, those like them, and those whom the topic is about."""
    of_topic = {audience for topic in view.reading.topics for audience in view.lexicon.topics[topic].audiences}
    return {kin for audience in view.reading.audiences for kin in view.lexicon.kin[audience]} | of_topic


def fits_audience(view: View) -> list[str]:
    """The text calls the one addressed by a fitting name, or speaks as one does to them."""
    kin = _kin(view)
    calls = [phrase for phrase, owners in _vocatives(view).items() if owners & kin]
    return (calls or (view.distinct("prefers", [view.reading.register]) if view.reading.audience else []))[:1]


def wrong_audience(view: View) -> list[str]:
    """The text calls somebody else."""
    if view.reading.audience is None or view.lexicon.audiences[view.reading.audience].vague:
        return []
    kin = _kin(view)
    return [phrase for phrase, owners in _vocatives(view).items() if not owners & kin]


def knows_audience(view: View) -> list[str]:
    """Details that only this audience has."""
    return view.distinct("detail", view.reading.audiences)


def leans_to_others(view: View) -> list[str]:
    """Details that others have, where there are more of one of them than of the one addressed."""
    if view.reading.audience is None or view.lexicon.audiences[view.reading.audience].vague:
        return []
    kin = _kin(view)
    support: dict[str, dict[str, None]] = {}
    for hit in view.hits.get("detail", []):
        support.setdefault(hit.owner, {})[hit.phrase] = None
    own = max((len(support.get(audience, ())) for audience in kin), default=0)
    most = max((phrases for audience, phrases in support.items() if audience not in kin), key=len, default={})
    return list(most) if len(most) > own + 1 else []


def addresses(view: View) -> list[str]:
    """Forms of address that are at home in the register, each time."""
    return [hit.phrase for hit in view.hits.get("uses", []) if hit.owner == view.reading.register]


def wrong_address(view: View) -> list[str]:
    """Forms of address of other registers, and none of this one."""
    if not view.lexicon.registers[view.reading.register].uses or addresses(view):
        return []
    return view.distinct("uses")[:1]


def knows_request(view: View) -> list[str]:
    """Pairs of characters, or words, of the request that come back, other than those by which it is understood."""
    language, query = view.lexicon.language, view.query
    if language.spaced:
        plain = {*view.lexicon.wording("plain"), *(word for cue in view.reading.cues for word in cue.split())}
        there = {unit.text for unit in language.units(view.text)}
        asked = dict.fromkeys(unit.text for unit in language.units(query))
        return [word for word in asked if word in there and word not in plain]
    for known in view.reading.cues:
        query = query.replace(known, " ")
    pairs = (one + other for one, other in pairwise(query) if one.isalpha() and other.isalpha() and not one.isascii())
    return [pair for pair in dict.fromkeys(pairs) if pair in view.text]


def register(view: View) -> list[str]:
    """Wording that offends in the register, or its pronoun missed."""
    if found := view.distinct("avoids", [view.reading.register]):
        return found
    manner = view.lexicon.registers[view.reading.register]
    missed = manner.instead and manner.instead in view.text and manner.pronoun not in view.text
    return [manner.instead] if missed else []


def taboo(view: View) -> list[str]:
    """Wording that is taboo for a topic asked for, or anywhere, and that no topic asked for allows."""
    allowed = {name for topic in view.reading.topics for name in view.lexicon.topics[topic].allows}
    anywhere = [phrase for name in ("taboos", "mourning") if name not in allowed for phrase in view.distinct(name)]
    here = {phrase for name in allowed for phrase in view.distinct(name)}
    return [phrase for phrase in view.distinct("taboo", view.reading.topics) if phrase not in here] + anywhere


def slip(view: View) -> list[str]:
    """A number, a name for one, or a saying that is not what the text takes it for."""
    world = view.lexicon.world
    return [*world.misnumbered(view.query, view.text), *world.misattributed(view.text)]


def contradiction(view: View) -> list[str]:
    """Wording that cannot stand beside other wording of the text, its request or its topic."""
    return list(view.lexicon.world.conflicting(view.query, view.text, view.reading.topics))


def stray(view: View) -> list[str]:
    """Sentences about nobody, that wish nothing and have nothing to do with the topic, beyond a first one."""
    if view.reading.counted or not view.lexicon.wording("persons"):
        return []
    sentences = [one for one in _SENTENCE.split(view.text) if len(_CLAUSE.sub("", one)) > STRAY]
    touched = [*view.hits.get("persons", []), *view.hits.get("address", []), *view.hits.get("mark", [])]
    strays, at = [], 0
    for sentence in sentences:
        at = view.text.index(sentence, at)
        if not any(at <= hit.start < at + len(sentence) for hit in touched):
            strays.append(sentence[:8])
    return strays[1:]


def concrete(view: View) -> list[str]:
    """Things that one can see, hear, smell or touch, and anything counted with its measure.

    A thing named by a single character may only seem to be one, so it takes two of them.
    """
    images = view.hits.get("images", [])
    covered = {place for hit in images for place in range(hit.start, hit.start + len(hit.phrase))}
    single = dict.fromkeys(hit.phrase for hit in view.hits.get("things", []) if hit.start not in covered)
    pair = [" ".join(list(single)[:2])] if len(single) > 1 else []
    return view.distinct("images") + view.match("counted") + pair


def figurative(view: View) -> list[str]:
    """Figures of speech."""
    return view.matches("figurative")


def parallel(view: View) -> list[str]:
    """Neighbouring clauses of as many units, or nearly so with the same first one; each more than a set phrase."""
    language = view.lexicon.language
    found = []
    for one, other in pairwise(view.clauses):
        sizes = len(one.units), len(other.units)
        if min(sizes) <= language.long or one.text == other.text:
            continue
        near = abs(sizes[0] - sizes[1]) <= language.nearly
        if sizes[0] == sizes[1] or (near and one.words[0] == other.words[0]):
            found.append(f"{one.text} {other.text}")
    return found


def own_words(view: View) -> list[str]:
    """Clauses most of whose units are the text's own: neither stock, nor the topic's name, nor everybody's words."""
    language = view.lexicon.language
    found = []
    for clause in language.stretches(view.text):
        own = {unit.text for unit in clause.units if view.own[unit.start]}
        if len(clause.units) > language.long and len(own) * 2 >= len(clause.units):
            found.append(clause.text)
    return list(dict.fromkeys(found))


def fresh(view: View) -> list[str]:
    """Steps by which the share of the text's own among its distinct units exceeds what plain texts have."""
    units = [unit for unit in view.lexicon.language.units(view.text) if unit.text[0].isalpha()]
    own = {unit.text for unit in units if view.own[unit.start]}
    share = len(own) / len({unit.text for unit in units}) if units else 0.0
    return [f"{share:.0%}" for step in FRESH if share >= step]


def personal(view: View) -> list[str]:
    """Wording that is one person's own."""
    return view.distinct("personal")


def cliche(view: View) -> list[str]:
    """Stock phrases; where a set phrase was asked for, they are what was asked."""
    return [] if view.reading.counted else view.distinct("cliches")


def rests_on_cliches(view: View) -> list[str]:
    """Stock phrases beyond what the text has of its own: one figure or thing to see carries one of them."""
    own = len(concrete(view)) + len(figurative(view)) + len(view.distinct("personal"))
    return cliche(view)[own:]


def generic(view: View) -> list[str]:
    """Lines that fit every request."""
    return view.distinct("generic")


def bare(view: View) -> list[str]:
    """Nothing concrete, figurative or personal in the whole text."""
    if view.reading.counted or any(check(view) for check in (concrete, figurative, knows_audience, personal)):
        return []
    return [view.lexicon.language.excerpt(view.text)]


def repetition(view: View) -> list[str]:
    """A clause that stands there twice; one of few units may."""
    least = max(view.lexicon.language.long, 2)
    clauses = [clause.text for clause in view.clauses if len(clause.units) >= least]
    return [clause for clause in dict.fromkeys(clauses) if clauses.count(clause) > 1]


def broken(view: View) -> list[str]:
    """A doubled word, a sentence without its end, a bracket without its other half."""
    odd = [pair for pair in _PAIRS if view.text.count(pair[0]) != view.text.count(pair[1])]
    return view.match("doubled") + view.match("dangling") + odd


def unfinished(view: View) -> list[str]:
    """An end in the middle: the lexicon's pattern, a last word cut off, or a last clause unlike the others.

    Where words stand apart, one is cut off if the lexicon knows it only as the beginning of others. Elsewhere a last
    clause without a stop ends in the middle if it is unlike all others in length. Set phrases and verse go without
    stops, and their clauses are alike; a request for something short allows the rest.
    """
    if found := view.match("unfinished"):
        return [found[0][-LAST:]]
    text = view.text.strip()
    if not text[-1:].isalpha():
        return []
    if view.lexicon.language.spaced:
        last = view.lexicon.language.units(text)[-1].text
        return [last] if view.lexicon.only_begins(last) else []
    clauses = [clause.text for clause in view.lexicon.language.stretches(text)]
    short = any(request.high is not None for request in view.reading.requests)
    if short or len(clauses) < 2 or "\n" in text:
        return []
    return [] if len(clauses[-1]) in {len(clause) for clause in clauses[:-1]} else [clauses[-1][-LAST:]]


def several_lines(view: View) -> list[str]:
    """A second line, where the request asks for one text."""
    lines = [line for line in view.text.splitlines() if any(map(str.isalnum, line))]
    several = any(request.kind == "items" for request in view.reading.requests)
    return [view.lexicon.language.excerpt(lines[1])] if len(lines) > 1 and not several else []


def mixed_language(view: View) -> list[str]:
    """Words of another language that nobody asked for."""
    if any(request.kind == "language" for request in view.reading.requests):
        return []
    return view.match("latin") + view.match("foreign")


def request_met(view: View) -> list[str]:
    """A verifiable request that the text meets, if it meets all."""
    if any(not fact.met for fact in view.facts):
        return []
    return [f"{fact.asked}: {fact.measured}" for fact in view.facts if fact.kind != "brief"]


def request_unmet(view: View) -> list[str]:
    """A verifiable request that the text does not meet."""
    return [f"{fact.asked}: {fact.measured}" for fact in view.facts if not fact.met and fact.kind != "brief"]


def too_long(view: View) -> list[str]:
    """Brevity was asked for, and the text is longer than the task takes for brief: a matter of degree."""
    return [f"{fact.asked}: {fact.measured}" for fact in view.facts if not fact.met and fact.kind == "brief"]


def hidden(view: View) -> list[str]:
    """Characters that cannot be seen, between letters."""
    compiled = view.lexicon.patterns.get("hidden")
    return ["…"] if compiled and compiled.search(view.raw) else []


def empty(view: View) -> list[str]:
    """No letter in it."""
    return [] if any(char.isalpha() for char in view.text) else [view.text[:8]]


def check_for(key: str, lexicon: Lexicon) -> Check | None:
    """The check `key` of a lexicon: one of `CHECKS`, else what it has under that name to look for; None without."""
    if key in CHECKS:
        return CHECKS[key]
    return _wording(key, key) if lexicon.wording(key) or key in lexicon.patterns else None


def _wording(name: str, group: str) -> Check:
    def check(view: View) -> list[str]:
        return view.distinct(group) + view.matches(name)

    check.__doc__ = f"Wording of the list {group!r}, or a match of the pattern {name!r}."
    return check


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        fits_topic, dwells_on_topic, wrong_topic, off_topic, leans_elsewhere, fits_audience, wrong_audience,
        knows_audience, leans_to_others, addresses, wrong_address, knows_request, register, taboo, slip,
        contradiction, stray, concrete, figurative, parallel, own_words, fresh, personal, cliche, rests_on_cliches,
        generic, bare, repetition, broken, several_lines, mixed_language, request_met, request_unmet, too_long, hidden,
        unfinished, empty,
    )
} | {
    name: _wording(name, group)
    for name, group in (
        ("advert", "adverts"), ("begging", "begging"), ("pressure", "pressure"), ("refusal", "refusals"),
        ("placeholder", "placeholders"), ("offscript", "offscript"), ("orders", "orders"), ("asks", "asks"),
        ("urges", "urges"), ("self_centred", "self_centred"), ("unasked", "unasked"), ("clumsy", "clumsy"),
    )
}  # fmt: skip
