"""`kindling export`: data, reward and launch line for other trainers."""

from pathlib import Path
from typing import Annotated

import typer

from kindling.cli import options


def export(
    source: Annotated[Path, typer.Argument(help="A run folder of kindling curate, or a file of pairs, SFT, queries.")],
    to: Annotated[str, typer.Option(help="For which trainer: verl, openrlhf, llamafactory.")],
    out: Annotated[Path, typer.Option(help="The folder to make; must not be in use.")],
    judge_url: Annotated[str, typer.Option(help="Where kindling serve listens.")] = "http://127.0.0.1:8000",
    model: Annotated[str, typer.Option(help="The model that the launch line names.")] = "Qwen/Qwen2.5-7B-Instruct",
    column: Annotated[str, typer.Option(help="The column that holds the query.")] = "query",
    val_share: Annotated[
        float, typer.Option(help="Share of the queries to validate with (verl).", min=0.0, max=0.5)
    ] = 0.05,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Write the files that another trainer reads, a reward that asks our judge, and a README with the exact commands.

    [bold]Examples[/bold]

    kindling export runs/first --to verl --out exports/verl

    kindling export queries.txt --to openrlhf --out exports/openrlhf --judge-url http://127.0.0.1:9000
    """
    from kindling.cli.exporting import Request, carry_out

    request = Request(source, to, out, judge_url, model, column, val_share, seed)
    raise typer.Exit(carry_out(request, as_json=json))
