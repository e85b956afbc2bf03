"""The options that mean the same in every command, declared once."""

import json
from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="The configuration file.", show_default="kindling.toml here, if any")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Set one value of the configuration; may be repeated."),
]
# what numpy and scikit-learn take as a seed; repeats add small numbers to it
Seed = Annotated[int, typer.Option(help="The same seed gives the same bytes.", min=0, max=2**31 - 1)]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on standard output, for scripts.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out; start it if there is none.")]
Retry = Annotated[
    bool, typer.Option("--retry", help="With --resume: run the rows again that ended unscored or failed.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would run, how many calls and what cost; run nothing.")
]
JudgeName = Annotated[
    str,
    typer.Option(
        "--judge", help="Who judges: debate (the roles of kindling.toml), llm, embedded, lexical:PATH, rm:PATH."
    ),
]
MaxCalls = Annotated[int | None, typer.Option(help="Stop before the call after this many.", min=0)]
MaxCost = Annotated[float | None, typer.Option(help="Stop when the money spent and in flight reaches this.", min=0)]
MaxMinutes = Annotated[float | None, typer.Option(help="Stop after this long.", min=0)]


def overrides(given: list[str] | None, **flags: object) -> tuple[str, ...]:
    """`--set` values followed by the flags that have one there, as `section__name=value`; a flag wins."""
    named = [f"{name.replace('__', '.')}={_toml(value)}" for name, value in flags.items() if value is not None]
    return (*(given or ()), *named)


def _toml(value: object) -> str:
    # a JSON string is a TOML basic string too
    return str(value) if isinstance(value, int | float) else json.dumps(str(value), ensure_ascii=False)
