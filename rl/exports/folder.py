"""An export as a folder: files and a README, written whole or not at all."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

from kindling.errors import RunFolderError
from kindling.rl.exports.parts import Parts
from kindling.tables import atomic_file

Writer = Callable[[Path], object]
"""Writes one file at a path."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the commands are to say: the model, where the judge is served, the share of queries to validate with."""

    model: str
    judge_url: str
    share: float
    seed: int


@dataclass(frozen=True, slots=True)
class Step:
    """One command: what it does, and the command itself, a shell line each."""

    title: str
    command: Sequence[str]

    def __str__(self) -> str:
        """The step as Markdown."""
        command = " \\\n    ".join(self.command)  # a backslash at the end of each line but the last
        return f"## {self.title}\n\n{indent(command, '    ')}\n"


@dataclass(frozen=True, slots=True)
class Export:
    """Everything that goes into the folder: `files` by name, `steps` in order, `notes` that belong beside them.

    `rows` says how many rows each data file has.
    """

    system: str
    files: Mapping[str, Writer]
    rows: Mapping[str, int]
    steps: Sequence[Step]
    notes: str


def batch(rows: int, most: int) -> int:
    """The largest power of two that is neither above `most` nor above `rows`.

    Trainers drop a last batch that is not full: one larger than the data would be none at all.
    """
    return 1 << (min(rows, most).bit_length() - 1)


def serve_step(wishes: Wishes) -> Step:
    """How the judge is served for what follows."""
    port = wishes.judge_url.rpartition(":")[2].strip("/")
    where = f" --port {port}" if port.isdigit() and port != "8000" else ""
    return Step(
        "Serve the judge", (f"kindling serve --judge llm --certificate cert.json{where}    # leave it running",)
    )


def write(out: Path, export: Export, parts: Parts, wishes: Wishes) -> None:
    """Make the folder `out`. Raises `RunFolderError` if it holds anything, or cannot be written."""
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunFolderError(f"{out}: already used; choose another folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp"))
    except OSError as error:
        raise RunFolderError(f"{out}: cannot be written: {error.strerror or error}") from error
    try:
        for name, writer in export.files.items():
            writer(scratch / name)
        with atomic_file(scratch / "README.md") as file:
            file.write(readme(export, parts, wishes).encode())
        scratch.chmod(0o755)
        scratch.replace(out)  # over an empty folder too
    except BaseException as error:
        shutil.rmtree(scratch, ignore_errors=True)
        if isinstance(error, OSError):
            raise RunFolderError(f"{out}: cannot be written: {error.strerror or error}") from error
        raise


def readme(export: Export, parts: Parts, wishes: Wishes) -> str:
    """What lies here, where it comes from, and the commands in order."""
    files = [f"| {name} | {export.rows.get(name, '')} |" for name in export.files]
    sources = [
        f"- {one['file']}: {one['rows']} rows, SHA-256 `{one['sha256']}`"
        + "".join(f"; left out: {count} ({why})" for why, count in one["left_out"].items())
        for one in parts.sources
    ]
    return "\n".join(
        [
            f"# For {export.system}", "",
            "Written by `kindling export`. Run the commands in this folder. Batch sizes and the number of GPUs are",
            f"a start for one GPU; the model is `{wishes.model}`.", "",
            "| file | rows |", "|---|---|", *files, "",
            *map(str, export.steps),
            "## To know", "", dedent(export.notes).strip(), "",
            "## Where the data come from", "", *sources, "",
        ]
    )  # fmt: skip
