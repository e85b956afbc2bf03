"""The embedded policy's learning curve: SFT on the task's good texts, then GRPO steps with the embedded judge.

Every step gives the reward, the length, what was cut off, and how well the judge does on its canaries: a reward that
rises while texts grow or canaries fall is not learning. The commands are those that users run. The judge is not
certified, and is the one that rewards: the curve shows that the machinery learns, not how good the texts are.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from bench.gpu.models import queries
from bench.gpu.models import task as pack
from bench.gpu.plan import CURVE_STEPS
from bench.gpu.shapes import SMALL, TINY_POLICY
from bench.gpu.steps import colocated_share
from kindling.rl.policy.base import Schedule, make_base
from kindling.tables import read_rows

ENDS = 5  # steps at either end whose means are compared
BREACH = 1


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """The curve's points and what it comes to."""
    folder = Path(task["folder"])
    tiny = task["shape"] == "tiny"
    corpus = pack().file("corpus.jsonl")
    if tiny:
        rows = read_rows(corpus, ("query", "response"))
        pairs = [(row["query"], row["response"]) for row in rows]
        make_base(pairs, folder / "base", shape=TINY_POLICY, schedule=Schedule(epochs=2))
    source = folder / "queries.txt"
    source.write_text("\n".join(queries()) + "\n", encoding="utf-8")
    # `embedded` brings its settings, `--base` the weights that it starts from
    model = ("--model", "embedded", "--base")
    short = ("--set", "train.max_steps=8") if tiny else ()
    began = time.monotonic()
    _kindling(folder, "train", "sft", "--data", corpus, *model, folder / "base", "--out", folder / "sft", *short)
    fine_tuned = time.monotonic()
    _kindling(
        folder, "train", "grpo", "--data", source, *model, folder / "sft/model", "--out", folder / "grpo",
        "--judge", "embedded", "--uncertified", "--vllm", "colocate" if task["by_vllm"] else "off",
        *_sets(task),
    )  # fmt: skip
    run = folder / "grpo"
    record = orjson.loads((run / "run.json").read_bytes())
    points = [orjson.loads(line) for line in (run / "firewall.jsonl").read_bytes().splitlines()]
    breach = run / "breach.json"
    return {
        "sft_s": fine_tuned - began,
        "step_s": record["seconds"] / max(1, record["steps"]),
        "peak_memory_mb": record["peak_memory_mb"],
        "stopped": orjson.loads(breach.read_bytes())["line"] if breach.is_file() else None,
        **summary(points),
        "points": points,
    }


def _sets(task: dict[str, Any]) -> list[str]:
    values = {
        "train.max_steps": CURVE_STEPS[task["shape"]], "train.epochs": 1000, "train.save_every": 1000,
        "vllm.max_model_tokens": 160,
    }  # fmt: skip
    if task["shape"] == "tiny":
        values |= {"train.prompts": SMALL.prompts, "train.group": SMALL.group, "train.completion_tokens": SMALL.tokens}
    if task["by_vllm"]:
        values["vllm.gpu_memory"] = colocated_share(task)
    return [part for name, value in values.items() for part in ("--set", f"{name}={value}")]


def summary(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the first and the last steps; of the canaries, the kind that was judged worst at the end."""
    size = min(ENDS, max(1, len(points) // 2))
    ends = points[:size], points[-size:]
    found: dict[str, Any] = {"steps": len(points)}
    for name in ("reward", "length", "limit_share", "entropy"):
        known = [[point[name] for point in end if point.get(name) is not None] for end in ends]
        found[name] = [statistics.fmean(values) if values else None for values in known]
    canaries = {name: value for name, value in points[-1].items() if name.startswith("canaries/")} if points else {}
    found["canaries"] = {name.removeprefix("canaries/"): value for name, value in canaries.items()}
    return found


def _kindling(folder: Path, *arguments: object) -> None:
    """Run a command in a process of its own; a breach of the firewall is an answer, all else ends this process."""
    status = subprocess.run([sys.executable, "-m", "kindling", *map(str, arguments)], cwd=folder).returncode
    if status not in (0, BREACH):
        sys.exit(status)
