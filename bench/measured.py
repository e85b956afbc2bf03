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
    """Seconds of wall and CPU time and peak memory in MB of one `kindling` process, with its JSON answer."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    answer: dict


def kindling(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> Measured:
    """Run `kindling ARGUMENTS --json` and wait for it."""
    started = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, "-m", "kindling", *arguments, "--json"],
        cwd=cwd, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE,
    )  # fmt: skip
    output, _ = process.communicate(timeout=1800)
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"kindling {' '.join(arguments)} ended with status {process.returncode}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answer = orjson.loads(output)
    return Measured(wall, cpu, answer["peak_memory_mb"], answer)
