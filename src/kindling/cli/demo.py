"""`kindling demo`: the shipped sample queries through the whole of `curate`, offline, in seconds."""

from pathlib import Path
from typing import Annotated

import typer

from kindling.cli import options


def demo(
    out: Annotated[Path | None, typer.Option(help="The folder to make.", show_default="runs/demo-DATE-TIME")] = None,
    task: Annotated[str, typer.Option(help="The task pack whose sample queries are curated.")] = "greetings",
    seed: options.Seed = 7,
) -> None:
    """Curate the shipped sample queries with the embedded cast: no network, no key.

    [bold]Example[/bold]

    kindling demo --out runs/demo
    """
    import shutil
    from datetime import datetime

    from kindling.cli.console import note
    from kindling.cli.curation import Request, carry_out
    from kindling.config import Config, Project
    from kindling.errors import RunFolderError
    from kindling.prompts.library import load_pack

    folder = out or Path("runs") / f"demo-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    if folder.exists():
        raise RunFolderError(f"{folder}: exists already; choose another folder with --out")
    config = Config(project=Project(task=task))
    queries = folder / "queries.txt"
    shipped = load_pack(task).file("queries.txt")
    note(f"kindling demo: curating {shipped.name} of the task pack '{task}' with the embedded cast\n")
    run = folder / "curate"
    folder.mkdir(parents=True)
    shutil.copyfile(shipped, queries)
    status = carry_out(Request(queries, "query", None, run, config, "embedded", "debate", None, seed))
    note(f"\nRead {run}/README.md. Your own: one query a line in a file, then  kindling curate FILE --out runs/mine")
    raise typer.Exit(status)
