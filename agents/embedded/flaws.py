"""How texts go wrong: operators that spoil a draft and keep its length.

A judge that is trained on what they make must not learn that long is good, so every operator replaces parts by lines
of about the same length, or draws the same kind of shape for another topic or audience. Flaws that a draft has no place
for (a wrong salutation where there is none) are not drawn, so that no flaw favours a shape.

    cliche generic mixed    the text's sentences give way to lines of that kind
    taboo advert begging pressure    one of several sentences does, or the rest of an only one
    wrong_topic wrong_audience wrong_register    written for another occasion, called by another name, in another tone
    clumsy    a sentence said twice, a particle doubled, an end broken off
"""

import random
from collections.abc import Callable
from dataclasses import replace

from kindling.agents.embedded.lexicon import Lexicon
from kindling.agents.embedded.writer import SET_PHRASE, Parts, Scene, Writer

FIXED = ("salutation", "opening")
WHOLE = ("cliche", "generic", "mixed")
PLACES = (SET_PHRASE, "salutation")


class Spoiler:
    """Spoils drafts. `flaws_for` says which flaws a draft has a place for."""

    def __init__(self, writer: Writer, lexicon: Lexicon) -> None:
        self._writer = writer
        self._grammar = writer.grammar
        self._lexicon = lexicon

    def spoil(self, parts: Parts, scene: Scene, rng: random.Random) -> tuple[Parts, str]:
        """A spoilt draft and the name of its flaw."""
        weights = self._grammar.flaws.weights
        choices = [flaw for flaw in weights if self.fits(flaw, parts, scene)]
        flaw = rng.choices(choices, [weights[flaw] for flaw in choices])[0]
        return self.apply(flaw, parts, scene, rng), flaw

    def apply(self, flaw: str, parts: Parts, scene: Scene, rng: random.Random, *, line: bool = False) -> Parts:
        """The draft with this flaw, which must fit it; with `line`, in one sentence only."""
        operator = self._line if line else self._operators().get(flaw, self._line)
        return operator(flaw, parts, scene, rng)

    def elsewhere(self, scene: Scene, rng: random.Random) -> Scene:
        """The same scene for a topic that has nothing to do with this one."""
        lexicon = self._lexicon
        near = lexicon.near[scene.topic]
        return replace(
            scene, topic=rng.choice([one for one in lexicon.topics if one not in {*near, lexicon.default_topic}])
        )

    def _operators(self) -> dict[str, Callable[[str, Parts, Scene, random.Random], Parts]]:
        return {
            **dict.fromkeys(WHOLE, self._whole),
            "wrong_topic": self._wrong_topic,
            "wrong_audience": self._wrong_audience,
            "wrong_register": self._line,
            "clumsy": self._clumsy,
        }

    def fits(self, flaw: str, parts: Parts, scene: Scene) -> bool:
        """Whether the draft has a place for the flaw."""
        flaws = self._grammar.flaws
        if all(slot == SET_PHRASE for slot, _ in parts):
            return flaw == "wrong_topic"
        if flaw == "wrong_audience":
            return scene.audience is not None and parts[0][0] == "salutation"
        if flaw == "wrong_register":
            return scene.register in flaws.taboo_by_register
        if flaw in ("wrong_topic", "clumsy"):
            return True
        return bool(self._lines(flaw, scene))

    def _lines(self, flaw: str, scene: Scene) -> list[str]:
        flaws = self._grammar.flaws
        lines = flaws.lines.get(flaw, ())
        if flaw == "taboo":
            lines = flaws.taboo_by_topic.get(scene.topic, ()) or lines
        elif flaw == "wrong_register":
            lines = flaws.taboo_by_register[scene.register]
        you = self._grammar.registers[scene.register].you
        return [line.replace("{you}", you) for line in lines]

    def _whole(self, flaw: str, parts: Parts, scene: Scene, rng: random.Random) -> Parts:
        """Every sentence replaced; what is said twice as generic loses its opening too."""
        fixed = ("salutation",) if flaw == "generic" else FIXED
        kept = [part for part in parts if part[0] in fixed]
        target = sum(len(text) + 1 for slot, text in parts if slot not in fixed) - 1
        return [*kept, ("wish", self._fill(self._lines(flaw, scene), target, rng))]

    def _line(self, flaw: str, parts: Parts, scene: Scene, rng: random.Random) -> Parts:
        """One sentence replaced: the last of several; of an only one, all but its first clause."""
        last, (slot, text) = len(parts) - 1, parts[-1]
        stop = self._grammar.style.phrase_stop + self._grammar.style.space
        head, *rest = text.split(stop)
        several = sum(other not in FIXED for other, _ in parts) > 1
        kept = head + stop if rest and not several else ""
        return [*parts[:last], (slot, kept + self._fill(self._lines(flaw, scene), len(text) - len(kept), rng))]

    def _fill(self, lines: list[str], target: int, rng: random.Random) -> str:
        """Lines joined to about `target` characters: the sum that comes nearest, of a few tries."""
        stop = self._grammar.style.phrase_stop + self._grammar.style.space
        best = ""
        for _ in range(6):
            order = rng.sample(lines, len(lines))
            text = order[0]
            for line in order[1:]:
                if abs(len(text) + len(stop) + len(line) - target) < abs(len(text) - target):
                    text += stop + line
            if not best or abs(len(text) - target) < abs(len(best) - target):
                best = text
        return best

    def _wrong_topic(self, flaw: str, parts: Parts, scene: Scene, rng: random.Random) -> Parts:
        """The same slots, filled for a topic that has nothing to do with this one."""
        lexicon = self._lexicon
        others = [
            topic
            for topic, entry in lexicon.topics.items()
            if topic not in lexicon.near[scene.topic] and topic != lexicon.default_topic and entry.marks
        ]
        other = Scene(rng.choice(others), scene.audience, scene.register, scene.called)
        spoilt: Parts = []
        for slot, text in parts:
            pool = self._grammar.topics[other.topic].slots.get(slot, ())
            lines = [line for line in self._writer.fragments(other, slot) if line] if pool else [text]
            fresh = [line for line in lines if (slot, line) not in spoilt] or lines
            spoilt.append(
                (slot, min(rng.sample(fresh, min(3, len(fresh))), key=lambda line: abs(len(line) - len(text))))
            )
        return spoilt

    def _wrong_audience(self, flaw: str, parts: Parts, scene: Scene, rng: random.Random) -> Parts:
        """Another audience's salutation."""
        kin = self._lexicon.kin[scene.audience or ""]
        calls = [
            call
            for audience, lines in self._grammar.audiences.items()
            if audience not in kin
            for call in lines.slots.get("salutation", ())
        ]
        length = len(parts[0][1])
        near = sorted(rng.sample(calls, len(calls)), key=lambda call: abs(len(call) - length))[:6]
        return [("salutation", rng.choice(near)), *parts[1:]]

    def _clumsy(self, flaw: str, parts: Parts, scene: Scene, rng: random.Random) -> Parts:
        """A sentence said twice if there are two, or a break in the last one."""
        last, (slot, text) = len(parts) - 1, parts[-1]
        stop = self._grammar.style.phrase_stop + self._grammar.style.space
        clauses = text.split(stop)
        if len(clauses) > 1 and rng.random() < 0.5:
            spoilt = stop.join([*clauses[:-1], clauses[0]])
        else:
            words = self._grammar.flaws.lines["clumsy"]
            kept = text[: max(2, len(text) - len(words[0]))]
            if space := self._grammar.style.space:
                kept = kept.rpartition(space)[0] or kept
            spoilt = kept + rng.choice(words)
        return [*parts[:last], (slot, spoilt)]
