"""How the tests of `curate` and `judge` run the command: in this process where speed matters, as its own to be killed.

`serve` runs the scripted server in a thread, so that a test may read its counts and change its script while a command
talks to it over a real socket.
"""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from kindling.cli import main
from tests.scripted_server import Script, ScriptedServer

MODELS = {
    "generator_strong": "strong",
    "generator_weak": "weak",
    "positive": "positive",
    "negative": "negative",
    "judge": "judge",
    "reflector": "reflector",
}
DEADLINE_S = 60


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """Standard output as the one JSON document that `--json` promises."""
        assert self.status in (0, 130), self.err
        return orjson.loads(self.out)


def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that runs `kindling ARGUMENTS` in this process."""

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["kindling", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        printed = capsys.readouterr()
        return Done(status, printed.out, printed.err)

    return call


class Started:
    """`kindling ARGUMENTS` in a process of its own that a test may signal, forked from one that has its imports done.

    It runs in `cwd`, so that no kindling.toml of the checkout is read, and calls `first` before the command.
    """

    def __init__(self, *arguments: object, cwd: Path, first: Callable[[], object] | None = None) -> None:
        self._printed = [cwd / f".{id(self)}.{name}" for name in ("out", "err")]
        given = (tuple(map(str, arguments)), cwd, self._printed, first)
        self.process = _FORKS.Process(target=_act, args=given, daemon=True)
        self.process.start()

    def send(self, number: int) -> None:
        """Send a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until `condition()`, and fail if the process ends first."""
        until = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < until, "waited too long"
            assert self.process.is_alive(), f"ended too early: {self.finish()}"
            time.sleep(0.005)

    def finish(self) -> Done:
        """Wait for the end."""
        self.process.join(DEADLINE_S)
        assert self.process.exitcode is not None, "runs too long"
        out, err = (file.read_text(encoding="utf-8") for file in self._printed)
        return Done(self.process.exitcode, out, err)


_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["pytest", "kindling.cli.curation", "kindling.agents.models", "kindling.agents.embedded.cast"]
)


def _act(arguments: tuple[str, ...], cwd: Path, printed: list[Path], first: Callable[[], object] | None) -> None:
    os.chdir(cwd)
    for descriptor, file in enumerate(printed, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.argv = ["kindling", *arguments]
    if first is not None:
        first()
    main()


def separate(*arguments: object, cwd: Path, **env: str) -> Done:
    """Run `kindling ARGUMENTS` as its own process, with `env` added to the environment."""
    command = [sys.executable, "-m", "kindling", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=DEADLINE_S
    )
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def serve(**script: Any) -> Iterator[ScriptedServer]:
    """A scripted server in a thread of its own; arguments as for `Script`."""
    server = ScriptedServer(Script(**script))
    ready: Future[Callable[[], object]] = Future()

    async def live() -> None:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        async with server.running():
            ready.set_result(lambda: loop.call_soon_threadsafe(ended.set))
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(live()), daemon=True)
    thread.start()
    end = ready.result(DEADLINE_S)
    try:
        yield server
    finally:
        end()
        thread.join(DEADLINE_S)


def project(folder: Path, server: ScriptedServer, *lines: str, roles: tuple[str, ...] = tuple(MODELS)) -> Path:
    """Write a kindling.toml that casts `roles` on the server; `lines` go into its endpoint's section."""
    text = ["[endpoints.scripted]", f'base_url = "{server.url}"', *lines]
    for role in roles:
        prices = ("price_in = 1.0", "price_out = 2.0")
        text += [f"[roles.{role}]", 'endpoint = "scripted"', f'model = "{MODELS[role]}"', *prices]
    file = folder / "kindling.toml"
    file.write_text("\n".join(text) + "\n", encoding="utf-8")
    return file


def queries(folder: Path, count: int) -> Path:
    """Write a file of distinct, usable queries."""
    file = folder / "queries.txt"
    file.write_text("".join(f"给第{number}位同事写一句新年祝福\n" for number in range(count)), encoding="utf-8")
    return file


def rows_of(file: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [orjson.loads(line) for line in file.read_bytes().splitlines()]
