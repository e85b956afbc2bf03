"""`kindling prompts adopt`: take the rules that a game came to over into the project folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindling.cli import options

if TYPE_CHECKING:
    from kindling.game import Standing


def adopt(
    run: Annotated[Path, typer.Argument(help="The run folder of kindling refine.")],
    only: Annotated[
        int | None, typer.Option("--only", metavar="K", help="This version.", show_default="the last", min=0)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: options.ConfigFile = None,
) -> None:
    """Show what a game changed, and take principles and tactics over into the project's prompts.

    What is replaced stays beside the new, as principles_previous.j2 and tactics_previous.j2.

    [bold]Examples[/bold]

    kindling prompts adopt runs/refined

    kindling prompts adopt runs/refined --only 1 --yes
    """
    from kindling.config import FILE, load_config
    from kindling.errors import ConfigError, InputError
    from kindling.prompts.rules import PRINCIPLES, TACTICS
    from kindling.prompts.taskpack import load_pack

    file = config or Path(FILE)
    if not file.is_file():
        raise ConfigError(f"no {file}: adopt writes into a project; make one with kindling init DIR, or name --config")
    loaded = load_config(config)
    task = loaded.project.task
    standing, made_for = _game(run)
    if made_for != task:
        raise InputError(f"{run}: a game for the task {made_for}, not {task}")
    version = _version(standing, only, run)
    folder = loaded.prompts_dir / task
    pack = load_pack(task, folder)
    changed: dict[str, str] = {}
    for name in (PRINCIPLES, TACTICS):
        new = (run / "versions" / str(version) / name).read_text(encoding="utf-8")
        before = pack.file(name).read_text(encoding="utf-8")
        pack.overlaid({name: new}).rules(name)  # a file that somebody edited is checked like any other
        if before != new:
            _show(before, new, str(pack.file(name)), f"{run}, version {version}")
            changed[name] = new
    if not changed:
        typer.echo("nothing to take over: the project has these principles and tactics already")
        return
    if not yes and not typer.confirm(f"Write {' and '.join(changed)} in {folder}?"):
        raise typer.Exit(1)
    for name, text in changed.items():
        _write(folder / name, text)
    typer.echo(f"wrote {' and '.join(changed)} in {folder}; certify the judge anew, on cases the game has not seen")


def _game(run: Path) -> tuple["Standing", str]:
    """The game in a run folder, and its task. Raises `InputError` if there is none."""
    import orjson

    from kindling.errors import InputError
    from kindling.game import Standing
    from kindling.records import load

    try:
        standing = load(Standing, orjson.loads((run / "standing.json").read_bytes()), str(run / "standing.json"))
        return standing, str(orjson.loads((run / "run.json").read_bytes())["settings"]["task"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{run}: not the run folder of a game; kindling refine makes one") from error


def _version(standing: "Standing", only: int | None, run: Path) -> int:
    """The version asked for. Raises `InputError` if there is no such one, or nothing but the first."""
    from kindling.cli.refined import versions
    from kindling.errors import InputError

    last = versions(standing)[-1].number
    if only is None and not last:
        raise InputError(f"{run}: no proposal was accepted, so there is nothing to take over")
    if only is not None and only > last:
        raise InputError(f"{run}: no version {only}; there are 0 to {last}")
    return last if only is None else only


def _show(before: str, after: str, old: str, new: str) -> None:
    import difflib

    from kindling.cli.console import plain

    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), old, new, lineterm=""):
        typer.echo(plain(line))


def _write(target: Path, text: str) -> None:
    """Write `target`, and keep what was there under a name of its own."""
    from kindling.tables import atomic_file

    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        with atomic_file(target.with_name(f"{target.stem}_previous.j2")) as kept:
            kept.write(target.read_bytes())
    with atomic_file(target) as file:
        file.write(text.encode())
