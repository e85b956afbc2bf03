"""A cleaned copy of a file: the same format and fields, without the rows whose defects are certain.

Only what `defects` calls certain goes; likely wrong labels, near copies and unmet requests are for people to decide.
What went is written beside the copy, row by row with the reasons, so that nothing is lost. Targets are checked before
anything is read at length, and each file appears whole or not at all.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kindling.errors import InputError
from kindling.eval.audit.dataset import Dataset
from kindling.eval.audit.defects import Hit
from kindling.tables import atomic_file, write_jsonl


@dataclass(frozen=True, slots=True)
class Repair:
    """What became of one file: `kept` of `of` rows stand in `out`; `why` counts the rows that went by reason.

    A row with two reasons counts for both, so `why` may add up to more than what went.
    """

    file: str
    out: str
    removed: str
    kept: int
    of: int
    why: dict[str, int]


def targets(paths: list[Path], out: Path) -> list[Path]:
    """Choose where the copies go: one to `out` itself, several into the folder `out`, made here, under their names.

    Raises `InputError` if a target or its list of removed rows exists, two have one name, or the format differs.
    """
    if len(paths) == 1:
        if out.suffix.lower() != paths[0].suffix.lower():
            raise InputError(f"{out}: a cleaned copy has the format of its file; name it with {paths[0].suffix}")
        chosen = [out]
    else:
        chosen = [out / path.name for path in paths]
    for target in chosen:
        if chosen.count(target) > 1:
            raise InputError(f"{target}: two of the files have this name; clean them one by one")
        for path in (target, _removed(target)):
            if path.exists():
                raise InputError(f"{path}: exists already; choose another place for the cleaned copy")
    folder = chosen[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror or error}") from error
    return chosen


def repair(data: Dataset, hits: Iterable[Hit], out: Path) -> Repair:
    """Write the cleaned copy of `data` to `out`, and the rows that went beside it."""
    why: dict[int, dict[str, None]] = {}
    for hit in hits:
        if hit.certain:
            why.setdefault(hit.row, {})[hit.check] = None
    kept = [at for at in range(len(data.rows)) if at + 1 not in why]
    gone = [{"row": number, "why": list(why[number]), "was": data.rows[number - 1]} for number in sorted(why)]
    _write_like(data, kept, out)
    write_jsonl(_removed(out), gone)
    counts = Counter(check for checks in why.values() for check in checks)
    return Repair(data.name, str(out), str(_removed(out)), len(kept), len(data.rows), dict(counts.most_common()))


def _removed(out: Path) -> Path:
    return out.with_name(f"{out.stem}.removed.jsonl")


def _write_like(data: Dataset, places: list[int], out: Path) -> None:
    """Write the rows at `places` (from 0) in the format of the file they come from."""
    rows = [data.rows[at] for at in places]
    if out.suffix.lower() == ".jsonl":
        write_jsonl(out, rows)
        return
    if out.suffix.lower() == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        # taken from the table and not from Python's values, so that every column keeps its type
        table = pq.read_table(data.path).take(pa.array(places, pa.int64()))
        with atomic_file(out) as file:
            pq.write_table(table, file)
        return
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(data.rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    with atomic_file(out) as file:
        file.write(text.getvalue().encode())
