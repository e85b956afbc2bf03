"""`kindling train --dry-run`: what a training would take, from the model's config.json and the data alone.

A hub model whose config.json is not in the local cache is no error: what depends on its shape is said to be unknown,
and why; what does not (steps, judgements, what they cost) is known all the same.
"""

import os
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling.cli import console
from kindling.errors import InputError
from kindling.rl.training import data
from kindling.rl.training.arguments import processes
from kindling.rl.training.plan import Plan, Shape, Work, make_plan, make_work, read_shape
from kindling.rl.training.settings import GrpoSettings

if TYPE_CHECKING:
    from kindling.cli.training import Request

UNKNOWN = "unknown"
TEMPLATE_TOKENS = 12  # what a chat template adds to a turn or two


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan, or the work alone and why it is no more."""

    plan: Work
    unknown: str = ""


def plan(request: "Request", rows: data.Data, examples: int) -> Planned:
    """Plan `request` on `examples` rows like those of `rows`."""
    tokens = _tokens(request, rows)
    try:
        shape = _shape(request)
    except InputError as error:
        return Planned(make_work(request.settings, examples, tokens), str(error))
    made = make_plan(
        shape,
        request.settings,
        examples,
        tokens,
        gpu=_has_gpu(),
        processes=processes(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )
    return Planned(made)


def _shape(request: "Request") -> Shape:
    if request.model == "embedded" and not request.base_folder.is_dir():
        from kindling.rl.policy.base import Shape as Embedded

        made = Embedded()
        wide = made.hidden // made.heads
        return Shape(
            made.hidden, made.layers, made.heads, made.key_value_heads, wide, made.feed_forward, made.entries,
            tied=True, biased=False, normed_heads=True,
        )  # fmt: skip
    folder = request.base_folder if request.model == "embedded" else Path(request.model)
    return read_shape(folder if folder.is_dir() else _cached(request.model))


def _cached(name: str) -> Path:
    """The folder in the hub's local cache that holds the config.json of `name`. Nothing is downloaded."""
    if find_spec("huggingface_hub") is not None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(name, "config.json")
        if isinstance(found, str):
            return Path(found).parent
    raise InputError(f"{name}: its config.json is not in the local cache; download it, or give a folder")


def _tokens(request: "Request", rows: data.Data) -> float:
    """Tokens of a row, roughly: two for three CJK characters, one for four others; more in a small vocabulary."""
    columns = {"sft": ("prompt", "completion"), "rm": ("prompt", "chosen"), "grpo": ("prompt",)}[request.stage]
    some = rows.rows[:1000]
    texts = ["".join(turn["content"] for column in columns for turn in row[column]) for row in some]
    if request.model == "embedded":
        return sum(0.75 * len(text) for text in texts) / len(some) + TEMPLATE_TOKENS
    wide = sum(char > "\u2e7f" for text in texts for char in text)
    rest = sum(map(len, texts)) - wide
    return (wide / 1.5 + rest / 4) / len(some) + TEMPLATE_TOKENS


def _has_gpu() -> bool:
    """Whether a training here would run on a GPU: asked of the driver, so that torch need not be there."""
    return Path("/proc/driver/nvidia/version").exists()


def describe(
    request: "Request",
    rows: data.Data,
    planned: Planned,
    *,
    as_json: bool,
    calls: dict[str, int] | None = None,
    cost: float = 0.0,
) -> None:
    """Say what it would take; nothing is run or written."""
    found = planned.plan
    if as_json:
        console.answer(
            {
                "stage": request.stage,
                "data": rows.card,
                "train": request.settings.model_dump(),
                "plan": _answer(found),
                "unknown": planned.unknown,
                "calls": calls or {},
                "cost": cost,
            }
        )
        return
    console.table("Data", ("what", "rows"), [("to train on", len(rows.rows)), *rows.left_out.items()])
    console.table("What it would take", ("what", "value"), _lines(request, found))
    if isinstance(found, Plan):
        memory = [(name, _bytes(size)) for name, size in (*found.memory.items(), ("all", found.memory_total))]
        console.table("Memory of each process, an estimate", ("for", "about"), memory)
    else:
        console.note(f"parameters, memory and time are unknown: {planned.unknown}")
    if calls:
        console.table("Model calls at most, without repairs", ("role", "calls"), list(calls.items()))
    console.out.print(f"cost about {cost:.4f}; nothing was run or written")


def _answer(found: Work) -> dict[str, Any]:
    """The plan as JSON data; null for what is unknown."""
    known = asdict(found) | ({"memory_total": found.memory_total} if isinstance(found, Plan) else {})
    return {**dict.fromkeys([*(one.name for one in fields(Plan)), "memory_total"]), **known}


def _lines(request: "Request", found: Work) -> list[tuple[str, Any]]:
    rollouts = [("rollouts", f"{found.rollouts:,}"), ("judgements", f"{found.judgements:,}")]
    plan = found if isinstance(found, Plan) else None
    return [
        ("parameters", f"{plan.parameters:,}" if plan else UNKNOWN),
        ("trainable parameters", f"{plan.trainable:,}" if plan else UNKNOWN),
        ("optimizer steps", f"{found.steps:,}"),
        *(rollouts if isinstance(request.settings, GrpoSettings) else []),
        ("tokens, about", f"{found.tokens:,}"),
        ("time on this machine, a guess", console.duration(plan.seconds) if plan else UNKNOWN),
        *([] if plan else [("memory", UNKNOWN)]),
    ]


def _bytes(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
