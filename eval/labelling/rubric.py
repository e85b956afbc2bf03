"""How a case is answered: plainly good or bad, or by five weighted dimensions that the task pack names.

    plain   good or bad
    five    an integer from 1 to 3 in each dimension; good if the weighted mean is at least 2, the middle of the scale

The scale and the rule are those of arXiv 2508.21476, section on human evaluation; the dimensions, their weights and
what their levels mean are the pack's (`rubric.toml`). Means are compared as integers, so that no rounding decides.

A rubric has an id that depends on all that a labeller is asked. Answers carry it: nobody's labels are a mixture of two
rubrics without being told.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kindling.errors import InputError
from kindling.records import Label, text_id

FILE = "rubric.toml"
LEVELS = (1, 2, 3)
MIDDLE = 2
RubricName = Literal["plain", "five"]


class Dimension(BaseModel):
    """One dimension: `asks` is the question it puts, `levels` what 1, 2 and 3 mean in it; `weight` in per cent."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: str = Field(pattern=r"^[a-z][a-z_]*$")
    name: str = Field(min_length=1)
    weight: int = Field(gt=0, lt=100)
    asks: str = ""
    levels: tuple[str, str, str]


class Rubric(BaseModel):
    """What is asked about every case; without dimensions, good or bad."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    dimensions: tuple[Dimension, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> "Rubric":
        if self.dimensions and len({one.key for one in self.dimensions}) != 5:
            raise ValueError("a rubric has five dimensions, each with a key of its own")
        if self.dimensions and sum(one.weight for one in self.dimensions) != 100:
            raise ValueError("the weights add up to 100")
        return self

    @property
    def id(self) -> str:
        """`plain`, or `five-` and eight hex digits of the rubric."""
        asked = orjson.dumps(self.model_dump()["dimensions"]).decode()
        return f"five-{text_id(asked)[:8]}" if self.dimensions else "plain"

    def label(self, scores: Mapping[str, int]) -> Label:
        """The label that `scores` come to. Raises `ValueError` unless each dimension has a score from 1 to 3."""
        if not self.dimensions or scores.keys() != {one.key for one in self.dimensions}:
            raise ValueError("give every dimension of the rubric a score, and nothing else")
        if any(type(score) is not int or score not in LEVELS for score in scores.values()):
            raise ValueError("a score is 1, 2 or 3")
        total = sum(one.weight * (scores[one.key] - MIDDLE) for one in self.dimensions)
        return "good" if total >= 0 else "bad"


PLAIN = Rubric()


def read_rubric(path: Path) -> Rubric:
    """Read a pack's rubric. Raises `InputError` that names the file and the first thing wrong."""
    try:
        rubric = Rubric.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {place + ': ' if place else ''}{first['msg']}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
    if not rubric.dimensions:
        raise InputError(f"{path}: no dimensions; a rubric has five")
    return rubric
