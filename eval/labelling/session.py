"""One annotator at work on one file: what is asked next, what becomes of an answer, how the last one is taken back.

A session holds no progress: it reads the file of answers each time. `revision` counts the annotator's lines in it. A
window says which revision it looks at; if the file has moved on (another window, another process), its answer is about
a case that it should not have been showing, and is refused as `Stale` with nothing written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from kindling.errors import InputError
from kindling.eval.labelling.answers import Answer, append, make_ready, read_answers, standing
from kindling.eval.labelling.items import Item, Items
from kindling.eval.labelling.rubric import Rubric

LONGEST_NAME = 64
Said = Literal["good", "bad", "cannot tell"]


class Stale(Exception):
    """The window looked at a state that is no longer the file's."""


@dataclass(frozen=True, slots=True)
class State:
    """What a window shows: `done` of `total`, the case that is next (None at the end).

    `before` is what this annotator had said of the case before it was taken back.
    """

    revision: int
    done: int
    total: int
    case: Item | None
    can_undo: bool
    before: Answer | None


class Session:
    """`annotator` labels `items` by `rubric`; answers go to `path`. Raises `InputError` if they cannot go on there."""

    def __init__(self, items: Items, path: Path, annotator: str, rubric: Rubric) -> None:
        if annotator != annotator.strip() or not annotator or len(annotator) > LONGEST_NAME:
            raise InputError(f"--annotator: a name of 1 to {LONGEST_NAME} characters, without spaces around it")
        if not annotator.isprintable() or annotator == "majority":
            raise InputError("--annotator: a printable name, and not 'majority', which means all annotators")
        self.annotator = annotator
        self.rubric = rubric
        self.path = path
        self._order = items.order(annotator)
        for one in standing(read_answers(path)).get(annotator, {}).values():
            if one.rubric != rubric.id:
                raise InputError(
                    f"{path}: {annotator} has labelled by another rubric ({one.rubric}, now {rubric.id});"
                    " go on with that one, or name another file with --out"
                )
        make_ready(path)

    def state(self) -> State:
        """What stands now."""
        return self._state(read_answers(self.path))

    def answer(self, case: str, revision: int, said: Said | None, scores: Mapping[str, int] | None) -> State:
        """Put down an answer about `case`: `said`, or by a rubric with dimensions `scores`, whose label follows.

        Raises `Stale`; `ValueError` for an answer that the rubric does not know; `InputError` if it cannot be written.
        """
        if said != "cannot tell" and self.rubric.dimensions:
            if said is not None or scores is None:
                raise ValueError("this rubric takes scores, from which the label follows")
            said = self.rubric.label(scores)
        elif scores is not None or said is None:
            raise ValueError("an answer is good, bad or cannot tell")
        found = dict(scores) if scores else None
        answer = Answer(case, self.annotator, self.rubric.id, said, _now(), found)

        def decide(answers: tuple[Answer, ...]) -> Answer:
            now = self._state(answers)
            if now.revision != revision or now.case is None or now.case.id != case:
                raise Stale
            return answer

        return self._state(append(self.path, decide))

    def undo(self, revision: int) -> State:
        """Take back the newest answer that stands. Raises `Stale`, also where there is none; `InputError`."""

        def decide(answers: tuple[Answer, ...]) -> Answer:
            newest = self._newest(answers)
            if self._state(answers).revision != revision or newest is None:
                raise Stale
            return Answer(newest.case, self.annotator, self.rubric.id, "undone", _now())

        return self._state(append(self.path, decide))

    def _mine(self, answers: Sequence[Answer]) -> list[Answer]:
        return [one for one in answers if one.annotator == self.annotator]

    def _newest(self, answers: Sequence[Answer]) -> Answer | None:
        here = {item.id for item in self._order}
        mine = standing(self._mine(answers)).get(self.annotator, {})
        return next((one for one in reversed(mine.values()) if one.case in here), None)

    def _state(self, answers: Sequence[Answer]) -> State:
        mine = self._mine(answers)
        stands = standing(mine).get(self.annotator, {})
        open_ = [item for item in self._order if item.id not in stands]
        case = open_[0] if open_ else None
        # the newest undone case comes first of all: it is the one somebody wants to see again
        if mine and mine[-1].answer == "undone":
            case = next((item for item in open_ if item.id == mine[-1].case), case)
        told = (one for one in reversed(mine) if case and one.case == case.id and one.answer != "undone")
        done = len(self._order) - len(open_)
        return State(len(mine), done, len(self._order), case, self._newest(answers) is not None, next(told, None))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
