"""`kindling audit`: what explains the labels of data and what does not belong in it, gravest first, by file."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kindling.errors import InputError
from kindling.eval.report.blocks import Block, Chapter, Figure, Finding, Folded, Notice, Section, Table, Tag, Tone
from kindling.eval.report.words import many, number

TONES: dict[str, Tone] = {"severe": "alarm", "warning": "bad", "note": "none"}
ROWS = 30


def read(path: Path, data: dict[str, Any]) -> Chapter:
    """The chapter of an audit's JSON. Raises `InputError` if it is damaged."""
    try:
        return _chapter(path, data)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: an audit that cannot be read, of another version or damaged: {error!r}") from error


def _chapter(path: Path, data: dict[str, Any]) -> Chapter:
    files, findings = data["files"], data["findings"]
    if not files:
        raise InputError(f"{path}: an audit of no file")
    grave = Counter(one["severity"] for one in findings)
    rows = sum(one["rows"] for one in files)
    words = ", ".join(f"{grave[severity]} {severity}" for severity in TONES)
    figures = (
        Figure(f"{rows:,}", "rows audited", many(len(files), "file")),
        Figure(
            f"{grave['severe']}",
            "severe",
            "labels or evaluations that mean nothing",
            "alarm" if grave["severe"] else "",
        ),
        Figure(f"{grave['warning']}", "warnings", "to be looked at"),
        Figure(f"{grave['note']}", "notes", "facts without alarm"),
    )
    notice = None
    if grave["severe"]:
        notice = Notice(
            "Not fit for use as it is",
            tuple(f"{Path(one['file']).name}: {one['summary']}" for one in findings if one["severity"] == "severe"),
        )
    return Chapter(
        kind="audit",
        title=Path(files[0]["file"]).name if len(files) == 1 else f"Audit of {len(files)} files",
        status=Tag("severe findings", "alarm") if grave["severe"] else Tag("nothing severe", "good"),
        lead=f"{many(len(findings), 'finding')} in {many(len(files), 'file')}: {words}.",
        facts=(),
        figures=figures,
        sections=(*_files(files, findings), *_fixed(data.get("fixed") or [])),
        notice=notice,
    )


def _files(files: list[dict[str, Any]], findings: list[dict[str, Any]]) -> Iterator[Section]:
    for place, file in enumerate(files, 1):
        here = [one for one in findings if one["file"] == file["file"]]
        loud = tuple(_finding(one) for one in here if one["severity"] != "note")
        quiet = tuple(_finding(one) for one in here if one["severity"] == "note")
        heading = Table(("file", "kind", "rows"), ((file["file"], file["kind"], file["rows"]),))
        blocks: tuple[Block, ...] = (heading, *loud)
        if quiet:
            blocks = (*blocks, Folded(f"{many(len(quiet), 'note')}: what was checked and gave no alarm", quiet))
        yield Section(f"file-{place}", Path(file["file"]).name, blocks)


def _finding(one: dict[str, Any]) -> Finding:
    rows = one["rows"]
    shown = ", ".join(map(str, rows[:ROWS]))
    return Finding(
        Tag(one["severity"], TONES.get(one["severity"], "")),
        one["check"].replace("_", " ") + (f", beside {Path(one['other']).name}" if one.get("other") else ""),
        one["summary"] + (f" ({number(one['count'])} of {number(one['of'])})" if rows else ""),
        tuple(one["examples"]),
        f"Rows {shown}{f' and {len(rows) - ROWS:,} more' if len(rows) > ROWS else ''}." if rows else "",
    )


def _fixed(fixed: list[dict[str, Any]]) -> Iterator[Section]:
    if fixed:
        rows = tuple(
            (
                one["out"],
                one["kept"],
                one["of"],
                ", ".join(f"{why} {count:,}" for why, count in one["why"].items()) or "nothing",
            )
            for one in fixed
        )
        yield Section("fixed", "What was cleaned", (Table(("file", "kept", "of", "gone"), rows),))
