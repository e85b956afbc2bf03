"""A measurement in a process of its own: a time limit, a watch on the devices' memory, and why it failed.

The process begins a session, so that whatever it starts (vLLM's engine, a server) ends with it. Memory is what
`nvidia-smi` says is in use on all devices beyond what was in use before: it counts the trainer, an engine in another
process and the libraries' own share, and needs nothing imported here. Other work on the devices would be counted too.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[2]
EVERY_S = 0.5
SMI = "nvidia-smi"
# an exception's own line, or one of the command line's
_SAYS = re.compile(r"^(?:[\w.]*(?:Error|Exception|Interrupt|Exit)(?::.*)?|(?:kindling|bench): .*)$", re.MULTILINE)
_CALM = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1",
         "VLLM_NO_USAGE_STATS": "1"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a measurement ended: its figures, or `why` there are none, with the end of what it printed."""

    seconds: float
    figures: dict[str, Any] | None
    why: str = ""
    log: str = ""


def isolated(task: Mapping[str, Any], limit_s: float, devices: tuple[str, ...]) -> Outcome:
    """Have `bench.gpu.measure` carry out `task` in at most `limit_s` seconds; it sees `devices`, or none.

    Raises nothing: whatever goes wrong there is an outcome.
    """
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        asked, result, log = (Path(folder) / name for name in ("task.json", "result.json", "log.txt"))
        asked.write_bytes(orjson.dumps({**task, "folder": folder}))
        environment = {**os.environ, **_CALM, "CUDA_VISIBLE_DEVICES": ",".join(devices)}
        began = time.monotonic()
        with log.open("wb") as output, _Watch() as watch:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.gpu.measure", str(asked), str(result)],
                cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            late = _wait(process, limit_s)
        seconds = time.monotonic() - began
        said = log.read_text(encoding="utf-8", errors="replace")
        if not late and process.returncode == 0 and result.is_file():
            figures = orjson.loads(result.read_bytes())
            return Outcome(seconds, {**figures, "gpu_memory_bytes": watch.peak} if devices else figures)
        why = f"not done within {limit_s / 60:.1f} minutes" if late else reason(said, process.returncode)
        return Outcome(seconds, None, why, said[-3000:])


def _wait(process: "subprocess.Popen[bytes]", limit_s: float) -> bool:
    """Wait for the process, and end all that it started; whether it took longer than `limit_s`."""
    try:
        process.wait(timeout=max(limit_s, 0))
    except subprocess.TimeoutExpired:
        return True
    finally:
        with suppress(ProcessLookupError):  # nothing of the group may be left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return False


def reason(said: str, status: int) -> str:
    """Why a process failed, in one line, from what it printed and its exit status."""
    if "out of memory" in said.lower() or "OutOfMemoryError" in said:
        return "out of memory on the device"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}" + (" (out of memory?)" if status == -signal.SIGKILL else "")
    lines = _SAYS.findall(said) or [line for line in said.splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else f"ended with status {status} and said nothing"


def visible() -> tuple[str, ...]:
    """The CUDA devices that may be used, by number or name; none where there is no driver."""
    if shutil.which(SMI) is None:
        return ()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip())
    return tuple(line.strip() for line in _smi("index"))


def machine() -> dict[str, Any]:
    """What the figures belong to: devices with their memory in MiB, and processor cores."""
    return {"devices": _smi("name,memory.total") if shutil.which(SMI) else [], "cores": os.cpu_count()}


def _smi(fields: str) -> list[str]:
    """A line for each device. Empty where the driver does not answer."""
    command = [SMI, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()


class _Watch:
    """The most memory, in bytes, that came into use on all devices while the block ran; 0 where there are none."""

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._before = _used()

    def __enter__(self) -> "_Watch":
        if self._before is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._before is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(EVERY_S):
            used = _used()
            if used is not None and self._before is not None:
                self.peak = max(self.peak, used - self._before)


def _used() -> int | None:
    if shutil.which(SMI) is None:
        return None
    values = [int(line) for line in _smi("memory.used") if line.strip().isdigit()]
    return sum(values) * (1 << 20) if values else None
