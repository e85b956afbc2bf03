"""Task packs: their templates, and how these become messages.

A *task pack* is a folder of templates and data. Every file is looked for in the user's project folder first and among
the shipped ones second, file by file, includes too: whoever edits one template keeps the rest.

A role's template has two blocks. `system` is constant but for what it includes, and rendered once; `user` holds what
varies, so that endpoints can reuse the prefix. A template is analysed when it is loaded (`kindling.prompts.language`),
hashed together with everything it includes, compiled once, tried on sample values, and rendered with untrusted values
wrapped in `Judged`.

`overlaid` gives the same pack with some templates replaced in memory, for the judge of other principles: its prompts,
hashes and findings are those that the same texts in files would have.
"""

import hashlib
import json
import tomllib
import traceback
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kindling.errors import InputError
from kindling.prompts import rules
from kindling.prompts.fence import on_own_lines
from kindling.prompts.language import Analysis, analyse
from kindling.prompts.roles import ROLES, role_spec
from kindling.prompts.rules import PRINCIPLES
from kindling.prompts.samples import sample
from kindling.prompts.sandbox import Sandbox, bounded
from kindling.prompts.sources import Defect, Finding, Sources, read

# what the embedded cast says depends on these; a pack may lack learned weights (judge.toml)
DATA = ("lexicon.toml", "grammar.toml", "judge.toml", PRINCIPLES)
Message = dict[str, str]


class PackSettings(BaseModel):
    """pack.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str
    language: Literal["zh", "en"]
    brief_chars: int = Field(gt=0)


class TaskPack:
    """One task: `folders` are searched in order; `shipped` is the last, or None for a pack of the user's own."""

    def __init__(
        self, name: str, folders: tuple[Path, ...], shipped: Path | None, sources: Sources | None = None
    ) -> None:
        self.name = name
        self.folders = folders
        self.shipped = shipped
        self._sources = sources or Sources(name, folders)
        self.sandbox = Sandbox(self._sources)
        self._analyses: dict[str, Analysis] = {}
        self._prompts: dict[str, Prompt] = {}

    def overlaid(self, files: Mapping[str, str]) -> "TaskPack":
        """The same pack with the templates `files`, name to text, in place of those of the same name, or added.

        A finding in one of them names it without a folder. Raises `ValueError` for a name that no template can have.
        """
        return TaskPack(self.name, self.folders, self.shipped, self._sources.overlaid(files))

    def file(self, name: str) -> Path:
        """The pack's file `name` on disk, the project's copy first. Raises `InputError` if there is none."""
        return self._sources.file(name)

    @cached_property
    def settings(self) -> PackSettings:
        """pack.toml, checked."""
        path = self.file("pack.toml")
        try:
            return PackSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"{path}: {error}") from error

    def roles(self) -> tuple[str, ...]:
        """The roles this pack has a template for."""
        return tuple(role for role in ROLES if self._sources.has(f"{role}.j2"))

    def templates(self) -> tuple[str, ...]:
        """The names of all template files."""
        there = {path.name for folder in self.folders for path in folder.glob("*.j2")}
        return tuple(sorted(there | self._sources.given.keys()))

    def copies(self, name: str) -> tuple[str, str]:
        """The text of template `name` as shipped (none: empty) and as used. Raises `InputError`, `TemplateError`."""
        shipped = self.shipped / name if self.shipped else None
        return read(shipped) if shipped and shipped.is_file() else "", self._sources.source(name).text

    def changed(self, role: str) -> list[str]:
        """The names of the files of `role` that differ from the shipped ones."""
        copies = {source.name: self.copies(source.name) for source in self.analysis(role).files}
        return sorted(name for name, (shipped, used) in copies.items() if shipped != used)

    def analysis(self, role: str) -> Analysis:
        """The files that the template of `role` consists of, and what is wrong with them.

        Raises `InputError` if there is no such template, `TemplateError` for an unknown role.
        """
        if role not in self._analyses:
            spec = role_spec(role)
            try:
                source = self._sources.source(f"{role}.j2")
            except Defect as defect:
                self._analyses[role] = Analysis(findings=[defect.finding])
            else:
                self._analyses[role] = analyse(source, spec, self.sandbox)
        return self._analyses[role]

    def prompt(self, role: str) -> "Prompt":
        """The checked template of `role`. Raises `TemplateError` for the first thing wrong with it."""
        if role not in self._prompts:
            self._prompts[role] = Prompt(self, role)
        return self._prompts[role]

    def prompt_under(self, role: str, name: str, given: tuple[str, ...]) -> "Prompt":
        """The prompt of `role` with the rules `given` in the file `name`; the last few are kept.

        Raises `InputError` for rules that are not plain, `TemplateError` for the first thing wrong with the template.
        """
        return _prompt_under(self, role, name, given)

    def principles(self) -> tuple[str, ...]:
        """The judge's principles; see `rules`."""
        return self.rules(PRINCIPLES)

    def rules(self, name: str) -> tuple[str, ...]:
        """The rules in the file `name` ("tactics.j2"), one each, without their numbering.

        Raises `InputError` if there is no such file, `TemplateError` for the first thing wrong with it.
        """
        for finding in self.rules_findings(name):
            raise Defect(finding.path, finding.line, finding.message)
        return tuple(text for _, text in rules.numbered(self.sandbox.tree(self._sources.source(name))))

    def rules_findings(self, name: str) -> list[Finding]:
        """Everything wrong with the file of rules `name`. Raises `InputError` if there is no such file."""
        try:
            source = self._sources.source(name)
            found = rules.faults(self.sandbox.tree(source), rules.kind(name) or "rules")
            return [Finding(source.path, line, message) for line, message in found]
        except Defect as defect:
            return [defect.finding]

    def data_hash(self) -> str:
        """The hash of the data that the embedded cast works from."""
        there = (name for name in DATA if name != "judge.toml" or self._sources.has(name))
        return _hash((name, self._data(name)) for name in there)

    def _data(self, name: str) -> str:
        given = self._sources.given.get(name)
        return self.file(name).read_text(encoding="utf-8") if given is None else given


class Prompt:
    """A role's template, ready to render. `hash` covers everything it includes."""

    def __init__(self, pack: TaskPack, role: str) -> None:
        analysis = pack.analysis(role)
        for finding in analysis.findings:
            raise Defect(finding.path, finding.line, finding.message)
        self.role = role
        self.spec = role_spec(role)
        self.path = analysis.files[0].path
        self.hash = _hash(sorted((source.name, source.text) for source in analysis.files))
        self._template = pack.sandbox.compiled(analysis.files[0])
        self._system = self._block("system", {})
        for values in sample(role, pack.settings.language):
            self.render(**values)

    def render(self, **variables: Any) -> list[Message]:
        """The system and the user message. Untrusted values are wrapped here; records are mappings or dataclasses.

        Raises `TypeError` unless `variables` are the declared ones, `Unscored` if an untrusted one is too long for a
        prompt, and `TemplateError` with file and line if the template fails on them.
        """
        user = self._block("user", self.spec.bind(variables))
        return [{"role": "system", "content": self._system}, {"role": "user", "content": user}]

    def _block(self, name: str, values: Mapping[str, Any]) -> str:
        context = self._template.new_context(dict(values))
        try:
            content = on_own_lines(bounded(self._template.blocks[name](context)).strip())
        except Exception as error:  # whatever a template does wrong is for its author to mend
            raise self._defect(error) from error
        if not content:
            raise Defect(self.path, 1, f"block {name!r} renders nothing")
        return content

    def _defect(self, error: Exception) -> Defect:
        """`error` with the innermost template line it passed through; Jinja knows which line its code came from."""
        path, line = self.path, 1
        for frame, number in traceback.walk_tb(error.__traceback__):
            if template := frame.f_globals.get("__jinja_template__"):
                path, line = Path(template.filename), template.get_corresponding_lineno(number)
        return Defect(path, line, f"{error}" or type(error).__name__)


@lru_cache(maxsize=16)
def _prompt_under(pack: TaskPack, role: str, name: str, given: tuple[str, ...]) -> Prompt:
    return pack.overlaid({name: rules.text_of(given)}).prompt(role)


def load_pack(task: str, project: Path | None = None) -> TaskPack:
    """The task pack `task`; `project` is the folder of the user's copies, which need not exist.

    Raises `InputError` if there is no such pack, or its pack.toml cannot be used.
    """
    here = Path(str(files("kindling.prompts")))
    packs = {path.parent.name: path.parent for path in sorted(here.glob("*/pack.toml"))}
    shipped = packs.get(task)
    folders = tuple(folder for folder in (project, shipped) if folder is not None and folder.is_dir())
    if not any((folder / "pack.toml").is_file() for folder in folders):
        raise InputError(f"no task pack {task!r}; there are {', '.join(packs)}")
    pack = TaskPack(task, folders, shipped)
    _ = pack.settings
    return pack


def _hash(parts: Iterable[tuple[str, str]]) -> str:
    """Sixteen hex digits; JSON keeps one file's end from passing for the next one's beginning."""
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()[:16]
