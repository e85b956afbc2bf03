"""Kill a curation half-way with SIGKILL, resume it, and compare with a run that was left alone."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measured import kindling
from bench.served import project, scripted_server, stats

ROWS = 120


def run(queries: Path) -> None:
    arguments = ("curate", str(queries.resolve()), "--limit", str(ROWS), "--candidates", "4")
    with tempfile.TemporaryDirectory() as folder, scripted_server("--latency-ms", "20") as port:
        here = Path(folder)
        project(here, port)
        whole = kindling(*arguments, "--out", "whole", cwd=here)
        alone = stats(port)["answered"]
        half = _killed_at(alone + alone // 2, (*arguments, "--out", "killed"), here, port)
        resumed = kindling(*arguments, "--out", "killed", "--resume", cwd=here)
        after = stats(port)
        same = (here / "whole/pairs.jsonl").read_bytes() == (here / "killed/pairs.jsonl").read_bytes()
    again = after["answered"] - 2 * alone
    print(f"calls of an undisturbed run: {alone}; killed after {half - alone}")
    print(
        f"calls made twice: {again} ({again / alone:.1%}); rows {resumed.answer['rows']} against {whole.answer['rows']}"
    )
    print(f"the same pairs: {same}")


def _killed_at(calls: int, arguments: tuple[str, ...], here: Path, port: int) -> int:
    """Start, wait until the server has answered `calls`, kill; returns how many it had answered by then."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kindling", *arguments], cwd=here, stdout=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None and stats(port)["answered"] < calls:
        time.sleep(0.02)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    time.sleep(0.5)
    return int(stats(port)["answered"])
