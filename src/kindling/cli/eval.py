"""`kindling eval`: models side by side on the same queries, with intervals, and what may be concluded from them.

With `--arms` the models are those of the paper's experiment, which are trained first.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from kindling.cli import options

ARMS_ONLY = ("model", "prompts", "draw", "steps")
NEVER_WITH_ARMS = (
    "compare", "certificate", "taught_by", "allow_reward_judge", "train", "group", "limit", "long", "tie",
    "temperature", "top_p", "max_new_tokens", "batch", "threads", "retry",
)  # fmt: skip


def evaluate(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]MODEL...",
            help="policy:PATH or a folder, a hub name, file:PATH, llm, endpoint:NAME/MODEL, embedded.",
            show_default=False,
        ),
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="Queries: .txt (one a line), .jsonl, .csv or .parquet.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; must not be in use.", show_default=False)] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(help="debate, llm, embedded, lexical:PATH, rm:PATH; may be repeated.", show_default="debate"),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Have the judge of kindling.toml compare texts in pairs too, in both orders."),
    ] = False,
    certificate: Annotated[
        list[Path] | None,
        typer.Option(help="A judge's certificate: its rates are corrected by it. May be repeated.", show_default=False),
    ] = None,
    taught_by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=JUDGE",
            help="Whose verdicts NAME learned from, where its run does not say. May be repeated.",
            show_default=False,
        ),
    ] = None,
    allow_reward_judge: Annotated[
        bool, typer.Option("--allow-reward-judge", help="Let a judge evaluate the models that it rewarded.")
    ] = False,
    train: Annotated[
        list[Path] | None,
        typer.Option(help="Training data to look for copies of: a file or a run. May be repeated.", show_default=False),
    ] = None,
    n: Annotated[int, typer.Option("--n", "-n", help="Texts a query.", min=1, max=64)] = 1,
    column: Annotated[str, typer.Option(help="The column that holds the query.")] = "query",
    group: Annotated[
        str | None,
        typer.Option(
            help="The column by which queries are told apart.", show_default="group or frequency, if there is one"
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Take the first N queries of the file.", min=1)] = None,
    long: Annotated[
        int | None,
        typer.Option(
            help="Characters above which a text is long.", show_default="those of nine in ten of the examples", min=1
        ),
    ] = None,
    tie: Annotated[float, typer.Option(help="Scores no more than this apart are a tie.", min=0, max=1)] = 0.1,
    temperature: Annotated[float, typer.Option(help="Of policies; 0 takes the likeliest token.", min=0)] = 1.0,
    top_p: Annotated[float, typer.Option(help="Of policies.", min=0.01, max=1)] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(help="Of policies: cut a text off after so many.", min=1)] = 96,
    batch: Annotated[int, typer.Option(help="Texts of a policy drawn together.", min=1)] = 64,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="torch decides", min=1)] = None,
    arms: Annotated[
        bool, typer.Option("--arms", help="Train the arms of the experiment, and evaluate them, in one run.")
    ] = False,
    model: Annotated[
        str, typer.Option(help="With --arms: what is trained; a hub name, a folder, or embedded.")
    ] = "embedded",
    prompts: Annotated[
        Path | None, typer.Option(help="With --arms: queries to train on.", show_default="drawn from the task's own")
    ] = None,
    draw: Annotated[int, typer.Option(help="With --arms: how many to draw.", min=8)] = 600,
    steps: Annotated[int, typer.Option(help="With --arms: of GRPO, each arm.", min=1)] = 40,
    config: options.ConfigFile = None,
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
    """Evaluate models on the same queries: rates with intervals, diversity, copies, and what may be concluded.

    [bold]Examples[/bold]

    kindling eval embedded texts.jsonl --queries queries.txt --judge embedded --out runs/eval

    kindling eval base=runs/sft/base sft=runs/sft grpo=runs/grpo --queries q.jsonl --judge lexical:judge.npz
    --certificate cert.json --train runs/first -n 2 --out runs/eval

    kindling eval llm endpoint:main/gpt-4o --queries q.csv --group frequency --judge llm --out runs/eval --dry-run

    kindling eval --arms --out runs/arms
    """
    from kindling.cli.evaluation import carry_out
    from kindling.cli.preparation import Request
    from kindling.config import load_config
    from kindling.errors import InputError

    given = options.overrides(
        set_, budget__max_calls=max_calls, budget__max_cost=max_cost, budget__max_minutes=max_minutes
    )
    _refuse(context, NEVER_WITH_ARMS if arms else ARMS_ONLY, "with --arms" if arms else "without --arms")
    if out is None:
        raise InputError("--out RUN is missing")
    if arms:
        from kindling.cli import experiment

        request = experiment.request(
            models=models, model=model, prompts=prompts, drawn=draw, queries=queries, out=out, config=config,
            overrides=given, judges=judge, steps=steps, samples=n, column=column, seed=seed, resume=resume,
        )  # fmt: skip
        raise typer.Exit(experiment.carry_out(request, dry_run=dry_run, as_json=json))
    if queries is None:
        raise InputError("--queries FILE is missing")
    evaluation = Request(
        models=tuple(models or ()),
        queries=queries,
        out=out,
        config=load_config(config, given),
        judges=tuple(dict.fromkeys(judge or ["debate"])),
        certificates=tuple(certificate or ()),
        taught_by=tuple(taught_by or ()),
        allow_reward_judge=allow_reward_judge,
        training=tuple(train or ()),
        samples=n,
        column=column,
        group=group,
        limit=limit,
        long=long,
        band=tie,
        sampling={"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens},
        batch=batch,
        threads=threads,
        seed=seed,
        compare=compare,
        resume=resume,
        retry=retry,
    )
    raise typer.Exit(carry_out(evaluation, dry_run=dry_run, as_json=json))


def _refuse(context: typer.Context, names: Sequence[str], where: str) -> None:
    """Refuse options that would do nothing. Raises `ConfigError` for the first that was given."""
    from kindling.errors import ConfigError

    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ConfigError(f"--{name.replace('_', '-')} means nothing {where}; leave it out")
