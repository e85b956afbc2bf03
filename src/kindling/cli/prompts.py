"""`kindling prompts`: look at, try out, check and compare the templates of a task pack."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindling.cli import options

if TYPE_CHECKING:
    from kindling.prompts.taskpack import TaskPack

app = typer.Typer(help="Look at, try out, check and compare prompt templates.", no_args_is_help=True)

Task = Annotated[
    str | None,
    typer.Option("--task", help="The task pack.", show_default="project.task of kindling.toml, or greetings"),
]
RoleName = Annotated[str, typer.Argument(help="A role, as kindling prompts list names it.")]
FileName = Annotated[str, typer.Argument(help="A role, or a list of rules: principles, tactics.")]


def _pack(task: str | None, config: Path | None) -> "TaskPack":
    from kindling.config import load_config
    from kindling.prompts.taskpack import load_pack

    loaded = load_config(config)
    name = task or loaded.project.task
    return load_pack(name, loaded.prompts_dir / name)


@app.command(name="list")
def list_(task: Task = None, config: options.ConfigFile = None, json: options.Json = False) -> None:
    """List the roles: the hash of each template with all it includes, and which of these files you have changed.

    [bold]Example[/bold]

    kindling prompts list
    """
    from kindling.cli import console

    pack = _pack(task, config)
    rows = []
    for role in pack.roles():
        prompt = pack.prompt(role)
        rows.append({"role": role, "hash": prompt.hash, "changed": pack.changed(role), "file": str(prompt.path)})
    if json:
        console.answer(rows)
    else:
        cells = [(row["role"], row["hash"], " ".join(row["changed"]), row["file"]) for row in rows]
        console.table(f"{pack.name}: {pack.settings.title}", ("role", "hash", "changed", "file"), cells)


@app.command()
def show(role: FileName, task: Task = None, config: options.ConfigFile = None) -> None:
    """Print the template of a role as it stands in its file, followed by what it includes; or a list of rules.

    [bold]Example[/bold]

    kindling prompts show judge
    """
    from kindling.prompts.rules import kind

    pack, name = _pack(task, config), f"{role}.j2"
    if kind(name):
        shown = [(pack.file(name), pack.copies(name)[1])]
    else:
        shown = [(source.path, source.text) for source in pack.analysis(role).files]
    for path, text in shown:
        typer.echo(f"==> {path} <==\n{text}")


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
    from kindling.errors import TemplateError
    from kindling.prompts.samples import sample

    pack = _pack(task, config)
    prompt = pack.prompt(role)
    values = sample(role, pack.settings.language)[0]
    if response is not None and "response" not in values:
        raise TemplateError(f"role {role} is given no response; leave --response out")
    values |= {name: text for name, text in (("query", query), ("response", response)) if text is not None}
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

    If all is well, say which principles the embedded judge understands, and by which of its checks.

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
            for line in _understood(pack):
                typer.echo(line)
    raise typer.Exit(1 if findings else 0)


def _understood(pack: "TaskPack") -> list[str]:
    """Say of each principle which checks of the embedded judge it calls upon; nothing for a pack without a lexicon."""
    from kindling.agents.embedded.cast import LEXICON, embedded_examiner
    from kindling.agents.embedded.debate import understood

    if not any((folder / LEXICON).is_file() for folder in pack.folders):
        return []
    lexicon = embedded_examiner(pack).lexicon
    found = {principle: understood(principle, lexicon) for principle in pack.principles()}
    return [
        f"{principle}\n  understood by the embedded judge: {'yes (' + ', '.join(keys) + ')' if keys else 'no'}"
        for principle, keys in found.items()
    ]


@app.command()
def diff(
    role: Annotated[
        str | None,
        typer.Argument(help="A role, or a list of rules: principles, tactics.", show_default="all templates"),
    ] = None,
    task: Task = None,
    config: options.ConfigFile = None,
) -> None:
    """Show how your templates differ from the shipped ones.

    [bold]Example[/bold]

    kindling prompts diff judge
    """
    import difflib

    pack = _pack(task, config)
    for name in pack.templates() if role is None else [f"{role}.j2"]:
        before, after = (text.splitlines() for text in pack.copies(name))
        for line in difflib.unified_diff(before, after, f"shipped/{name}", str(pack.file(name)), lineterm=""):
            typer.echo(line)
