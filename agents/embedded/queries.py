"""The query writer: requests as people type them, drawn from a task pack's `queries.toml`.

A request is a shape filled in with an occasion, one of those to whom people write then, and now and then something
asked of the text. A model that is trained from scratch needs far more of them than a pack lists one by one.
"""

import random
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from kindling.agents.embedded.lexicon import Words
from kindling.agents.embedded.packfile import reading
from kindling.errors import InputError
from kindling.records import request_key

TRIES = 50  # draws for each query wanted, after which the file has too few of them


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Occasion(_Entry):
    """Words for an occasion, and to whom people write then: names of circles, or recipients themselves."""

    words: Words = Field(min_length=1)
    to: Words = Field(min_length=1)


class _File(_Entry):
    """Shapes have the fields `to`, `for` and `form`; a request is stripped, so that an empty form leaves no space."""

    shapes: tuple[str, ...] = Field(min_length=1)
    forms: tuple[str, ...] = Field(min_length=1)
    circles: dict[str, Words]
    occasions: tuple[_Occasion, ...] = Field(min_length=1)


class QueryWriter:
    """Draws requests. Raises `InputError` when made, if the file cannot be used."""

    def __init__(self, path: Path) -> None:
        with reading(path):
            self._file = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
            for shape in self._file.shapes:
                _fill(shape, "", "", "")
        self._path = path

    def write(self, count: int, seed: int, without: tuple[str, ...] = ()) -> tuple[str, ...]:
        """`count` different requests; none asks for the same as one of `without`. The same seed, the same requests.

        Raises `InputError` if the file has too few.
        """
        rng = random.Random(seed)  # noqa: S311 - not for secrets
        seen = {request_key(query) for query in without}
        written: list[str] = []
        for _ in range(TRIES * count):
            if len(written) == count:
                break
            query = self._draw(rng)
            if (key := request_key(query)) not in seen:
                seen.add(key)
                written.append(query)
        if len(written) < count:
            raise InputError(f"{self._path}: gives {len(written)} different queries, not {count}")
        return tuple(written)

    def _draw(self, rng: random.Random) -> str:
        occasion = rng.choice(self._file.occasions)
        circle = rng.choice(occasion.to)
        recipient = rng.choice(self._file.circles.get(circle, (circle,)))
        return _fill(rng.choice(self._file.shapes), recipient, rng.choice(occasion.words), rng.choice(self._file.forms))


def _fill(shape: str, recipient: str, occasion: str, form: str) -> str:
    """The request of a shape. Raises `ValueError` for a shape that is no format string of these fields."""
    try:
        return shape.format_map({"to": recipient, "for": occasion, "form": form}).strip()
    except (KeyError, AttributeError) as error:
        raise ValueError(f"shape {shape!r}: fields are {{to}}, {{for}} and {{form}}") from error
