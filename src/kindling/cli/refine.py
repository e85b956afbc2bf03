"""`kindling refine`: an adversarial game that sharpens the judge's principles on labelled cases."""

from pathlib import Path
from typing import Annotated

import typer

from kindling.cli import options


def refine(
    labelled: Annotated[
        Path, typer.Option(help="Cases with query, response and label: split into train, validation and test.")
    ],
    out: Annotated[Path, typer.Option(help="The run folder; must not be in use.")],
    queries: Annotated[
        Path | None,
        typer.Option(help="Queries to forge for: .txt, .jsonl, .csv or .parquet.", show_default="the task's samples"),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds to play.", min=1, max=1000)] = 5,
    batch: Annotated[int, typer.Option(help="Forgeries, and labelled cases, a round.", min=1, max=10_000)] = 24,
    patience: Annotated[int, typer.Option(help="Stop after so many rounds without an accepted proposal.", min=1)] = 3,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Whose principles: llm, embedded or debate.",
            show_default="llm where kindling.toml casts a judge, else embedded",
        ),
    ] = None,
    principles: Annotated[
        str | None,
        typer.Option(
            help="Start from this file, or from the pack's principles_NAME.j2.", show_default="the principles in use"
        ),
    ] = None,
    per_item: Annotated[
        bool, typer.Option("--per-item", help="A proposal for each lesson, as the paper has it.")
    ] = False,
    no_positive: Annotated[bool, typer.Option("--no-positive", help="Debate without the positive critic.")] = False,
    no_negative: Annotated[bool, typer.Option("--no-negative", help="Debate without the negative critic.")] = False,
    no_reflect: Annotated[bool, typer.Option("--no-reflect", help="Learn from forgeries alone.")] = False,
    no_gate: Annotated[bool, typer.Option("--no-gate", help="Accept every proposal unmeasured.")] = False,
    config: options.ConfigFile = None,
    max_calls: options.MaxCalls = None,
    max_cost: options.MaxCost = None,
    max_minutes: options.MaxMinutes = None,
    seed: options.Seed = 0,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    set_: options.Overrides = None,
    json: options.Json = False,
) -> None:
    """Sharpen the judge's principles in a game between a forger and the judge.

    Proposals are accepted only if they are better on validation cases, beyond noise and without harm; what they
    come to is measured once, on test cases. kindling prompts adopt RUN takes the outcome over.

    [bold]Examples[/bold]

    kindling refine --labelled cases.csv --out runs/refined --dry-run

    kindling refine --labelled cases.csv --out runs/refined --principles weak --rounds 8
    """
    from kindling.cli.refinement import Ablations, Request, carry_out
    from kindling.config import load_config
    from kindling.graphs.refinement import Settings

    given = options.overrides(
        set_, budget__max_calls=max_calls, budget__max_cost=max_cost, budget__max_minutes=max_minutes
    )
    settings = Settings(rounds, batch, patience, seed, per_item, reflect=not no_reflect, gate=not no_gate)
    without = Ablations(positive=no_positive, negative=no_negative)
    request = Request(labelled, queries, out, load_config(config, given), judge, principles, settings, without, resume)
    raise typer.Exit(carry_out(request, dry_run=dry_run, as_json=json))
