"""`kindling serve`: rewards over HTTP from any judge."""

from pathlib import Path
from typing import Annotated

import typer

from kindling.cli import options


def serve(
    judge: options.JudgeName = "debate",
    host: Annotated[str, typer.Option(help="The address to listen on; another than loopback needs --token-env.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = 8000,
    token_env: Annotated[str | None, typer.Option(help="The environment variable that holds the token.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="The judge's certificate; must fit and have passed.")] = None,
    uncertified: Annotated[bool, typer.Option("--uncertified", help="Serve without a certificate that holds.")] = False,
    ledger: Annotated[Path, typer.Option(help="Where paid answers are kept; made if a model is paid.")] = Path(
        "serve.ledger.sqlite"
    ),
    timeout: Annotated[float, typer.Option(help="Seconds until what has no verdict yet is unscored.", min=0.1)] = 150.0,
    max_items: Annotated[int, typer.Option(help="Items in one request, at most.", min=1)] = 4096,
    end: Annotated[
        list[str] | None, typer.Option(help="Another special token that may end OpenRLHF's texts; may be repeated.")
    ] = None,
    config: options.ConfigFile = None,
    max_calls: options.MaxCalls = None,
    max_cost: options.MaxCost = None,
    max_minutes: options.MaxMinutes = None,
    seed: options.Seed = 0,
    set_: options.Overrides = None,
    json: options.Json = False,
) -> None:
    """Serve a judge: POST /judge, POST /reward (OpenRLHF's protocol), GET /health. Ctrl-C finishes what is asked.

    [bold]Examples[/bold]

    kindling serve --judge embedded --uncertified

    kindling serve --judge llm --certificate cert.json --host 0.0.0.0 --token-env KINDLING_TOKEN --max-cost 20
    """
    from kindling.cli.serving import Request, carry_out
    from kindling.config import load_config
    from kindling.rl.serving.app import Limits

    given = options.overrides(
        set_, budget__max_calls=max_calls, budget__max_cost=max_cost, budget__max_minutes=max_minutes
    )
    limits = Limits(items=max_items, seconds=timeout)
    request = Request(
        judge, load_config(config, given), host, port, token_env, certificate, uncertified, ledger, limits,
        tuple(end or ()), seed,
    )  # fmt: skip
    raise typer.Exit(carry_out(request, as_json=json))
