"""Running `kindling` as its own process and reading what it cost."""

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of wall and CPU time and peak memory in MB (NaN if untold) of a `kindling` process, with its answer."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    answer: dict


def kindling(*arguments: str, cwd: Path, env: dict[str, str] | None = None, fine: tuple[int, ...] = (0,)) -> Measured:
    """Run `kindling ARGUMENTS --json` and wait for it; ends the benchmark if its status is not among `fine`."""
    started = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, "-m", "kindling", *arguments, "--json"],
        cwd=cwd, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE,
    )  # fmt: skip
    output, _ = process.communicate(timeout=1800)
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode not in fine:
        raise SystemExit(f"kindling {' '.join(arguments)} ended with status {process.returncode}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answer = orjson.loads(output)
    return Measured(wall, cpu, answer.get("peak_memory_mb", float("nan")), answer)
