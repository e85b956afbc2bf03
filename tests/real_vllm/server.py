"""A real vLLM server in a process group of its own, on the CPU, with the tiny random model.

    with serving(folder) as server: ...     # server.url; server.requests() counts what it has answered, by its own word

Everything it writes (caches, logs) stays in `folder`, which is also its working directory: a folder of the checkout
with the name of a dependency would be imported in its place.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.real_vllm.tiny_model import make

MODEL = "tiny"
MAX_MODEL_LEN = 16384
READY_S = 300  # forty seconds alone, two minutes on a busy machine


@dataclass(frozen=True)
class Server:
    """Where it listens, and where its model lies."""

    port: int
    model: Path

    @property
    def url(self) -> str:
        """The base_url of its OpenAI-compatible part."""
        return f"http://127.0.0.1:{self.port}/v1"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def token(self, text: str) -> int:
        """The id of the token that is `text`."""
        tokenizer = json.loads((self.model / "tokenizer.json").read_text(encoding="utf-8"))
        return tokenizer["model"]["vocab"][text]

    def requests(self) -> int:
        """Chat completions asked for so far, whatever became of them."""
        counts = (line.split() for line in self.get("/metrics").splitlines() if "/v1/chat/completions" in line)
        return sum(round(float(count)) for name, count in counts if name.startswith("http_requests_total{"))


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Start the server, wait until it answers, and end its whole process group afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own deprecations are not ours to mend
        make(folder / "model")
    server = Server(_free_port(), folder / "model")
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            _command(server),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=os.environ | _environment(folder),
            start_new_session=True,
        )
    try:
        _wait(server, process, folder / "server.log")
        yield server
    finally:
        _end(process)


def _command(server: Server) -> list[str]:
    # not `vllm serve`: it looks for a distribution named vllm, and the CPU build has another name
    program = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--host",
        "127.0.0.1",
        "--port",
        str(server.port),
    ]
    model = ["--model", str(server.model), "--served-model-name", MODEL, "--max-model-len", str(MAX_MODEL_LEN)]
    # on a CPU, a request with a seed whose prompt is prefilled in parts kills the engine of vLLM 0.31.0
    whole = ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(MAX_MODEL_LEN)]
    return [*program, *model, *whole, "--dtype", "float32", "--enforce-eager"]


def _environment(folder: Path) -> dict[str, str]:
    # threads that spin while they wait slow a busy machine down twentyfold
    calm = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
    alone = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    caches = ("HF_HOME", "VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT", "TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR")
    return {**calm, **alone, **{name: str(folder / name.lower()) for name in caches}}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            server.get("/health")
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    said = log.read_text(errors="replace").splitlines()[-40:]
    raise RuntimeError("\n".join([f"vLLM did not come up (exit status {process.poll()}):", *said]))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the group to stop, then insist: its workers must not outlive the tests."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            continue
    process.wait(20)
