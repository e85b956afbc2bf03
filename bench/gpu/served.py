"""A vLLM server on the second device, and a trainer on the first that sends it its weights.

The server is started as TRL's documentation has it: the development routes take weights over NCCL, and its
log-probabilities are those of what was really sampled.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from bench.gpu import steps
from bench.gpu.shapes import Workload, workload

WITHIN_S = 300.0


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """The figures of `steps`, with the server's."""
    began = time.monotonic()
    with server(task, workload(task["shape"])) as url:
        ready_s = time.monotonic() - began
        more = ("--vllm-url", url, "--set", f"vllm.group_port={_free_port()}")
        return {**steps.measure(task, *more), "server_start_s": ready_s}


@contextmanager
def server(task: dict[str, Any], work: Workload) -> Iterator[str]:
    """The address of a server of the task's model that lives while the block runs. Ends the process if none starts."""
    port = _free_port()
    log = Path(task["folder"]) / "server.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(task["model"], port, work.prompt_tokens + work.tokens),
            env={**os.environ, "CUDA_VISIBLE_DEVICES": task["server_device"], "VLLM_SERVER_DEV_MODE": "1"},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            if not _answers(url, process):
                print(log.read_text(encoding="utf-8", errors="replace")[-3000:])
                sys.exit(f"bench: the vLLM server did not answer within {WITHIN_S:.0f} s")
            yield url
        finally:
            process.terminate()


def command(model: str, port: int, longest: int) -> list[str]:
    """What starts the server."""
    return [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--host", "127.0.0.1",
        "--port", str(port), "--max-model-len", str(longest), "--weight-transfer-config", '{"backend": "nccl"}',
        "--logprobs-mode", "processed_logprobs", "--max-logprobs", "-1",
    ]  # fmt: skip


def _answers(url: str, process: "subprocess.Popen[bytes]") -> bool:
    """Whether the server answers, in the time that it has; False at once if it has ended."""
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(f"{url}/health", timeout=5):
                return True
        except (URLError, OSError):
            time.sleep(1)
    return False


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
