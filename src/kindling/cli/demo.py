"""`kindling demo`: what kindling does, on a machine without network, key or GPU.

The short demo curates the shipped sample queries in seconds. With `--train` it goes round the whole loop (`demo_loop`):
a tiny policy learns from curated texts and then from a judge, in minutes.
"""

from pathlib import Path
from typing import Annotated

import typer

from kindling.cli import options


def demo(
    out: Annotated[Path | None, typer.Option(help="The folder to make.", show_default="runs/demo-DATE-TIME")] = None,
    task: Annotated[str, typer.Option(help="The task pack whose sample queries are curated.")] = "greetings",
    train: Annotated[
        bool, typer.Option("--train", help="Go on: train a small policy, with pip install 'kindling\\[train]'.")
    ] = False,
    seed: options.Seed = 7,
) -> None:
    """Curate the shipped sample queries with the embedded cast, or go round the whole loop: no network, no key.

    [bold]Examples[/bold]

    kindling demo --out runs/demo

    kindling demo --train --out runs/loop
    """
    from datetime import datetime

    from kindling.errors import RunFolderError

    folder = out or Path("runs") / f"demo-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    if folder.exists():
        raise RunFolderError(f"{folder}: exists already; choose another folder with --out")
    if train:
        from kindling.cli.demo_loop import go_round

        raise typer.Exit(go_round(folder, task, seed))
    raise typer.Exit(_curate(folder, task, seed))


def _curate(folder: Path, task: str, seed: int) -> int:
    """The short demo; returns the exit status."""
    import shutil

    from kindling.cli.console import note
    from kindling.cli.curation import Request, carry_out
    from kindling.cli.report import write
    from kindling.config import Config, Project
    from kindling.prompts.taskpack import load_pack

    config = Config(project=Project(task=task))
    queries = folder / "queries.txt"
    shipped = load_pack(task).file("queries.txt")
    note(f"kindling demo: curating {shipped.name} of the task pack '{task}' with the embedded cast\n")
    run = folder / "curate"
    folder.mkdir(parents=True)
    shutil.copyfile(shipped, queries)
    status = carry_out(Request(queries, "query", None, run, config, "embedded", "debate", None, seed))
    if status == 0:
        note(f"\nOpen {write(folder)} in a browser: every row, every debate, every number.")
    note("Your own: one query a line in a file, then  kindling curate FILE --out runs/mine")
    return status
