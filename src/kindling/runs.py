"""The run folder: `runs/NAME/`, made by exactly one command, in use by at most one process at a time.

`open_run` refuses a folder that holds anything it did not make (hidden files apart), takes a lock for as long as the
process lives, and on `--resume` compares the settings that define the run with those it was started with: the same run
goes on, or none does. Templates, budgets and concurrency may differ on a resume, since they decide which calls are
made, not what they mean. A run that ends before anything was done in it is discarded, as if it had not been started.

    run.json       what ran: its format, settings, versions, template hashes, counts, tokens, cost; rewritten atomically
    events.jsonl   what happened, a line each, appended
    .lock          held while a process works here

Nothing here knows what is computed: the commands put their datasets, journal and ledger beside these files.
"""

import fcntl
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import orjson

from kindling.errors import RunFolderError
from kindling.tables import write_json

FORMAT = 1  # of run folders; one without a number was made before there were numbers, and is the same
PACKAGES = ("kindling", "langgraph", "langchain-openai", "openai", "jinja2", "pydantic", "scikit-learn", "torch", "trl")


class RunFolder:
    """An open, locked run folder. `started` is set once, and survives a resume; times are UTC, ISO 8601."""

    def __init__(self, path: Path, lock: IO[str], record: dict[str, Any], *, new: bool) -> None:
        self.path = path
        self.new = new
        self._lock = lock
        self._record = record
        self.save()  # first of all: from here on a killed run can be resumed
        self._events = (path / "events.jsonl").open("ab", buffering=0)

    @property
    def previous_templates(self) -> dict[str, str]:
        """The template hashes that the run had before this process; empty for a new run."""
        return dict(self._record.get("templates", {}))

    def event(self, kind: str, **fields: Any) -> None:
        """Append one event. One write a line, so that a kill tears at most the last."""
        line = {"time": _now(), "event": kind, **fields}
        self._events.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def save(self, **fields: Any) -> None:
        """Put `fields` into run.json."""
        self._record.update(fields, updated=_now())
        write_json(self.path / "run.json", self._record)

    def discard(self) -> None:
        """Remove everything that a new run has made, and the folder if that leaves it empty."""
        assert self.new, "a resumed run is never discarded"
        for file in (*_visible(self.path), self.path / ".lock"):
            file.unlink()
        with suppress(OSError):
            self.path.rmdir()

    def close(self) -> None:
        """Release the folder."""
        self._events.close()
        self._lock.close()


def open_run(path: Path, command: str, settings: Mapping[str, Any], *, resume: bool) -> RunFolder:
    """Make the run folder `path`, or with `resume` go on in it.

    `settings` is JSON data that defines the run. Raises `RunFolderError` if the folder is used, in use, cannot be
    written, or was started with other settings (each is named).
    """
    try:
        return _open(path, command, settings, resume)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written: {error.strerror or error}") from error


def _open(path: Path, command: str, settings: Mapping[str, Any], resume: bool) -> RunFolder:
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path}: is a file; --out names a folder")
    used = bool(_visible(path))
    if used and not resume:
        raise RunFolderError(f"{path}: already used; add --resume to go on with that run, or choose another folder")
    record = _read_record(path, command, settings) if used else {}
    path.mkdir(parents=True, exist_ok=True)
    lock = (path / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise RunFolderError(f"{path}: another process works in this run folder") from error
    if bool(_visible(path)) != used:
        lock.close()
        raise RunFolderError(f"{path}: another process has just used this run folder")
    for left_by_a_kill in path.glob(".*.tmp"):
        shutil.rmtree(left_by_a_kill) if left_by_a_kill.is_dir() else left_by_a_kill.unlink()
    record = record or {"format": FORMAT, "command": command, "settings": settings, "started": _now()}
    folder = RunFolder(path, lock, record, new=not used)
    folder.event("resumed" if used else "started", argv=sys.argv[1:])
    return folder


def _visible(path: Path) -> list[Path]:
    """What lies in the folder `path`, if it is there, hidden files apart."""
    return [entry for entry in path.iterdir() if not entry.name.startswith(".")] if path.is_dir() else []


def _read_record(path: Path, command: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The run.json in `path`, which must be the same run."""
    if not (path / "run.json").exists():
        raise RunFolderError(f"{path}: holds files but no run.json, so it is no run to resume")
    record = read_record(path)
    if record.get("command") != command:
        raise RunFolderError(f"{path}: made by 'kindling {record.get('command')}', not by 'kindling {command}'")
    # through JSON, since that is how the earlier settings came here
    now = orjson.loads(orjson.dumps(settings))
    for name, then, instead in _differences(record["settings"], now):
        raise RunFolderError(
            f"{path}: the run was started with {name} = {_short(then)}, not {_short(instead)};"
            " resume it with the same settings, or choose another folder"
        )
    return record


def read_record(path: Path) -> dict[str, Any]:
    """The run.json in the folder `path`. Raises `RunFolderError` if it is none, torn, or of a newer kindling."""
    file = path / "run.json"
    try:
        record = orjson.loads(file.read_bytes())
    except OSError as error:
        raise RunFolderError(f"{path}: no run: no run.json that can be read: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise RunFolderError(f"{file}: not a run record, or half of one; choose another folder") from error
    if not isinstance(record, dict) or not isinstance(record.get("settings"), dict) or not record.get("command"):
        raise RunFolderError(f"{file}: not a run record; choose another folder")
    found = record.get("format", FORMAT)
    if found != FORMAT:
        made_by = record.get("versions", {}).get("kindling", "another version")
        raise RunFolderError(
            f"{path}: a run of format {found}, made by kindling {made_by}; this kindling reads format {FORMAT}:"
            " install a newer one"
        )
    return record


def _differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted names of what differs, with both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield name, before, now


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def versions() -> dict[str, str]:
    """The Python and package versions that a run depends on; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def peak_memory_mb() -> float:
    """The largest resident size of this process so far, in MB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def cpu_seconds() -> float:
    """User and system CPU time of this process so far."""
    times = os.times()
    return times.user + times.system


def duration(seconds: float) -> str:
    """`7.3 s`, `2 min 05 s`, `1 h 03 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
