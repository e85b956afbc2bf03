"""`kindling judge`: any file with queries and responses gets a verdict, a score and a reason."""

from pathlib import Path
from typing import Annotated

import typer

from kindling.cli import options


def judge(
    file: Annotated[Path, typer.Argument(help="Rows with query and response: .jsonl, .csv or .parquet.")],
    out: Annotated[Path, typer.Option(help="The file to write, .jsonl; must not exist.")],
    judge: options.JudgeName = "debate",
    config: options.ConfigFile = None,
    max_calls: options.MaxCalls = None,
    max_cost: options.MaxCost = None,
    max_minutes: options.MaxMinutes = None,
    seed: options.Seed = 0,
    dry_run: options.DryRun = False,
    set_: options.Overrides = None,
    json: options.Json = False,
) -> None:
    """Judge every row of a file: adds verdict (good, bad, unscored), score, reason, judge and template (the hash of
    its prompt); order and columns stay.

    Paid answers are kept beside the output, in OUT.ledger.sqlite: the same command after a stop pays for none twice.

    [bold]Examples[/bold]

    kindling judge responses.csv --out judged.jsonl --judge embedded

    kindling judge responses.jsonl --out judged.jsonl --judge llm --max-cost 2
    """
    from kindling.cli.judging import Request, carry_out
    from kindling.config import load_config

    given = options.overrides(
        set_, budget__max_calls=max_calls, budget__max_cost=max_cost, budget__max_minutes=max_minutes
    )
    request = Request(file, out, load_config(config, given), judge, seed)
    raise typer.Exit(carry_out(request, dry_run=dry_run, as_json=json))
