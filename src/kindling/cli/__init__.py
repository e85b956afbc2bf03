"""The command line: the only place where all rooms meet.

A file a command group. Each declares its options with typer and imports what it needs inside the function that runs, so
that `kindling --help` stays fast. `main` turns every error that the user can mend into one line and exit status 2.
"""

import os
import sys

import typer

from kindling import __version__
from kindling.cli.adopt import adopt
from kindling.cli.audit import audit
from kindling.cli.certify import certify
from kindling.cli.curate import curate
from kindling.cli.demo import demo
from kindling.cli.eval import evaluate
from kindling.cli.export import export
from kindling.cli.fit_judge import fit_judge
from kindling.cli.generate import generate
from kindling.cli.init import init
from kindling.cli.judge import judge
from kindling.cli.label import label
from kindling.cli.prompts import app as prompts
from kindling.cli.refine import refine
from kindling.cli.report import report
from kindling.cli.serve import serve
from kindling.cli.train import app as train
from kindling.errors import KindlingError, UsageError

app = typer.Typer(
    name="kindling",
    help="Teach small language models to write well, with AI feedback whose numbers can be believed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(demo)
app.command()(init)
prompts.command()(adopt)
app.add_typer(prompts, name="prompts")
app.command()(curate)
app.command()(judge)
app.command()(serve)
app.command()(export)
app.command("eval")(evaluate)
app.command()(fit_judge)
app.command()(generate)
app.add_typer(train, name="train")
app.command()(refine)
app.command()(label)
app.command()(audit)
app.command()(certify)
app.command()(report)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kindling {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """The `kindling` command. Exit status: 0 done, 1 the answer is no, 2 bad input, 3 out of budget, 130 Ctrl-C."""
    try:
        app()
    except UsageError as error:
        _fail(error, 2)
    except KindlingError as error:
        _fail(error, 1)
    except BrokenPipeError:
        # the reader went away (`| head`); keep the interpreter from complaining about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _fail(error: Exception, status: int) -> None:
    # a message may quote a file or an endpoint: one line, and nothing that commands a terminal
    printable = (char if char.isprintable() else " " for char in str(error))
    sys.stderr.write(f"kindling: {' '.join(''.join(printable).split())}\n")
    sys.exit(status)
