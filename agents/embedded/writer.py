"""The writer: one draft from the grammar, for a reading of a query.

A draft is a list of parts (slot, text) so that a flaw can replace one of them by something of the same length; `render`
joins it. Requests that can be counted are met by drawing again, and where chance does not help, by what is made for it:
set phrases of the exact number of characters, or sentences added until there are enough; in a language without set
phrases, by looking through all drafts.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice, product

from kindling.agents.embedded.grammar import Grammar, Lines, Shape
from kindling.agents.embedded.reading import Reading
from kindling.agents.requests import Request, count_characters

SET_PHRASE = "four"
TRIES = 24
MOST_DRAFTS = 2000
SAYS_LITTLE = 5  # a clause up to this length may come back in another item
_CLAUSE = re.compile(r"\W+")

Parts = list[tuple[str, str]]
Draw = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Scene:
    """Who writes to whom for what: what decides which fragments there are."""

    topic: str
    audience: str | None
    register: str
    called: str = ""

    @classmethod
    def of(cls, reading: Reading) -> "Scene":
        """The scene that a query sets."""
        return cls(reading.topic, reading.audience, reading.register, reading.called)


class Writer:
    """Draws drafts. All chance comes from the generator that is passed in."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self._weights = [shape.weight for shape in grammar.shapes]
        self.fragments = lru_cache(4096)(self._fragments)

    def draft(self, scene: Scene, rng: random.Random) -> Parts:
        """One draft of a random shape; slots that the scene has no fragments for are left out."""
        shape = rng.choices(self.grammar.shapes, self._weights)[0]
        parts: Parts = []
        for slot in shape.parts:
            there = self.fragments(scene, slot)
            fresh = [text for text in there if (slot, text) not in parts]
            if fresh:
                parts.append((slot, rng.choice(fresh)))
        return parts or [(SET_PHRASE, rng.choice(self.fragments(scene, SET_PHRASE)))]

    def texts(self, scene: Scene) -> list[str]:
        """The texts that the shapes give for a scene, each once; the first `MOST_DRAFTS` drafts."""
        drafts = islice((draft for shape in self.grammar.shapes for draft in self._drafts(scene, shape)), MOST_DRAFTS)
        return list(dict.fromkeys(self._joined(draft, self.grammar.style.sentence_stop) for draft in drafts if draft))

    def _drafts(self, scene: Scene, shape: Shape) -> Iterator[Parts]:
        """Every draft of a shape."""
        slots = [(slot, there) for slot in shape.parts if (there := self.fragments(scene, slot))]
        for chosen in product(*(there for _, there in slots)):
            if len(set(chosen)) == len(chosen):
                yield [(slot, text) for (slot, _), text in zip(slots, chosen, strict=True)]

    def _fragments(self, scene: Scene, slot: str) -> Lines:
        """All fragments for a slot, with the pronoun filled in."""
        topic = self.grammar.topics[scene.topic]
        audience = self.grammar.audiences.get(scene.audience or "")
        manner = self.grammar.registers[scene.register]
        own = audience.slots.get(slot, ()) if audience else ()
        if slot == "salutation":
            found = (audience.match.get(scene.called) or own) if audience else ()
        elif audience and audience.exclusive and own:
            found = own + topic.registers.get(scene.register, {}).get(slot, ())
        else:
            found = topic.slots.get(slot, ()) + topic.registers.get(scene.register, {}).get(slot, ())
            found += own if topic.personal else ()
            found = found or manner.slots.get(slot, ())
        you = (audience.you if audience else "") or (manner.plural if topic.plural else manner.you)
        return tuple(text.replace("{you}", you) for text in found)

    def render(self, parts: Parts, rng: random.Random) -> str:
        """Join the parts of a draft with the stops of the language."""
        style = self.grammar.style
        if all(slot == SET_PHRASE for slot, _ in parts):
            return (style.phrase_stop + style.space).join(text for _, text in parts) + style.sentence_stop
        return self._joined(parts, rng.choice(style.last_stop))

    def _joined(self, parts: Parts, last: str) -> str:
        """Parts with their stops; `last` is that of the last one."""
        style = self.grammar.style
        stops = {"salutation": style.salutation_stop, "opening": style.opening_stop}
        ends = [*(stops.get(slot, style.sentence_stop) for slot, _ in parts[:-1]), last]
        return style.space.join(text + end for (_, text), end in zip(parts, ends, strict=True))

    def exact(self, scene: Scene, size: int, rng: random.Random) -> str:
        """Set phrases of exactly `size` characters in all."""
        style = self.grammar.style
        four = list(self.fragments(scene, SET_PHRASE))
        chosen = [self._phrase(length, four, rng) for length in self._split(size, rng)]
        return (style.phrase_stop + style.space).join(chosen)

    def _phrase(self, length: int, four: list[str], rng: random.Random) -> str:
        pool = four if length == 4 else self.grammar.phrases[length]
        text = rng.choice(pool)
        if length == 4 and len(four) > 1:
            four.remove(text)  # a set phrase stands once in a text
        return text

    def _split(self, size: int, rng: random.Random) -> list[int]:
        """Lengths of phrases that add up to `size`: as many fours as can be, the odd length last."""
        odd = [length for length in sorted(self.grammar.phrases) if length <= size and (size - length) % 4 == 0]
        if size % 4 == 0:
            return [4] * (size // 4)
        if odd:
            return [4] * ((size - odd[-1]) // 4) + [odd[-1]]
        return [size]

    def items(self, scene: Scene, count: int, draw: Draw) -> list[str]:
        """`count` texts, distinct as far as the grammar goes."""
        found: dict[str, None] = {}
        said: set[str] = set()
        for _ in range(min(2 * count + TRIES, 400)):
            if len(found) == count:
                break
            text = draw()
            clauses = {clause for clause in _CLAUSE.split(text) if len(clause) > SAYS_LITTLE}
            if not clauses & said:
                found[text] = None
                said |= clauses
        rest = self._pairs(scene)
        while len(found) < count and (more := next(rest, None)):
            found[more] = None
        texts = list(found)[:count]
        return [texts[place % len(texts)] for place in range(count)]

    def _pairs(self, scene: Scene) -> Iterator[str]:
        stop = self.grammar.style.phrase_stop + self.grammar.style.space
        for size in (2, 3):
            yield from (stop.join(chosen) for chosen in combinations(self.fragments(scene, SET_PHRASE), size))

    def english(self, scene: Scene, rng: random.Random) -> str | None:
        """One line in English, where the grammar has some."""
        english = self.grammar.english
        if english is None:
            return None
        return rng.choice(english.lines).format(name=english.names.get(scene.topic, english.other)) + "."

    def lengthen(self, text: str, scene: Scene, request: Request, rng: random.Random) -> str:
        """Add sentences until there are `request.low` characters, as long as it stays within the bounds."""
        style = self.grammar.style
        for slot in ("scene", "wish", "closing", "wish", "scene", "wish", "wish"):
            if count_characters(text) >= request.low:
                break
            fresh = [line for line in self.fragments(scene, slot) if line not in text]
            rng.shuffle(fresh)
            for line in fresh:
                if request.fits(max(request.low, count_characters(text) + count_characters(line))):
                    text += style.space + line + style.sentence_stop
                    break
        return text
