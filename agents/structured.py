"""Structured answers: the last JSON object of an answer, read strictly, or a repair turn, or *unscored*; never a guess.

    ask → complete → problem (refusal, truncation, filter, nothing)?  → Unscored at once
                   → parse → validate → the record
                        └─ malformed → repair turn, at most `REPAIRS` → Unscored

What counts as an answer: free text, then one or more JSON objects, then nothing but white space and a closing code
fence. The last object binds, so a model that corrects itself is taken at its last word. Everything else is malformed,
on purpose:

- text after the last object ("... no wait, it is bad"), an object inside an array, a brace anywhere that does not
  belong to a valid object (so no part of a broken object, such as a quoted verdict, can be taken for the answer);
- a key that appears twice, NaN and infinities, control characters in strings, lone surrogates;
- a missing, unknown or wrongly typed field; a verdict in other case or with spaces ("Good ") is not the verdict "good".

The same reading applies where the endpoint promises json_schema: some endpoints promise and do not keep it. A leading
`<think>` block is skipped. Malformed answers are paid and stored, so a resumed run takes the same turns for free.
"""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from kindling.agents.calls import Answer, Message
from kindling.errors import CallError, Unscored

if TYPE_CHECKING:
    from kindling.agents.models import ChatModel

REPAIRS = 2
Language = Literal["zh", "en"]
REPAIR: dict[Language, str] = {
    "zh": "上面的回答不符合要求的格式。请只输出一个符合要求的 JSON 对象，前后不要有任何其他文字。",
    "en": "The answer above is not in the requested form. Reply with one JSON object in that form and nothing else.",
}

Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""A text that may not be blank."""

S = TypeVar("S", bound="Reply")


class Reply(BaseModel):
    """Base of the answers that roles ask for: strict types, no unknown field."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Malformed(ValueError):
    """An answer that cannot be read; the message says what is wrong with it."""


async def ask(
    model: "ChatModel", messages: Sequence[Message], form: type[S], *, language: Language = "zh", sample: int = 0
) -> S:
    """The model's answer as a `form`; `language` is that of the repair turns.

    Raises `Unscored` with the reason if the answer could not be had or read; `BudgetSpent` and `ConfigError` pass
    through.
    """
    return (await ask_whole(model, messages, form, language=language, sample=sample))[0]


async def ask_whole(
    model: "ChatModel",
    messages: Sequence[Message],
    form: type[S],
    *,
    language: Language = "zh",
    sample: int = 0,
    choice: str | None = None,
) -> tuple[S, Answer]:
    """As `ask`, with the answer that was read; `choice` names a field to ask log-probabilities for (`graded`)."""
    turns = list(messages)
    for turn in range(REPAIRS + 1):
        try:
            answer = await model.complete(turns, sample=sample, schema=form, choice=choice)
        except CallError as error:
            raise Unscored(str(error)) from error
        if (problem := answer.problem) is not None:
            raise Unscored(problem)
        try:
            return read(answer.visible, form), answer
        except Malformed as error:
            if turn == REPAIRS:
                raise Unscored(f"malformed answer after {REPAIRS} repair turns: {error}") from error
        turns += [{"role": "assistant", "content": answer.visible}, {"role": "user", "content": REPAIR[language]}]
    raise AssertionError("unreachable: the last turn returns or raises")


def read(text: str, form: type[S]) -> S:
    """`text` as a `form`. Raises `Malformed`."""
    data = last_object(text)
    try:
        return form.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or form.__name__
        raise Malformed(f"{field}: {first['msg']}") from error


def last_object(text: str) -> dict[str, Any]:
    """The last JSON object of `text`, read strictly as the module says. Raises `Malformed`."""
    return _last(text)[0]


def locate(text: str, field: str) -> tuple[int, int] | None:
    """Where the last object has `field`: the places of its key's closing quotation mark and its value's opening one.

    None if it has it elsewhere than at its end, or not as a string. Raises `Malformed`.
    """
    found, position = _last(text)
    if next(reversed(found), None) != field or not isinstance(found[field], str):
        return None
    while True:
        key, end = _DECODER.raw_decode(text, text.index('"', position))
        value = _COLON.match(text, end).end()  # type: ignore[union-attr]  # it was read as JSON before
        if key == field:
            return end - 1, value
        _, position = _DECODER.raw_decode(text, value)


def _last(text: str) -> tuple[dict[str, Any], int]:
    """The last JSON object and where it begins."""
    found: dict[str, Any] | None = None
    begin = end = 0
    while (start := text.find("{", end)) >= 0:
        try:
            found, end = _DECODER.raw_decode(text, start)
            begin = start
        except RecursionError as error:
            raise Malformed("nested too deep") from error
        except json.JSONDecodeError as error:
            raise Malformed(f"not JSON: {error}") from error
    if found is None:
        raise Malformed("no JSON object")
    if text[end:].strip().strip("`"):
        raise Malformed("text after the JSON object")
    try:
        # lone surrogates come in as escapes, and no file could be written with them
        orjson.dumps(found)
    except TypeError as error:
        raise Malformed(f"not plain JSON: {error}") from error
    return found, begin


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise Malformed("a key appears twice")
    return data


def _constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not JSON")


_COLON = re.compile(r"\s*:\s*")
_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)
