"""What is wrong with a template, each finding with file and line; the same check runs whenever a prompt is loaded.

    syntax, unknown filter or test       what Jinja says, at the line that it says
    missing variable                     one that the role is not given, or one that the role must use and does not
    judged text without the fence        followed statically through loops, assignments, attributes and operators
    missing block, missing include       `system`, `user`; judge and reflector include the principles
    principles                           none, more than ten, or the same one twice

The static rule refuses what it cannot follow (a judged text as an argument of a macro): the sandbox would stop it while
rendering, but a run should not start on it. Rendering with sample values comes last and finds what only shows in action.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2
from jinja2 import meta, nodes

from kindling.errors import TemplateError, UsageError
from kindling.prompts.library import BLOCKS, MAX_PRINCIPLES, Prompt, Source, TaskPack, numbered_principles
from kindling.prompts.roles import PRINCIPLES, RoleSpec, role_spec
from kindling.prompts.samples import sample

SAFE_FILTERS = ("fence", "length", "count")


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect: where, and what to mend."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def check_pack(pack: TaskPack) -> list[Finding]:
    """Everything wrong with the templates of `pack`, each once."""
    found = [finding for role in pack.roles() for finding in check_role(pack, role)]
    return list(dict.fromkeys(found))


def check_role(pack: TaskPack, role: str) -> list[Finding]:
    """Everything wrong with the template of `role` and what it includes, in file order; rendering only if all else is well."""
    spec = role_spec(role)
    try:
        family = pack.family(f"{role}.j2")
    except TemplateError as error:
        return [_finding_of(error)]
    found = [finding for source in family for finding in _check_source(pack, source, spec)]
    found += _check_whole(family, spec)
    found += [finding for source in family if source.name == PRINCIPLES for finding in _check_principles(pack, source)]
    if not found:
        try:
            for example in sample(role):
                Prompt(pack, role).render(**example)
        except UsageError as error:
            found.append(_finding_of(error))
    return found


def _finding_of(error: UsageError) -> Finding:
    path, line, message = str(error).split(":", 2)
    return Finding(Path(path), int(line), message.strip())


def _check_source(pack: TaskPack, source: Source, spec: RoleSpec) -> Iterator[Finding]:
    try:
        pack.sandbox.compile(source.text)
    except jinja2.TemplateSyntaxError as error:  # an unknown filter or test is one too
        yield Finding(source.path, error.lineno, str(error.message))
        return
    unknown = meta.find_undeclared_variables(source.tree) - spec.variables
    for node in source.tree.find_all(nodes.Name):
        if node.name in unknown and node.ctx == "load":
            given = ", ".join(sorted(spec.variables))
            yield Finding(source.path, node.lineno, f"variable {node.name!r} is not given to this role (given: {given})")
    for line in _unfenced(source.tree.body, spec.untrusted):
        yield Finding(source.path, line, "judged text without the fence filter: write {{ text | fence('label') }}")


def _check_whole(family: list[Source], spec: RoleSpec) -> Iterator[Finding]:
    """What the template and its includes must have between them."""
    first = family[0]
    blocks = {block.name for block in first.tree.find_all(nodes.Block)}
    used = set().union(*(meta.find_undeclared_variables(source.tree) for source in family))
    for name in BLOCKS:
        if name not in blocks:
            yield Finding(first.path, 1, f"no block {name!r}: a role's template has the blocks {' and '.join(BLOCKS)}")
    for name in sorted(spec.required - used):
        yield Finding(first.path, 1, f"variable {name!r} is never used, but this role cannot do without it")
    for name in sorted(spec.includes - {source.name for source in family}):
        yield Finding(first.path, 1, f'does not include {name}: write {{% include "{name}" %}}')


def _check_principles(pack: TaskPack, source: Source) -> Iterator[Finding]:
    principles = numbered_principles(pack.sandbox, source)
    if not principles:
        yield Finding(source.path, 1, "no principles: write one a line")
    for line, _ in principles[MAX_PRINCIPLES:]:
        yield Finding(source.path, line, f"more than {MAX_PRINCIPLES} principles: drop or merge one")
    seen: dict[str, int] = {}
    for line, text in principles:
        if text in seen:
            yield Finding(source.path, line, f"the same principle as in line {seen[text]}")
        seen.setdefault(text, line)


def _unfenced(body: list[nodes.Node], tainted: frozenset[str]) -> Iterator[int]:
    """Lines that print judged text without the fence. `tainted` names hold judged text, or records of it."""
    for node in body:
        if isinstance(node, nodes.Output):
            yield from (part.lineno for part in node.nodes if _is_tainted(part, tainted))
        elif isinstance(node, nodes.Assign):
            if _is_tainted(node.node, tainted):
                tainted |= _names(node.target)
        elif isinstance(node, nodes.AssignBlock):
            yield from _unfenced(node.body, tainted)
        elif isinstance(node, nodes.For):
            inner = tainted | _names(node.target) if _is_tainted(node.iter, tainted) else tainted
            yield from _unfenced([*node.body, *node.else_], inner)
        elif isinstance(node, nodes.If):
            yield from _unfenced([*node.body, *node.elif_, *node.else_], tainted)
        elif isinstance(node, nodes.With):
            values = zip(node.targets, node.values, strict=True)
            inner = tainted.union(*(_names(target) for target, value in values if _is_tainted(value, tainted)))
            yield from _unfenced(node.body, inner)
        elif isinstance(node, (nodes.FilterBlock, nodes.CallBlock, nodes.Macro, nodes.Block, nodes.Scope)):
            yield from _unfenced(node.body, tainted)


def _is_tainted(node: nodes.Node, tainted: frozenset[str]) -> bool:
    """Whether the value of an expression may be judged text, or hold some."""
    if isinstance(node, nodes.Name):
        return node.name in tainted
    if isinstance(node, nodes.Filter) and node.name in SAFE_FILTERS:
        return False
    if isinstance(node, (nodes.Test, nodes.Compare, nodes.Not)):
        return False  # true or false says nothing about the text
    if isinstance(node, nodes.CondExpr):
        return any(_is_tainted(part, tainted) for part in (node.expr1, node.expr2) if part is not None)
    return any(_is_tainted(child, tainted) for child in node.iter_child_nodes())


def _names(target: nodes.Node) -> frozenset[str]:
    names = {node.name for node in target.find_all(nodes.Name)}
    return frozenset(names | {target.name} if isinstance(target, nodes.Name) else names)
