"""What the tests of training share: a tiny model, data that can be learned, and commands in processes of their own.

Commands are forked from a server that has torch and TRL imported, since importing them takes longer than training the
tiny model; each uses one thread, so that the same work gives the same bytes.
"""

import multiprocessing
import os
from pathlib import Path

import orjson

from kindling.tables import write_jsonl
from tests.cli.running import Done, Started

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
TRAINERS = [f"trl.trainer.{name}_trainer" for name in ("sft", "reward", "grpo")]
QUERIES = [f"给第{number}位同事写一句" for number in range(24)]


def fork_with_trainers() -> None:
    """Have `Started` fork from a process with the trainers in it. To be called before the first command."""
    os.environ.update(ONE_THREAD, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    multiprocessing.set_forkserver_preload(["pytest", "kindling.cli.training", *TRAINERS])


def kindling(folder: Path, *arguments: object) -> Done:
    """Run `kindling ARGUMENTS` in `folder` to its end."""
    return Started(*arguments, cwd=folder).finish()


def sft_file(folder: Path) -> Path:
    """Every query with one answer that `embedded` called good."""
    said = {"judge": "embedded", "template": "0a1b"}
    rows = [{"query": query, "response": f"愿你天天开心，第{n}次。", **said} for n, query in enumerate(QUERIES)]
    file = folder / "sft.jsonl"
    write_jsonl(file, rows)
    return file


def pair_file(folder: Path) -> Path:
    """Pairs of equal length that one character tells apart."""
    rows = [
        {"query": query, "chosen": f"愿你开心{n:03}", "rejected": f"随便写写{n:03}"}
        for n, query in enumerate(QUERIES * 2)
    ]
    file = folder / "pairs.jsonl"
    write_jsonl(file, rows)
    return file


def weights(model: Path) -> dict[str, bytes]:
    """Every tensor of the safetensors files in `model`, as bytes."""
    from safetensors import safe_open

    found = {}
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            found |= {name: tensors.get_tensor(name).contiguous().numpy().tobytes() for name in tensors.keys()}  # noqa: SIM118
    return found


def metrics(run: Path, name: str = "loss") -> list[float]:
    """The logged values of one metric, in the order of the steps."""
    lines = [orjson.loads(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    return [line[name] for line in lines if name in line]


def kill_after(folder: Path, checkpoint: int, run: str, *arguments: object) -> None:
    """Start the command, and kill -9 it as soon as the run has that checkpoint."""
    started = Started(*arguments, cwd=folder)
    sealed = folder / run / "trainer" / f"checkpoint-{checkpoint}" / "whole"
    started.wait_for(sealed.is_file)
    started.send(9)
    assert started.finish().status == -9
    assert not (folder / run / "model").exists(), "killed too late"
