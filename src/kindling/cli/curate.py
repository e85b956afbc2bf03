"""`kindling curate`: raw queries in, preference pairs out, every row accounted for.

Steps, in this order, so that bad input is found before anything is written: configuration, cast, queries; then the run
folder, the work, the datasets, the summary. Ctrl-C and budgets end the work early, and the datasets of what stands so
far are written all the same.
"""

from pathlib import Path
from typing import Annotated

import typer

from kindling.cli import options


def curate(
    queries: Annotated[Path, typer.Argument(help="Queries: .txt (one a line), .jsonl, .csv or .parquet.")],
    out: Annotated[Path, typer.Option(help="The run folder; must not be in use.")],
    config: options.ConfigFile = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="Where candidates come from: llm, embedded, file:PATH, policy:PATH.",
            show_default="llm where kindling.toml casts a generator, else embedded",
        ),
    ] = None,
    judge: options.JudgeName = "debate",
    candidates: Annotated[int | None, typer.Option(help="Candidates a query.", show_default="4", min=1)] = None,
    pairing: Annotated[
        str | None, typer.Option(help="closest_length, best_worst or all.", show_default="closest_length")
    ] = None,
    examples: Annotated[Path | None, typer.Option(help="Good examples: JSONL with query and response.")] = None,
    column: Annotated[str, typer.Option(help="The column that holds the query.")] = "query",
    limit: Annotated[int | None, typer.Option(help="Take the first N rows of the file.", min=1, max=2**63 - 1)] = None,
    accept: Annotated[int | None, typer.Option(help="Go on until N queries have a pair.", min=1)] = None,
    max_calls: options.MaxCalls = None,
    max_cost: options.MaxCost = None,
    max_minutes: options.MaxMinutes = None,
    seed: options.Seed = 0,
    resume: options.Resume = False,
    retry: options.Retry = False,
    dry_run: options.DryRun = False,
    set_: options.Overrides = None,
    json: options.Json = False,
) -> None:
    """Turn raw queries into preference pairs, SFT rows and records.

    [bold]Examples[/bold]

    kindling curate queries.txt --out runs/first

    kindling curate queries.csv --out runs/second --candidates 6 --judge debate --max-cost 5 --dry-run

    kindling curate queries.txt --out runs/first --resume --retry
    """
    from kindling.cli.curation import Request, carry_out
    from kindling.config import load_config

    given = options.overrides(
        set_,
        curate__candidates=candidates,
        curate__pairing=pairing,
        retriever__examples=examples and examples.resolve(),
        budget__max_calls=max_calls,
        budget__max_cost=max_cost,
        budget__max_minutes=max_minutes,
    )
    loaded = load_config(config, given)
    request = Request(queries, column, limit, out, loaded, source, judge, accept, seed, resume, retry)
    raise typer.Exit(carry_out(request, dry_run=dry_run, as_json=json))
