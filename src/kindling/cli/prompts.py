"""`kindling prompts`: look at, try out, check and compare the templates of a task pack."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindling.cli import options

if TYPE_CHECKING:
    from kindling.prompts.library import TaskPack

app = typer.Typer(help="Look at, try out, check and compare prompt templates.", no_args_is_help=True)

Task = Annotated[
    str | None,
    typer.Option("--task", help="The task pack.", show_default="project.task of kindling.toml, or greetings"),
]
RoleName = Annotated[str, typer.Argument(help="generator, positive, negative, judge or reflector.")]


def _pack(task: str | None, config: Path | None) -> "TaskPack":
    from kindling.config import load_config
    from kindling.prompts.library import load_pack

    loaded = load_config(config)
    name = task or loaded.project.task
    return load_pack(name, loaded.prompts_dir / name)


@app.command(name="list")
def list_(task: Task = None, config: options.ConfigFile = None, json: options.Json = False) -> None:
    """List the roles: which file is used, whether it is yours, and its hash.

    [bold]Example[/bold]

    kindling prompts list
    """
    from kindling.cli import console

    pack = _pack(task, config)
    rows = []
    for role in pack.roles():
        prompt = pack.prompt(role)
        whose = "shipped" if prompt.path.parent == pack.folders[-1] else "yours"
        rows.append({"role": role, "hash": prompt.hash, "whose": whose, "file": str(prompt.path)})
    if json:
        console.answer(rows)
    else:
        console.table(f"{pack.name}: {pack.settings.title}", tuple(rows[0]), [tuple(row.values()) for row in rows])


@app.command()
def show(role: RoleName, task: Task = None, config: options.ConfigFile = None) -> None:
    """Print the template of a role as it stands in its file, followed by what it includes.

    [bold]Example[/bold]

    kindling prompts show judge
    """
    from kindling.prompts.roles import role_spec

    role_spec(role)
    for source in _pack(task, config).family(f"{role}.j2"):
        typer.echo(f"==> {source.path} <==\n{source.text}")


@app.command()
def render(
    role: RoleName,
    query: Annotated[str | None, typer.Option(help="The request.", show_default="a sample")] = None,
    response: Annotated[str | None, typer.Option(help="The text under judgement.", show_default="a sample")] = None,
    task: Task = None,
    config: options.ConfigFile = None,
) -> None:
    """Print the messages that a model would get, with sample values for what is not given.

    [bold]Example[/bold]

    kindling prompts render judge --query "送给老师的话" --response "老师，您辛苦了。"
    """
    from kindling.agents.requests import measure, parse
    from kindling.prompts.samples import sample

    pack = _pack(task, config)
    prompt = pack.prompt(role)
    values = sample(role)[0]
    given = {"query": query, "response": response}
    values.update({name: value for name, value in given.items() if value is not None and name in values})
    brief = pack.settings.brief_chars
    if "facts" in values:
        values["facts"] = list(measure(values["query"], values["response"], brief))
    if "requests" in values:
        values["requests"] = [request.words for request in parse(values["query"], brief)]
    for message in prompt.render(**values):
        typer.echo(f"==> {message['role']} <==\n{message['content']}\n")


@app.command()
def check(task: Task = None, config: options.ConfigFile = None, json: options.Json = False) -> None:
    """Check every template; exit status 1 if anything is wrong, with file and line of each finding.

    [bold]Example[/bold]

    kindling prompts check
    """
    from kindling.cli import console
    from kindling.prompts.check import check_pack

    pack = _pack(task, config)
    findings = check_pack(pack)
    if json:
        console.answer([{"file": str(one.path), "line": one.line, "message": one.message} for one in findings])
    else:
        for one in findings:
            typer.echo(str(one))
        if not findings:
            typer.echo(f"{pack.name}: {len(pack.roles())} templates and {len(pack.principles())} principles, all well")
    raise typer.Exit(1 if findings else 0)


@app.command()
def diff(
    role: Annotated[str | None, typer.Argument(help="A role, or principles.", show_default="all templates")] = None,
    task: Task = None,
    config: options.ConfigFile = None,
) -> None:
    """Show how your templates differ from the shipped ones.

    [bold]Example[/bold]

    kindling prompts diff judge
    """
    import difflib

    from kindling.errors import TemplateError

    pack = _pack(task, config)
    *mine, shipped = pack.folders
    names = sorted(path.name for folder in mine for path in folder.glob("*.j2"))
    if role is not None:
        names = [f"{role}.j2"]
        if not any((folder / names[0]).is_file() for folder in pack.folders):
            raise TemplateError(f"no template {names[0]} in task pack {pack.name!r}")
    for name in names:
        sides = [path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
                 for path in (shipped / name, pack.file(name))]  # fmt: skip
        lines = difflib.unified_diff(*sides, fromfile=f"shipped/{name}", tofile=str(pack.file(name)))
        typer.echo("".join(lines), nl=False)
