"""The embedded generators: a strong one that now and then writes badly, and a weak one that now and then writes well.

The strong one always delivers what can be counted; the weak one miscounts now and then.
Both draw from one grammar with the same shapes, so nothing but the flaws tells their texts apart, least of all length.
What they write depends on the seed, the generator's name, the query's text and the index, and on nothing else. Examples
are not used: a grammar cannot learn from them.
"""

import hashlib
import random
from dataclasses import dataclass, replace

from kindling.agents.embedded.examiner import Examiner
from kindling.agents.embedded.flaws import Spoiler
from kindling.agents.embedded.reading import Reading
from kindling.agents.embedded.writer import SET_PHRASE, TRIES, Scene, Writer
from kindling.agents.requests import Kind, Request, count_characters, measure
from kindling.records import Candidate, Example, Query

FLAWED = {"strong": 0.2, "weak": 0.7}
MISCOUNTS = "weak"  # the strong one always delivers what can be counted
Requests = dict[Kind, Request]


@dataclass(frozen=True, slots=True)
class _Task:
    """A query and what became of it."""

    query: str
    reading: Reading
    scene: Scene
    flawed: bool


class EmbeddedGenerator:
    """Writes from the grammar; `flawed` is the share of texts with a flaw."""

    def __init__(
        self, examiner: Examiner, writer: Writer, brief_chars: int, quality: str = "strong", seed: int = 0
    ) -> None:
        self.name = f"embedded-{quality}"
        self._flawed = FLAWED[quality]
        self._miscounts = quality == MISCOUNTS
        self._examiner = examiner
        self._writer = writer
        self._spoiler = Spoiler(writer, examiner.lexicon)
        self._spaced = examiner.lexicon.language.spaced
        self._brief_chars = brief_chars
        self._seed = seed

    async def generate(self, query: Query, examples: tuple[Example, ...], index: int) -> Candidate:
        """The candidate at place `index` of the row."""
        key = f"{self._seed}\x1f{self.name}\x1f{query.text}\x1f{index}"
        rng = random.Random(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]))  # noqa: S311 - not for secrets
        reading = self._examiner.read(query.text)
        task = _Task(query.text, reading, Scene.of(reading), rng.random() < self._flawed)
        return Candidate(self._write(task, rng), self.name, index)

    def _write(self, task: _Task, rng: random.Random) -> str:
        """A text that meets the query's countable requests, unless missing them is its flaw."""
        requests = {request.kind: request for request in task.reading.requests}
        if task.flawed and self._miscounts and (missed := self._miscount(task, requests, rng)):
            return missed
        if items := requests.get("items"):
            single = replace(task, reading=replace(task.reading, requests=_without(task.reading.requests, "items")))
            texts = self._writer.items(task.scene, max(items.low, 1), lambda: self._single(single, "", rng))
            return "\n".join(texts)
        return self._single(task, task.query, rng)

    def _single(self, task: _Task, query: str, rng: random.Random) -> str:
        """One text. `query` is empty for one of several items, whose number is not its own affair."""
        requests = {request.kind: request for request in task.reading.requests}
        if exact := requests.get("characters"):
            scene = self._spoiler.elsewhere(task.scene, rng) if task.flawed else task.scene
            return self._writer.exact(scene, rng.randint(exact.low, exact.high or exact.low), rng)
        text = ""
        for _ in range(TRIES):
            text = self._draw(task, requests, rng)
            if self._meets(task, query, text):
                return text
        return self._fit(task, query, text, requests, rng)

    def _draw(self, task: _Task, requests: Requests, rng: random.Random) -> str:
        if "language" in requests and (line := self._writer.english(task.scene, rng)):
            return line
        parts = self._writer.draft(task.scene, rng)
        if task.flawed:
            parts, _ = self._spoiler.spoil(parts, task.scene, rng)
        return self._writer.render(parts, rng)

    def _meets(self, task: _Task, query: str, text: str) -> bool:
        if not task.reading.requests:
            return True
        if query:
            return all(fact.met for fact in measure(query, text, self._brief_chars))
        high = [request.high for request in task.reading.requests if request.kind == "brief" and request.high]
        return not high or len(text) <= min(high)

    def _fit(self, task: _Task, query: str, text: str, requests: Requests, rng: random.Random) -> str:
        """What chance did not give: more sentences for a lower bound, set phrases for an upper one.

        Where words stand apart, a draft that meets the requests, or else the text as it is; one that was to be flawed
        is about something else, if there is any.
        """
        if self._spaced:
            scenes = [self._spoiler.elsewhere(task.scene, rng)] if task.flawed else []
            for scene in (*scenes, task.scene):
                if there := [one for one in self._writer.texts(scene) if self._meets(task, query, one)]:
                    return rng.choice(there)
            return text
        bound = requests.get("length") or requests.get("brief")
        if bound is None:
            return text
        if count_characters(text) < bound.low:
            return self._writer.lengthen(text, task.scene, bound, rng)
        fours = len(self._writer.fragments(task.scene, SET_PHRASE))
        size = min(bound.high or len(text), 4 * fours)
        return self._writer.exact(task.scene, max(2, size - size % 4 if size >= 4 else size), rng)

    def _miscount(self, task: _Task, requests: Requests, rng: random.Random) -> str | None:
        """A text with the wrong count, in half of the cases where the query asks for one."""
        if rng.random() < 0.5:
            return None
        if exact := requests.get("characters"):
            return self._writer.exact(task.scene, max(2, exact.low + rng.choice((-2, -1, 1, 2))), rng)
        if items := requests.get("items"):
            single = replace(task, flawed=False, reading=replace(task.reading, requests=()))
            count = max(1, items.low - rng.randint(1, max(1, items.low // 3)))
            return "\n".join(self._writer.items(task.scene, count, lambda: self._single(single, "", rng)))
        if self._spaced and requests:
            missing = [one for one in self._writer.texts(task.scene) if not self._meets(task, task.query, one)]
            return rng.choice(missing) if missing else None
        return None


def _without(requests: tuple[Request, ...], kind: str) -> tuple[Request, ...]:
    return tuple(request for request in requests if request.kind != kind)
