"""A run folder as a reader sees it: its record, its events, how it ended; and the section on how to repeat it."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from kindling.errors import InputError
from kindling.eval.report.blocks import Block, Facts, Figure, Folded, Lines, Notice, Section, Table, Tag
from kindling.eval.report.words import duration, flat, moment, number
from kindling.runs import read_record

STATUSES = {
    "finished": Tag("finished", "good"),
    "stopped": Tag("stopped", "bad"),
    "interrupted": Tag("interrupted", "bad"),
    "failed": Tag("failed", "alarm"),
}
_UNFINISHED = {
    "stopped": "This run is unfinished: it was stopped.",
    "interrupted": "This run is unfinished: it was interrupted.",
    "failed": "This run is unfinished: it ended with an error.",
}


@dataclass(frozen=True, slots=True)
class Run:
    """The folder, its run.json and its events."""

    path: Path
    record: dict[str, Any]
    events: tuple[dict[str, Any], ...]

    @property
    def command(self) -> str:
        """What made it, such as `train grpo`."""
        return str(self.record["command"])

    @property
    def settings(self) -> dict[str, Any]:
        """What defines it."""
        found: dict[str, Any] = self.record["settings"]
        return found

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.record.get("status") == "finished"

    @property
    def status(self) -> Tag:
        """How it ended, if it did."""
        return STATUSES.get(str(self.record.get("status")), Tag("unfinished", "bad"))

    @property
    def language(self) -> str:
        """That of its texts, where it is recorded."""
        return str(self.settings.get("pack", {}).get("language", ""))

    def notice(self, *lines: str) -> Notice | None:
        """What has to be said first of a run that did not finish; `lines` say how far it came."""
        if self.finished:
            return None
        said = _UNFINISHED.get(
            str(self.record.get("status")), "This run is unfinished: it was still at work, or was killed."
        )
        error = self.record.get("error")
        return Notice(said, (*((f"It ended with {error}.",) if error else ()), *lines), "accent")

    def when(self, seconds: float | None = None) -> tuple[str, ...]:
        """When it was started, and how long it worked."""
        found = [f"started {moment(str(self.record.get('started', '')))}"]
        if seconds is not None:
            found.append(f"worked {duration(seconds)}")
        if peak := self.record.get("peak_memory_mb"):
            found.append(f"at most {peak:,.0f} MB of memory")
        return tuple(found)

    def file(self, name: str) -> Path | None:
        """A file of the folder, if it is there."""
        found = self.path / name
        return found if found.is_file() else None


def open_run_folder(path: Path) -> Run:
    """Read what is the same in all kinds of run. Raises `RunFolderError` if `path` is none that can be read."""
    return Run(path, read_record(path), tuple(rows(path / "events.jsonl")))


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a JSONL file that another process may have been killed at writing: a torn last line is left out.

    A file that is not there has none. Raises `InputError` for a line amid the file that is no JSON object.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    for place, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if place == len(lines) - 1:
                return
            raise InputError(f"{path}: line {place + 1}: not JSON, so the run is damaged: {error}") from error
        if not isinstance(found, dict):
            raise InputError(f"{path}: line {place + 1}: not a JSON object, so the run is damaged")
        yield found


def spent_by_judges(record: dict[str, Any]) -> dict[str, Any]:
    """What a training's judges came to, a ledger each (`spent` of its record), as other runs say it."""
    spent = (record.get("spent") or {}).values()
    if not spent:
        return {}
    return {
        "calls": sum(one["calls"] for one in spent),
        "cost": sum(one["cost"] for one in spent),
        "roles": [role for one in spent for role in one["roles"]],
    }


def money(record: dict[str, Any]) -> tuple[Figure, ...]:
    """What the calls came to, as a figure."""
    if record.get("calls") is None:
        return ()
    calls = int(record["calls"])
    paid = f"cost {record.get('cost', 0.0):.4f}" if calls else "no model was paid"
    return (Figure(f"{calls:,}", "model calls", paid),)


def spending(record: dict[str, Any]) -> tuple[Section, ...]:
    """Calls, tokens and money by role; nothing where none was paid."""
    found = [
        (
            one["role"],
            one.get("model", ""),
            one["calls"],
            one["prompt_tokens"],
            one["completion_tokens"],
            f"{one['cost']:.4f}",
        )
        for one in record.get("roles") or ()
    ]
    if not found:
        return ()
    heads = ("role", "model", "calls", "tokens in", "tokens out", "cost")
    caption = "Of all processes that worked on the run; money in the unit of the prices in kindling.toml."
    return (Section("cost", "What it cost", (Table(heads, tuple(found), caption),)),)


def repeat(run: Run) -> Section:
    """Everything that it takes to do it again."""
    record = run.record
    commands = tuple(
        "kindling " + shlex.join(map(str, event["argv"])) for event in run.events if isinstance(event.get("argv"), list)
    )
    blocks: list[Block] = [Lines(commands)] if commands else []
    seed = record.get("seed", run.settings.get("seed"))
    hashes = tuple(
        (f"template of {name}", str(value)) for name, value in sorted((record.get("templates") or {}).items())
    )
    blocks.append(Facts((*((("seed", str(seed)),) if seed is not None else ()), *hashes)))
    if hashed := tuple(_hashed(run.settings)):
        blocks.append(Table(("what went in", "file", "sha256"), hashed))
    blocks.append(Folded("All settings that define the run", (Facts(tuple(flat(run.settings).items())),)))
    if config := record.get("config"):
        blocks.append(Folded("The whole configuration, defaults included", (Facts(tuple(flat(config).items())),)))
    if versions := record.get("versions"):
        blocks.append(Folded("Versions", (Facts(tuple(map(_pair, versions.items()))),)))
    events = tuple((moment(str(one.get("time"))), str(one.get("event")), _about(one)) for one in run.events)
    blocks.append(Folded("What happened, and when", (Table(("time", "event", ""), events),)))
    return Section("repeat", "To repeat it", tuple(blocks))


def _pair(item: tuple[str, Any]) -> tuple[str, str]:
    return item[0], str(item[1])


def _hashed(settings: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The files that went in, with their hashes."""
    for name, value in settings.items():
        if isinstance(value, dict) and "sha256" in value:
            hashes = value["sha256"] if isinstance(value["sha256"], dict) else {value.get("file", "–"): value["sha256"]}
            yield from ((name, str(file), str(found)) for file, found in hashes.items())


def _about(event: dict[str, Any]) -> str:
    """What an event says besides its name and time."""
    found = flat({name: value for name, value in event.items() if name not in ("time", "event", "argv")})
    return "; ".join(f"{name} {value}" for name, value in found.items() if value != "not set")


def counted(value: Any) -> str:
    """A measurement in words, whatever it is."""
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
