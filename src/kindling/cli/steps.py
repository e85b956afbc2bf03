"""Commands of our own, one after the other: what `kindling demo --train` and `kindling eval --arms` are made of.

A command that makes a run folder goes on where it was cut short; a file that is there is whole, and is not made again.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from kindling.cli import console
from kindling.errors import ConfigError, RunFolderError
from kindling.runs import read_record

KINDLING = ("-m", "kindling")
THREADS = "2"


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and what it makes: a run folder (resumed where it is there) or a file.

    Where it `may_fail`, status 1 is a result: a certificate that a judge failed, a run that the firewall stopped. What
    a `quiet` one prints is not shown.
    """

    title: str
    arguments: tuple[str, ...]
    makes: str
    may_fail: bool = False
    quiet: bool = False


def check() -> None:
    """See that what trains is installed. Raises `ConfigError`."""
    from importlib.util import find_spec

    if missing := [name for name in ("torch", "trl") if find_spec(name) is None]:
        raise ConfigError(f"{missing[0]} is not installed: pip install 'kindling[train]'")


def run_step(step: Step, folder: Path, *, as_json: bool = False) -> tuple[int, float]:
    """Run a command in `folder`; its status and how long it took. Ctrl-C is the command's, which knows how to stop."""
    made = folder / step.makes
    if made.is_file():  # whole, since files are written whole or not at all, but the line that says so was lost
        return 0, 0.0
    arguments = (*step.arguments, *(("--resume",) if made.is_dir() and (made / "run.json").is_file() else ()))
    console.note(f"\n$ kindling {' '.join(arguments)}")
    started = time.monotonic()
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, *KINDLING, *arguments],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", THREADS)},
            stdout=subprocess.DEVNULL if step.quiet else sys.stderr.fileno() if as_json else None,
        ) as command:
            status = command.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return status, time.monotonic() - started


def is_result(step: Step, folder: Path) -> bool:
    """Whether status 1 of a step says what came of it, and not that nothing did."""
    made = folder / step.makes
    return step.may_fail and (made.is_file() or stopped_by(made) is not None)


def stopped_by(run: Path) -> str | None:
    """Why a run of kindling train ended before its time."""
    try:
        return read_record(run).get("stopped")
    except RunFolderError:
        return None
