"""The embedded forger: a draft of the grammar with one flaw, of a kind that its tactics name.

It draws a tactic, a kind of flaw that the tactic names, and a draft, until the draft has a place for the flaw and the
spoilt text still delivers what the query asks by number: a miscount would be caught for that alone. What it confesses
must be true: a text for another occasion that happens to fit is no forgery, and neither is a fond name for someone who
may be called anything. Spoilt texts keep their length (`flaws.py`). A tactic that names no kind is not used.

What it writes depends on the seed, the query's text, the tactics and the index, and on nothing else.
"""

import hashlib
import random
from itertools import takewhile

from kindling.agents.embedded.debate import NAME
from kindling.agents.embedded.examiner import Examiner
from kindling.agents.embedded.flaws import Spoiler
from kindling.agents.embedded.game.script import Kind, Script
from kindling.agents.embedded.reading import Reading
from kindling.agents.embedded.writer import Parts, Scene, Writer
from kindling.agents.requests import measure
from kindling.errors import CallError
from kindling.game import Forgery, Rules
from kindling.records import Case, Query

TRIES = 72
ELSEWHERE, MISCALLED = "wrong_topic", "wrong_audience"  # set phrases have a place for the first of them only
ON_TOPIC = "fits_topic"  # a text for another occasion may happen to fit this one
PHRASE = 4  # characters of a set phrase that belongs to a topic; those of other lengths fit anywhere


class EmbeddedForger:
    """Forges by the tactics that it understands."""

    name = NAME

    def __init__(self, examiner: Examiner, writer: Writer, script: Script, seed: int = 0) -> None:
        self._examiner = examiner
        self._writer = writer
        self._spoiler = Spoiler(writer, examiner.lexicon)
        self._script = script
        self._seed = seed

    async def forge(self, query: Query, tactics: Rules, index: int) -> Forgery:
        """The `index`-th forgery for `query` by `tactics`. Raises `CallError` if none of them can be used for it."""
        choices = [kinds for tactic in tactics if (kinds := self._script.kinds(tactic))]
        if not choices:
            raise CallError(f"{self.name} forger: none of the {len(tactics)} tactics names a kind of flaw in game.toml")
        key = "\x1f".join([str(self._seed), self.name, query.text, *tactics, str(index)])
        rng = random.Random(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]))  # noqa: S311 - not for secrets
        for _ in range(TRIES):
            kind = self._script.tactics[rng.choice(rng.choice(choices))]
            if (made := self._spoilt(query.text, kind, rng)) is not None:
                text, where = made
                return Forgery(query.text, text, kind.confession.format(where=where))
        raise CallError(f"{self.name} forger: no tactic that it understands has a place in a text for this query")

    def _spoilt(self, query: str, kind: Kind, rng: random.Random) -> tuple[str, str] | None:
        """A text with the flaw, and the words that are flawed; None if it would be none, or the draft has no place."""
        reading = self._examiner.read(query)
        scene = Scene.of(reading)
        exact = next((request for request in reading.requests if request.kind == "characters"), None)
        if not self._wrong_here(kind.flaw, reading):
            return None
        if exact is not None:
            size = rng.randint(exact.low, exact.high or exact.low)
            if kind.flaw != ELSEWHERE or size % PHRASE:
                return None
            text = where = self._writer.exact(self._spoiler.elsewhere(scene, rng), size, rng)
        else:
            draft = self._writer.draft(scene, rng)
            if not self._spoiler.fits(kind.flaw, draft, scene):
                return None
            spoilt = self._spoiler.apply(kind.flaw, draft, scene, rng, line=kind.line)
            text, where = self._writer.render(spoilt, rng), _where(draft, spoilt)
        facts = measure(query, text, self._examiner.brief_chars)
        if not where or not all(fact.met for fact in facts):
            return None
        found = {finding.check for finding in self._examiner.examine(Case(query, text, facts))}
        return None if kind.flaw == ELSEWHERE and ON_TOPIC in found else (text, where)

    def _wrong_here(self, flaw: str, reading: Reading) -> bool:
        """Whether it is one: not if the query names no occasion, or addresses someone who may be called anything."""
        lexicon = self._examiner.lexicon
        if flaw == ELSEWHERE:
            return reading.known and reading.topic != lexicon.default_topic
        return flaw != MISCALLED or (reading.audience is not None and not lexicon.audiences[reading.audience].vague)


def _where(draft: Parts, spoilt: Parts) -> str:
    """The first part of the spoilt draft that is not the draft's, from where it differs; empty if all agree."""
    for (_, before), (_, after) in zip(draft, spoilt, strict=False):
        if before != after:
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
            return after[same:]
    return ""
