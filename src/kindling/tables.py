"""Reading and writing data files: txt, jsonl, csv, parquet in; jsonl and parquet out, always atomically.

A reader returns plain dicts in file order and raises `InputError` in one line (which file, which row, how to mend it).
A writer writes beside its target and renames, so that a reader sees the old file or the new one, never half of one.
"""

import codecs
import csv
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from kindling.errors import InputError, RunFolderError

FORMATS = (".txt", ".jsonl", ".csv", ".parquet")


def read_rows(path: Path, needs: tuple[str, ...], text_column: str | None = None) -> list[dict[str, Any]]:
    """All rows of `path`, each with at least the columns `needs`.

    A .txt file has one value a line, under `text_column`; without that name it is refused. A column that is there may
    hold null. Raises `InputError` if the file is missing, empty, not UTF-8, malformed, of an unknown kind, or lacks a
    column.
    """
    try:
        there, folder = path.exists(), path.is_dir()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not there:
        raise InputError(f"{path}: no such file")
    if folder:
        raise InputError(f"{path}: is a folder; name a file ({', '.join(FORMATS)})")
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise InputError(f"{path}: unknown kind of file {kind!r}; kindling reads {', '.join(FORMATS)}")
    if kind == ".txt" and text_column is None:
        wanted = f" with {', '.join(needs)}" if needs else ""
        raise InputError(f"{path}: a .txt file has no columns; give a .jsonl, .csv or .parquet{wanted}")
    try:
        rows = _READERS[kind](path, text_column or "")
    except UnicodeDecodeError as error:
        likely = "UTF-16" if error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "GB18030"
        said = f"{path}: not UTF-8 (byte {error.start}); convert it, e.g. iconv -f {likely} -t UTF-8"
        raise InputError(said) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not rows:
        raise InputError(f"{path}: the file is empty: no rows")
    for number, row in enumerate(rows, 1):
        missing = [name for name in needs if name not in row]
        if missing:
            columns = ", ".join(sorted(str(name) for name in row)) or "none"
            raise InputError(f"{path}: row {number}: no column {missing[0]!r} (there: {columns})")
    return rows


def _read_txt(path: Path, column: str) -> list[dict[str, Any]]:
    # a file's lines end at \n, \r or \r\n; those of str.splitlines also at \u2028 and others that stand inside a text
    with path.open(encoding="utf-8-sig") as file:
        return [{column: line.rstrip("\n")} for line in file]


def _read_jsonl(path: Path, _: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InputError(f"{path}: line {number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}: line {number}: not a JSON object")
        rows.append(row)
    return rows


def _read_csv(path: Path, _: str) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            rows: list[dict[str, Any]] = list(csv.DictReader(file, strict=True))
        except csv.Error as error:
            raise InputError(f"{path}: not CSV: {error}") from error
    for number, row in enumerate(rows, 1):
        if None in row:
            raise InputError(f"{path}: row {number}: more fields than the header names; quote fields with commas")
    return rows


def _read_parquet(path: Path, _: str) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise InputError(f"{path}: not Parquet: {error}") from error
    return rows


_READERS = {".txt": _read_txt, ".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}


def check_new_file(path: Path, suffix: str) -> None:
    """Refuse an output that is no new `suffix` file in a folder that is there. Raises `InputError`."""
    if path.suffix != suffix:
        raise InputError(f"{path}: --out names a {suffix} file")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such folder")
    try:
        exists = path.exists()
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    if exists:
        raise InputError(f"{path}: exists already; choose another file")


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that becomes `path` when the block ends, and leaves nothing behind when it raises."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes 0600, but datasets are there to be shared
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk
            raise RunFolderError(f"{path}: cannot be written: {error.strerror or error}") from error
        raise


def sha256(path: Path) -> str:
    """The hash of a file's bytes, in hex. Raises `InputError` if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def write_json(path: Path, data: Any) -> None:
    """`data` as indented JSON."""
    with atomic_file(path) as file:
        file.write(orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """One JSON object a line; returns how many. Takes records and dicts alike, and any iterable."""
    count = 0
    with atomic_file(path) as file:
        for row in rows:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    """`rows` as Parquet; nested lists and dicts become Arrow lists and structs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_file(path) as file:
        pq.write_table(pa.Table.from_pylist(rows), file)
