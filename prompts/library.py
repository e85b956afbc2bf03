"""The library: task packs, their templates and how they become messages.

A *task pack* is a folder of templates and data. Every file is looked for in the user's project folder first and among the
shipped ones second, file by file, includes too: whoever edits one template keeps the rest.

A role's template has two blocks. `system` is constant but for what it includes; `user` holds what varies, so that
endpoints can reuse the prefix. A template is checked when it is loaded (`kindling.prompts.check`), hashed together with
everything it includes, compiled once, and rendered with untrusted values wrapped in `Judged`.
"""

import hashlib
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import jinja2
import tomllib
from jinja2 import nodes
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kindling.errors import InputError, TemplateError, UsageError
from kindling.prompts.judged import Judged
from kindling.prompts.roles import PRINCIPLES, ROLES, RoleSpec, role_spec
from kindling.prompts.sandbox import MAX_SOURCE, Sandbox, bounded

BLOCKS = ("system", "user")
MAX_PRINCIPLES = 10
DATA = ("lexicon.toml", "grammar.toml", PRINCIPLES)  # what the embedded cast says depends on these
Message = dict[str, str]


class PackSettings(BaseModel):
    """pack.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str
    language: Literal["zh", "en"]
    brief_chars: int = Field(gt=0)


@dataclass(frozen=True, slots=True)
class Source:
    """One template file: its name in the pack, where it was found, its text and the names it includes or imports."""

    name: str
    path: Path
    text: str
    tree: nodes.Template
    uses: tuple[str, ...]


class TaskPack:
    """One task: `folders` are searched in order, the user's before the shipped one."""

    def __init__(self, name: str, folders: Sequence[Path]) -> None:
        self.name = name
        self.folders = tuple(folders)
        self.sandbox = Sandbox(jinja2.FunctionLoader(self._load))
        self._sources: dict[str, Source] = {}
        self._prompts: dict[str, Prompt] = {}

    def file(self, name: str) -> Path:
        """The pack's file `name`, the project's copy first. Raises `InputError` if there is none."""
        for folder in self.folders:
            if (folder / name).is_file():
                return folder / name
        raise InputError(f"task pack {self.name!r} has no {name} (looked in {', '.join(map(str, self.folders))})")

    @cached_property
    def settings(self) -> PackSettings:
        """pack.toml, checked."""
        path = self.file("pack.toml")
        try:
            return PackSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, ValidationError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: {str(error).splitlines()[0]}") from error

    def source(self, name: str) -> Source:
        """The template file `name`, read and parsed once. Raises `TemplateError` with file and line."""
        if name not in self._sources:
            self._sources[name] = self._read(name)
        return self._sources[name]

    def _load(self, name: str) -> tuple[str, str, None]:
        # the path makes Jinja's tracebacks name the file that the user edits
        source = self.source(name)
        return source.text, str(source.path), None

    def _read(self, name: str) -> Source:
        path = self.file(name)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise TemplateError(f"{path}:1: not UTF-8 (byte {error.start})") from error
        if len(text) > MAX_SOURCE:
            raise TemplateError(f"{path}:1: longer than {MAX_SOURCE} characters")
        try:
            tree = self.sandbox.parse(text)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"{path}:{error.lineno}: {error.message}") from error
        return Source(name, path, text, tree, tuple(_uses(tree, path)))

    def family(self, name: str) -> list[Source]:
        """The template `name` and everything it uses, however indirectly, each once, in order of first use."""
        found: dict[str, Source] = {}
        waiting = [name]
        while waiting:
            next_name = waiting.pop(0)
            if next_name not in found:
                found[next_name] = self.source(next_name)
                waiting += found[next_name].uses
        return list(found.values())

    def prompt(self, role: str) -> "Prompt":
        """The checked template of `role`. Raises `TemplateError` for the first thing wrong with it."""
        if role not in self._prompts:
            from kindling.prompts.check import check_role

            for finding in check_role(self, role):
                raise TemplateError(str(finding))
            self._prompts[role] = Prompt(self, role)
        return self._prompts[role]

    def roles(self) -> tuple[str, ...]:
        """The roles this pack has a template for."""
        return tuple(role for role in ROLES if any((folder / f"{role}.j2").is_file() for folder in self.folders))

    def principles(self) -> tuple[str, ...]:
        """The judge's principles, one each, without their numbering."""
        return tuple(text for _, text in numbered_principles(self.sandbox, self.source(PRINCIPLES)))

    def data_hash(self) -> str:
        """The hash of the data that the embedded cast works from."""
        return _hash((name, self.file(name).read_text(encoding="utf-8")) for name in DATA)


class Prompt:
    """A role's template, ready to render. `hash` covers everything it includes."""

    def __init__(self, pack: TaskPack, role: str) -> None:
        self.role = role
        self.spec: RoleSpec = role_spec(role)
        family = pack.family(f"{role}.j2")
        self.path = family[0].path
        self.hash = _hash((source.name, source.text) for source in sorted(family, key=lambda one: one.name))
        self._files = {str(source.path) for source in family}
        self._template = pack.sandbox.get_template(f"{role}.j2")

    def render(self, **variables: Any) -> list[Message]:
        """The system and the user message. Untrusted values are wrapped here; records become plain mappings.

        Raises `TemplateError` with file and line if a variable is missing or unknown, or rendering fails.
        """
        if variables.keys() != self.spec.variables:
            odd = sorted(variables.keys() ^ self.spec.variables)
            raise TemplateError(f"{self.path}:1: role {self.role} takes {sorted(self.spec.variables)}; check {odd}")
        given = {name: _wrap(value) if name in self.spec.untrusted else _plain(value) for name, value in variables.items()}
        messages = []
        for block in BLOCKS:
            context = self._template.new_context(given)
            try:
                content = bounded(self._template.blocks[block](context)).strip()
            except (jinja2.TemplateError, UsageError, TypeError, ValueError) as error:
                raise TemplateError(f"{self._where(error)}: {error}") from error
            if not content:
                raise TemplateError(f"{self.path}:1: block {block} renders nothing")
            messages.append({"role": block, "content": content})
        return messages

    def _where(self, error: BaseException) -> str:
        """File and line of the template where `error` rose, as Jinja writes them into the traceback."""
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if frame.filename in self._files:
                return f"{frame.filename}:{frame.lineno}"
        return f"{self.path}:1"


def load_pack(task: str, project: Path | None = None) -> TaskPack:
    """The task pack `task`; `project` is the folder of the user's copies, which need not exist.

    Raises `InputError` if there is no such pack, or its pack.toml cannot be used.
    """
    shipped = Path(str(files("kindling.prompts"))) / task
    known = sorted(path.parent.name for path in shipped.parent.glob("*/pack.toml"))
    folders = [folder for folder in (project, shipped) if folder is not None and folder.is_dir()]
    if not task.isidentifier() or not any((folder / "pack.toml").is_file() for folder in folders):
        raise InputError(f"no task pack {task!r}; there are {', '.join(known)}")
    pack = TaskPack(task, folders)
    _ = pack.settings
    return pack


def numbered_principles(sandbox: Sandbox, source: Source) -> list[tuple[int, str]]:
    """Line number and text of every principle. Comments and blank lines are none; a leading number is dropped."""
    text = "".join(_kept_lines(sandbox, source.text))
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        head, dot, rest = line.strip().partition(" ")
        numbering = dot and head.rstrip(".、)）").isdigit()
        principle = (rest if numbering else line).strip()
        if principle:
            found.append((number, principle))
    return found


def _kept_lines(sandbox: Sandbox, text: str) -> list[str]:
    """The tokens of a template without its comments, but with the line breaks inside them."""
    kept = []
    depth = False
    for _, kind, value in sandbox.lex(text):
        if kind == "comment_begin":
            depth = True
        kept.append("\n" * value.count("\n") if depth else value)
        if kind == "comment_end":
            depth = False
    return kept


def _uses(tree: nodes.Template, path: Path) -> list[str]:
    """The names that a template includes or imports; only constant ones, or its hash would mean nothing."""
    if any(tree.find_all(nodes.Extends)):
        raise TemplateError(f"{path}:1: extends is not supported; include what templates share")
    found = []
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport)):
        if not isinstance(node.template, nodes.Const) or not isinstance(node.template.value, str):
            raise TemplateError(f"{path}:{node.lineno}: include and import take one constant name")
        found.append(node.template.value)
    return found


def _wrap(value: Any) -> Any:
    if isinstance(value, str):
        return Judged(value)
    return [{name: Judged(text) for name, text in _record(one).items() if isinstance(text, str)} for one in value]


def _plain(value: Any) -> Any:
    return [one if isinstance(one, str) else _record(one) for one in value] if isinstance(value, list | tuple) else value


def _record(one: Any) -> Mapping[str, Any]:
    return asdict(one) if is_dataclass(one) and not isinstance(one, type) else one


def _hash(parts: Any) -> str:
    digest = hashlib.sha256()
    for name, text in parts:
        digest.update(f"{name}\x1f{text}\x1e".encode())
    return digest.hexdigest()[:16]
