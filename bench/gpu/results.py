"""The figures: a JSON file that later runs add to, and the tables at the end."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.gpu.isolation import Outcome
from bench.gpu.plan import CURVES, NAMES, Measurement, model_seconds
from bench.gpu.shapes import GB, SHAPES
from kindling.cli import console
from kindling.runs import versions
from kindling.tables import write_json

Row = dict[str, Any]
WIDTH = 100


class Results:
    """The rows of one file. A measurement that is made anew takes the place of the old one."""

    def __init__(self, file: Path, machine: dict[str, Any]) -> None:
        """Raises `ValueError` if `file` is there and is none of these."""
        self._file = file
        self._machine = machine
        self.rows: list[Row] = []
        if file.exists():
            self.rows = read(file)

    def add(self, one: Measurement, outcome: Outcome) -> None:
        """Take a row in, and write the file."""
        row = {
            **one.flat(), "seconds": outcome.seconds, "figures": outcome.figures, "why": outcome.why,
            "log": outcome.log, "machine": self._machine, "versions": versions(),
            "estimate": {"seconds": one.seconds(), "bytes": one.bytes()},
        }  # fmt: skip
        self.rows = [old for old in self.rows if _key(old) != one.key] + [row]
        self.rows.sort(key=_place)
        write_json(self._file, {"rows": self.rows})


def read(file: Path) -> list[Row]:
    """The rows of `file`. Raises `ValueError` if it holds none."""
    try:
        rows = orjson.loads(file.read_bytes())["rows"]
        for row in rows:
            _place(row)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: holds no figures of this benchmark; name another file with --out") from error
    return list(rows)


def _key(row: Row) -> tuple[str, str, str]:
    return row["name"], row["shape"], row["device"]


def _place(row: Row) -> tuple[Any, ...]:
    return row["device"], list(SHAPES).index(row["shape"]), NAMES.index(row["name"])


def show_plan(plan: Sequence[Measurement], minutes: float) -> None:
    """What would be run."""
    lines = [
        (one.name, one.shape, f"{SHAPES[one.shape].parameters / 1e6:,.1f}", one.gpus, f"{one.bytes() / GB:.1f}",
         f"{one.seconds() / 60:.1f}")
        for one in plan
    ]  # fmt: skip
    console.table("The plan", ("measurement", "shape", "M weights", "devices", "GB, about", "minutes, about"), lines)
    speed = dict.fromkeys(one.shape for one in plan if one.name not in CURVES)
    made = [f"{shape} {model_seconds(shape):.0f} s" for shape in speed]
    console.out.print(
        f"about {minutes:.0f} minutes in all" + (f", with the making of models: {', '.join(made)}" if made else "")
    )


def show(rows: Sequence[Row]) -> None:
    """The tables at the end, and a line for every measurement that failed."""
    speed = [_speed(row, rows) for row in rows if row["figures"] and row["name"] not in CURVES]
    _table(
        "Speed: seconds of a step and its parts, tokens a second of the rollout",
        ("shape", "measurement", "step", "rollout", "(sync)", "reward", "update", "tokens/s", "of vLLM", "peak GB"),
        speed,
    )
    _table(
        "Learning: means of the first and the last steps",
        ("policy", "measurement", "steps", "s a step", "reward", "length", "cut off", "worst canary", "peak GB"),
        [_curve(row) for row in rows if row["figures"] and row["name"] in CURVES],
    )
    for row in rows:
        if row["figures"] is None:
            console.out.print(f"{row['name']} at {row['shape']}: no figures: {row['why']}")
        elif row["figures"].get("stopped"):
            console.out.print(f"{row['name']} at {row['shape']}: the firewall stopped it: {row['figures']['stopped']}")


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table that is never cut: where the output is narrow, its lines fold."""
    if not rows:
        return
    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for place, name in enumerate(columns):
        made.add_column(name, justify="left" if place < 2 else "right", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    Console(width=max(WIDTH, console.out.width), markup=False).print(made)


def _speed(row: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    found = row["figures"]
    share = rollout_share(row, rows)
    return (
        row["shape"], row["name"], *(_number(found.get(name)) for name in
        ("step_s", "rollout_s", "sync_s", "reward_s", "update_s")), _number(found["rollout_tokens_s"], 0),
        "–" if share is None else f"{share:.0%}", _peak(found),
    )  # fmt: skip


def rollout_share(row: Row, rows: Sequence[Row]) -> float | None:
    """Tokens a second of a rollout over those of vLLM alone with the same shape; None where that was not measured."""
    alone = next((one for one in rows if _key(one) == ("vllm", row["shape"], row["device"]) and one["figures"]), None)
    if alone is None or row["name"] == "vllm":
        return None
    return float(row["figures"]["rollout_tokens_s"] / alone["figures"]["rollout_tokens_s"])


def _curve(row: Row) -> tuple[str, ...]:
    found = row["figures"]
    worst = min(found["canaries"].items(), key=lambda one: float(one[1]), default=None)
    return (
        row["shape"], row["name"], str(found["steps"]), _number(found["step_s"]), _ends(found["reward"], 2),
        _ends(found["length"], 0), _ends(found["limit_share"], 2),
        "–" if worst is None else f"{worst[0]} {worst[1]:.2f}", _peak(found),
    )  # fmt: skip


def _ends(values: Sequence[float | None], places: int) -> str:
    return " → ".join(_number(value, places) for value in values)


def _peak(found: dict[str, Any]) -> str:
    """Memory of the devices; on a CPU, that of the process."""
    peak = found.get("gpu_memory_bytes")
    return _number(found["peak_memory_mb"] * (1 << 20) / GB if peak is None else peak / GB, 1)


def _number(value: float | None, places: int = 2) -> str:
    return "–" if value is None else f"{value:,.{places}f}"
