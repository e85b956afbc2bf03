"""`kindling report`: one HTML page about a run, to be opened, sent and printed; `write` is the same for other commands.

A report may be written again at any time, since everything in it comes from the run; a file that is no report is never
written over.
"""

from pathlib import Path
from typing import Annotated

import typer

from kindling.cli import options

NAME = "report.html"
_HEAD = 4096  # bytes in which a report says that it is one


def report(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run folder, a folder of several, or the JSON of a certificate, an audit or a scorecard."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file.", show_default="report.html in the folder, FILE.html for a file")
    ] = None,
    json: options.Json = False,
) -> None:
    """Write one self-contained HTML page about a run: what happened, every debate, curves, figures, how to repeat it.

    [bold]Examples[/bold]

    kindling report runs/first

    kindling report certificate.json --out judge.html

    kindling audit pairs.jsonl --json > audit.json && kindling report audit.json
    """
    from kindling.cli import console

    written = write(run, out)
    if json:
        console.answer({"report": str(written), "bytes": written.stat().st_size})
    else:
        console.out.print(f"report of {console.plain(str(run))} → {console.plain(str(written))}")


def write(run: Path, out: Path | None = None) -> Path:
    """Write the report about the folder or file `run` to `out`, and say where it is.

    Without `out` it is report.html in the folder, or beside a file under its name. Raises `UsageError` in one line if
    there is nothing to report or `out` is no place for it; nothing is written then.
    """
    from kindling.eval.report.reading import report as page
    from kindling.tables import atomic_file

    target = out or (run / NAME if run.is_dir() else run.with_suffix(".html"))
    made = page(run)
    _check(target)
    with atomic_file(target) as file:
        file.write(made.encode())
    return target


def _check(target: Path) -> None:
    """See that `target` is a new .html file, or an earlier report. Raises `InputError`."""
    from kindling.errors import InputError
    from kindling.eval.report.rendering import MARK

    if target.suffix != ".html":
        raise InputError(f"{target}: --out names a .html file")
    if not target.parent.is_dir():
        raise InputError(f"{target.parent}: no such folder")
    try:
        if not target.exists():
            return
        with target.open("rb") as file:
            is_report = MARK.encode() in file.read(_HEAD)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    if not is_report:
        raise InputError(f"{target}: is there already and is no report of kindling; choose another file")
