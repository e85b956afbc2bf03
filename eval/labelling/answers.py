"""The file of answers: append-only, a line each, all annotators of a file together; nothing answered is lost.

The file is the only state. `append` takes its lock, reads it, lets the caller decide on what stands there, and has the
new line on disk (fsync) before it returns: two windows, two processes and two annotators cannot corrupt it or
overlook each other, and whoever is told "saved" may pull the plug. Changing one's mind appends, too: the last line of
an annotator about a case is what stands, and "undone" takes it back.

A kill in the middle of a line leaves a tail without an end. Nobody was told that it was saved, so it is cut off; a tail
that is whole (an editor left out the last newline) is kept. Damage anywhere else is refused, with its line.
"""

import fcntl
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import orjson
from pydantic import ConfigDict

from kindling.errors import InputError
from kindling.records import load

Kind = Literal["good", "bad", "cannot tell", "undone"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What `annotator` said of the case with the id `case` at `time` (UTC, ISO 8601), asked by the rubric of that id.

    `scores` has the five dimensions by key, where the rubric has dimensions and the case could be told.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    case: str
    annotator: str
    rubric: str
    answer: Kind
    time: str
    scores: dict[str, int] | None = None


Decide = Callable[[tuple[Answer, ...]], Answer]
_BEGINNING = b'{"case":"'


def read_answers(path: Path) -> tuple[Answer, ...]:
    """Read every line of `path`, in order, without an unfinished last one; none if there is no such file.

    Raises `InputError` for a line that is no answer.
    """
    try:
        return _parse(path, path.read_bytes())[0]
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def make_ready(path: Path) -> None:
    """Make the file if there is none. Raises `InputError` if it cannot be written, before anybody has to answer."""
    try:
        path.open("ab").close()
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def append(path: Path, decide: Decide) -> tuple[Answer, ...]:
    """Append what `decide` makes of the answers so far; returns all of them once the new one is on disk.

    What `decide` raises passes through, and nothing is appended. Raises `InputError` if the file cannot be written or
    holds something else; it is then what it was before.
    """
    try:
        with path.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # let go of when the file is closed, or the process dies
            file.seek(0)
            answers, whole, ended = _parse(path, file.readall())
            answer = decide(answers)
            file.truncate(whole)
            line = orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE)
            _write(file.fileno(), line if ended else b"\n" + line, whole)
            return (*answers, answer)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _write(descriptor: int, line: bytes, before: int) -> None:
    """Put the line on disk, or leave the file as it was."""
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError("the disk is full")
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def _parse(path: Path, data: bytes) -> tuple[tuple[Answer, ...], int, bool]:
    """The answers, how many bytes of the file are whole lines, and whether the last of them has its newline."""
    *lines, tail = data.split(b"\n")
    answers = [_answer(line, f"{path}: line {number}") for number, line in enumerate(lines, 1)]
    if tail and _torn(tail):
        return tuple(answers), len(data) - len(tail), True
    if tail:
        answers.append(_answer(tail, f"{path}: line {len(lines) + 1}"))
    return tuple(answers), len(data), not tail


def _torn(tail: bytes) -> bool:
    """Whether this is the beginning of an answer, the only damage that a kill can do; nobody else's line is cut off."""
    try:
        orjson.loads(tail)
    except orjson.JSONDecodeError:
        return tail.startswith(_BEGINNING) or _BEGINNING.startswith(tail)
    return False  # the beginning of a JSON object is never JSON


def _answer(line: bytes, where: str) -> Answer:
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON; it is no file of answers, or damaged") from error
    return load(Answer, data, where)


def standing(answers: Iterable[Answer]) -> dict[str, dict[str, Answer]]:
    """What stands: by annotator, then by case, oldest first. Who took back everything is left out."""
    found: dict[str, dict[str, Answer]] = {}
    for one in answers:
        mine = found.setdefault(one.annotator, {})
        mine.pop(one.case, None)  # an answer given again is the newest
        if one.answer != "undone":
            mine[one.case] = one
    return {annotator: mine for annotator, mine in found.items() if mine}
