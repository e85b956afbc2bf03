"""`python -m bench.gpu.measure TASK RESULT`: one measurement, in this process; started by `bench.gpu.isolation`.

TASK is a JSON file with the measurement's name and shape, the model's folder and one to work in; the figures are
written to RESULT. What cannot be measured here ends the process with one line that says why.
"""

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from kindling.rl.policy.runtime import prepare
from kindling.runs import peak_memory_mb

Figures = dict[str, Any]


def main() -> None:
    asked, result = map(Path, sys.argv[1:])
    task = orjson.loads(asked.read_bytes())
    _share_out(task)
    prepare()
    _check(task)
    figures = _WAYS[task["name"]](task)
    result.write_bytes(orjson.dumps({"peak_memory_mb": peak_memory_mb(), **figures}))
    sys.stdout.flush()
    os._exit(0)  # engines in this process may hang while they are taken down, and there is nothing left to do


def _share_out(task: dict[str, Any]) -> None:
    """Leave the first device to this process, before torch looks, and the second to a server."""
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if len(seen) < task["gpus"] and task["device"] == "cuda":
        sys.exit(f"bench: this takes {task['gpus']} CUDA devices, and {len(seen)} may be used")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(seen[:1])
    task["server_device"] = "".join(seen[1:2])


def _check(task: dict[str, Any]) -> None:
    """End the process if CUDA or a package is missing."""
    import torch

    if task["device"] == "cuda" and not torch.cuda.is_available():
        sys.exit("bench: torch finds no CUDA device: is it a build for CPUs?")
    if task["by_vllm"] and find_spec("vllm") is None:
        sys.exit("bench: vllm is not installed; pip install 'kindling[vllm]'")
    if task["device"] == "cpu":
        if task["name"] == "grpo-server":
            sys.exit("bench: weights go to a server by NCCL, which needs CUDA")
        # read when vllm is imported: an engine in this process, and a small cache
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")


def _model(task: dict[str, Any]) -> Figures:
    from bench.gpu.models import make_model

    make_model(task["shape"], Path(task["model"]))
    return {}


def _offline(task: dict[str, Any]) -> Figures:
    from bench.gpu.offline import measure

    return measure(task)


def _steps(task: dict[str, Any]) -> Figures:
    from bench.gpu.steps import measure

    return measure(task)


def _served(task: dict[str, Any]) -> Figures:
    from bench.gpu.served import measure

    return measure(task)


def _curve(task: dict[str, Any]) -> Figures:
    from bench.gpu.curve import measure

    return measure(task)


_WAYS: dict[str, Callable[[dict[str, Any]], Figures]] = {
    "model": _model,
    "vllm": _offline,
    "grpo": _steps,
    "grpo-colocate": _steps,
    "grpo-server": _served,
    "curve": _curve,
    "curve-colocate": _curve,
}


if __name__ == "__main__":
    main()
