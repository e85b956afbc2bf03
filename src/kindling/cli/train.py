"""`kindling train`: SFT, reward model and GRPO over TRL's trainers.

Each command checks everything that can be wrong before it makes its run folder, and `--dry-run` says what it would take
without torch being installed.
"""

from pathlib import Path
from typing import Annotated

import typer

from kindling.cli import options

app = typer.Typer(help="Train a model: SFT, a reward model, GRPO.", no_args_is_help=True, rich_markup_mode="rich")

Model = Annotated[
    str, typer.Option(help="What to train: a hub name, a folder, or embedded (a model of 2.3 M parameters, made here).")
]
Data = Annotated[Path, typer.Option(help="The data: a file, or a run folder of kindling curate.")]
Out = Annotated[Path, typer.Option(help="The run folder; must not be in use.")]
Base = Annotated[
    Path | None,
    typer.Option(
        help="With --model embedded: the folder of its base; trained there if it is not.", show_default="OUT/base"
    ),
]
Preset = Annotated[str, typer.Option(help="default, or paper: the hyperparameters of arXiv 2508.21476.")]
Lora = Annotated[
    bool | None,
    typer.Option("--lora/--full", help="Train adapters, or all weights.", show_default="adapters; embedded: all"),
]
Merge = Annotated[bool, typer.Option("--merge", help="Write the whole model, with the adapter merged into it.")]
Log = Annotated[str, typer.Option(help="Where metrics go besides metrics.jsonl: none, tensorboard, trackio, wandb.")]
Column = Annotated[str, typer.Option(help="The column that holds the query.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Set one value: train.NAME, or one of kindling.toml; may be repeated."),
]


@app.command()
def sft(
    data: Data,
    out: Out,
    model: Model = "embedded",
    base: Base = None,
    preset: Preset = "default",
    lora: Lora = None,
    merge: Merge = False,
    log: Log = "none",
    column: Column = "query",
    config: options.ConfigFile = None,
    seed: options.Seed = 0,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    set_: Overrides = None,
    json: options.Json = False,
) -> None:
    """Fine-tune on good responses.

    [bold]Examples[/bold]

    kindling train sft --data runs/first --out runs/sft

    kindling train sft --data sft.jsonl --model Qwen/Qwen2.5-7B-Instruct --out runs/sft --dry-run
    """
    from kindling.cli import training

    request, _ = training.request(
        "sft", model=model, source=data, out=out, base=base, preset=preset, lora=lora, merge=merge, log=log,
        column=column, config=config, seed=seed, resume=resume, overrides=set_,
    )  # fmt: skip
    raise typer.Exit(training.carry_out(request, dry_run=dry_run, as_json=json))


@app.command()
def rm(
    data: Data,
    out: Out,
    model: Model = "embedded",
    base: Base = None,
    preset: Preset = "default",
    lora: Lora = None,
    merge: Merge = False,
    log: Log = "none",
    column: Column = "query",
    config: options.ConfigFile = None,
    seed: options.Seed = 0,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    set_: Overrides = None,
    json: options.Json = False,
) -> None:
    """Train a reward model on pairs, and say how well it does on queries that it has not seen. It judges as rm:OUT.

    [bold]Examples[/bold]

    kindling train rm --data runs/first --model runs/sft/model --out runs/rm

    kindling train rm --data pairs.jsonl --out runs/rm --set train.swapped=1 --set train.max_gap=8
    """
    from kindling.cli import training

    request, _ = training.request(
        "rm", model=model, source=data, out=out, base=base, preset=preset, lora=lora, merge=merge, log=log,
        column=column, config=config, seed=seed, resume=resume, overrides=set_,
    )  # fmt: skip
    raise typer.Exit(training.carry_out(request, dry_run=dry_run, as_json=json))


@app.command()
def grpo(
    data: Data,
    out: Out,
    judge: Annotated[
        str | None,
        typer.Option(help="Who rewards: debate, llm, embedded, lexical:PATH, rm:PATH.", show_default="nobody"),
    ] = None,
    rm: Annotated[
        Path | None, typer.Option(help="A reward model of kindling train rm, with or without a judge.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="The judge's certificate, of kindling certify.")] = None,
    uncertified: Annotated[bool, typer.Option("--uncertified", help="Train although no certificate fits.")] = False,
    shadow: Annotated[
        str | None, typer.Option(help="A judge of another kind that watches, and says which checkpoint is best.")
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Good texts: what is normal in length and wording.", show_default="the task's")
    ] = None,
    canaries: Annotated[
        Path | None, typer.Option(help="Labelled cases that the judge is watched with.", show_default="the task's")
    ] = None,
    vllm: Annotated[
        str | None, typer.Option(help="Rollouts by vLLM: off, colocate or server.", show_default="off")
    ] = None,
    vllm_url: Annotated[
        str | None, typer.Option(help="Of the vLLM server.", show_default="http://127.0.0.1:8000")
    ] = None,
    model: Model = "embedded",
    base: Base = None,
    preset: Preset = "default",
    lora: Lora = None,
    merge: Merge = False,
    log: Log = "none",
    column: Column = "query",
    config: options.ConfigFile = None,
    max_calls: options.MaxCalls = None,
    max_cost: options.MaxCost = None,
    max_minutes: options.MaxMinutes = None,
    seed: options.Seed = 0,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="A.B=C", help="Set train.X, reward.X, firewall.X, vllm.X, or one of kindling.toml."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Improve a policy with the judge's verdicts as its reward, behind a firewall.

    [bold]Examples[/bold]

    kindling train grpo --data q.txt --model runs/sft/model --judge embedded --certificate cert.json --out runs/grpo

    kindling train grpo --data q.txt --model Qwen/Qwen2.5-7B-Instruct --judge llm --uncertified --preset paper
    --vllm colocate --out runs/paper --dry-run
    """
    from kindling.cli import reinforcement, training

    limits = options.overrides(
        set_, budget__max_calls=max_calls, budget__max_cost=max_cost, budget__max_minutes=max_minutes
    )
    request, taken = training.request(
        "grpo", model=model, source=data, out=out, base=base, preset=preset, lora=lora, merge=merge, log=log,
        column=column, config=config, seed=seed, resume=resume, overrides=limits, sections=reinforcement.SECTIONS,
    )  # fmt: skip
    rewarding = reinforcement.rewarding(
        taken, judge=judge, reward_model=rm, certificate=certificate, uncertified=uncertified, shadow=shadow,
        references=references, labelled=canaries, vllm=vllm, vllm_url=vllm_url,
    )  # fmt: skip
    raise typer.Exit(reinforcement.carry_out(request, rewarding, dry_run=dry_run, as_json=json))
