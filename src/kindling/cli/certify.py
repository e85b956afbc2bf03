"""`kindling certify`: what a judge agrees with, what fools it, and whether that is good enough to train on."""

from pathlib import Path
from typing import Annotated

import typer

from kindling.cli import options


def certify(
    out: Annotated[Path, typer.Option(help="The certificate to write, .json; must not exist.")],
    labelled: Annotated[
        Path | None,
        typer.Option(
            help="Cases with query, response and label (0/1, good/bad, true/false): .jsonl, .csv or .parquet.",
            show_default="the task's golden set",
        ),
    ] = None,
    judge: Annotated[
        str,
        typer.Option(
            help="Who judges: debate, llm, embedded, lexical:PATH, rm:PATH,"
            " or lexical (refitted on folds of these cases)."
        ),
    ] = "debate",
    hard_negatives: Annotated[
        Path | None,
        typer.Option(help="Flawed texts that fooled a judge (query, response): one more family of attacks."),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Another judge's certificate, on the same cases: one more column. May be repeated."),
    ] = None,
    config: options.ConfigFile = None,
    attack_cases: Annotated[
        int | None, typer.Option(help="Cases that each attack is tried on.", show_default="20", min=1)
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Verdicts on each repeated case.", show_default="3", min=1)
    ] = None,
    max_calls: options.MaxCalls = None,
    max_cost: options.MaxCost = None,
    max_minutes: options.MaxMinutes = None,
    seed: options.Seed = 0,
    dry_run: options.DryRun = False,
    set_: options.Overrides = None,
    json: options.Json = False,
) -> None:
    """Measure a judge on labelled cases; exit status 1 if it fails.

    Limits come from the section certify of kindling.toml. Paid answers are kept beside the certificate, in
    OUT.ledger.sqlite: the same command after a stop pays for none twice.

    [bold]Examples[/bold]

    kindling certify --judge embedded --out cert.json

    kindling certify --labelled cases.csv --judge llm --out cert.json --dry-run

    kindling certify --judge embedded --hard-negatives runs/game/hard_negatives.jsonl --out cert.json

    kindling certify --labelled cases.csv --judge rm:runs/rm --beside lexical.json --out rm.json
    """
    from kindling.cli.certification import Request, carry_out
    from kindling.config import load_config

    given = options.overrides(
        set_,
        certify__attack_cases=attack_cases,
        certify__repeats=repeats,
        budget__max_calls=max_calls,
        budget__max_cost=max_cost,
        budget__max_minutes=max_minutes,
    )
    request = Request(labelled, out, load_config(config, given), judge, seed, hard_negatives, tuple(beside or ()))
    raise typer.Exit(carry_out(request, dry_run=dry_run, as_json=json))
