"""The embedded tactician: replaces the tactics that a judge sees through, and keeps the others.

A kind of flaw is *exposed* by a forgery if its forger confessed to it and the judge's reason rests on a check that the
confession names: caught for anything else says nothing against the tactic. A kind that is exposed in `NEEDED`
forgeries, or in all of fewer, gives way to its subtler form, else to one that no tactic names; where neither is left,
it stays. Tactics that mean nothing here stay too.
"""

from collections import Counter

from kindling.agents.embedded.debate import NAME
from kindling.agents.embedded.game.naming import given, named
from kindling.agents.embedded.game.optimizer import NEEDED
from kindling.agents.embedded.game.script import Script
from kindling.agents.embedded.lexicon import Lexicon
from kindling.game import Lesson, Rewrite, Rules
from kindling.prompts.rules import MAX_RULES


class EmbeddedTactician:
    """Rewrites tactics; `index` turns through the kinds that are not in use."""

    name = NAME

    def __init__(self, lexicon: Lexicon, script: Script) -> None:
        self._lexicon = lexicon
        self._script = script

    async def rewrite(self, rules: Rules, lessons: tuple[Lesson, ...], index: int) -> Rewrite:
        """New tactics, or the same ones where none is exposed often enough."""
        exposed = self._exposed(lessons)
        needed = min(NEEDED, len(lessons))
        used = {kind for rule in rules for kind in self._script.kinds(rule)}
        kept: list[str] = []
        new: list[str] = []
        done: list[str] = []
        for rule in rules:
            kinds = self._script.kinds(rule)
            swaps: dict[str, str] = {}
            for kind in kinds:
                if exposed[kind] >= needed and (other := self._other(kind, used, index)):
                    swaps[kind] = other
                    used.add(other)
            if not swaps:
                kept.append(rule)
                continue
            new += [self._script.tactics[swaps.get(kind, kind)].tactic for kind in kinds]
            done += [self._told(kind, other, exposed[kind]) for kind, other in swaps.items()]
        tactics = tuple(dict.fromkeys([*kept, *new]))[:MAX_RULES]
        return Rewrite(tactics, "".join(done) or self._script.sentences.kept)

    def _exposed(self, lessons: tuple[Lesson, ...]) -> Counter[str]:
        """How many forgeries expose each kind of flaw."""
        found: Counter[str] = Counter()
        for lesson in lessons:
            if named(lesson.why, self._lexicon) & given(lesson.reason, self._lexicon):
                found.update(self._script.kinds(lesson.why))
        return found

    def _other(self, kind: str, used: set[str], index: int) -> str:
        """What takes the place of a kind; empty if nothing is left."""
        subtler = self._script.tactics[kind].subtler
        if subtler and subtler not in used:
            return subtler
        free = [key for key in self._script.tactics if key not in used]
        return free[index % len(free)] if free else ""

    def _told(self, kind: str, other: str, count: int) -> str:
        tactics, stop = self._script.tactics, self._script.sentences.stop
        old, new = (tactics[key].tactic.removesuffix(stop) for key in (kind, other))
        return self._script.sentences.replaced.format(old=old, new=new, count=count)
