"""Checkpoints: which one is whole, and how a run stops in good order.

A trainer writes a checkpoint file by file, so a kill may leave half of one. `seal` marks a checkpoint as whole when the
trainer says that it is saved; `newest` takes the newest one with that mark and removes what was begun after it. A
checkpoint holds weights, optimizer, schedule, the random states of every process and the place in the data: a run that
goes on from it takes the same steps as one that never stopped.

`Stop` is raised by signals and budgets, and looked at between steps.
"""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Literal

SEAL = "whole"
PREFIX = "checkpoint-"


def seal(folder: Path, step: int) -> None:
    """Mark the checkpoint of `step` in `folder` as whole."""
    (folder / f"{PREFIX}{step}" / SEAL).touch()


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`, if there is one."""
    found = sorted((step for step in folder.glob(f"{PREFIX}*") if (step / SEAL).is_file()), key=_step)
    return found[-1] if found else None


def clear(folder: Path) -> None:
    """Remove the checkpoints in `folder` that a kill left half written."""
    for begun in folder.glob(f"{PREFIX}*"):
        if not (begun / SEAL).is_file():
            shutil.rmtree(begun)


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix(PREFIX))


Kind = Literal["signal", "budget", "breach"]


@dataclass(slots=True)
class Stop:
    """Why the run is to end before its time, and of which kind the reason is; nothing as long as it is to go on.

    `keep` says whether the step at hand is worth a checkpoint. One whose judgements a budget cut short is not: the run
    goes on before it, with the judgements that were paid.
    """

    why: str | None = None
    kind: Kind | None = None
    keep: bool = True

    def ask(self, why: str, kind: Kind, *, keep: bool = True) -> None:
        """End after this step. The first to ask is remembered."""
        if self.why is None:
            self.why, self.kind, self.keep = why, kind, keep


@contextmanager
def stop_on_signal(stop: Stop) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM end the run after the step at hand, and the second at once."""
    if current_thread() is not main_thread():  # only there signals can be caught
        yield
        return

    def ask(number: int, _: FrameType | None) -> None:
        if stop.why is not None:
            raise KeyboardInterrupt
        stop.ask(signal.Signals(number).name, "signal")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
