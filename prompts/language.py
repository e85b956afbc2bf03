# ruff: noqa: N802  # the names of visitors are Jinja's
"""The language of prompts: the part of Jinja that they may use, and where judged text may go in it.

    {% block system %} constant {% endblock %}   {% block user %} what varies, last {% endblock %}
    {{ text | fence("label") }}   {{ fact.asked }}   {% if %}   {% for %}   {% set x = … %}   {% include "file.j2" %}

Everything else is a finding: syntax is an allow-list of node types. There are no calls, macros, imports, slices, loops
in loops or includes in loops; so rendering is bounded by the data, an include is the only way from file to file, and
the hash of the files found here is the hash of everything that a prompt can say.

Each expression's visitor returns the untrusted variable that its value may hold, or None. Such a value may be fenced,
counted, asked whether it is empty, and looped over. Printing, comparing or filtering it is a finding with its line, and
so is doing anything with a fence but print it: what can be cut can be cut open. Branches are not told apart, so a
template may be refused that is harmless, never the reverse. An included file sees the role's variables only.

The system block may use no variable: what users wrote never reaches the system message, and endpoints can keep it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from jinja2 import nodes
from jinja2.visitor import NodeVisitor

from kindling.errors import InputError
from kindling.prompts import rules
from kindling.prompts.fence import check_label
from kindling.prompts.roles import RoleSpec
from kindling.prompts.sandbox import FILTERS, TESTS, Sandbox
from kindling.prompts.sources import Defect, Finding, Source

BLOCKS = ("system", "user")
MAX_INCLUDES = 50
MAX_NUMBER = 1_000_000
COUNTING = ("count", "length")
PASSING = ("default", "first", "last")  # filters that hand their value on as it is
LOOP_FIELDS = ("first", "index", "index0", "last", "length", "revindex", "revindex0")

Origin = str | None
"""The untrusted variable that a value may hold."""
Scope = dict[str, Origin]


@dataclass
class Analysis:
    """The files that a role's template consists of, and what is wrong with them, in order of path and line."""

    files: list[Source] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def analyse(source: Source, spec: RoleSpec, sandbox: Sandbox) -> Analysis:
    """Analyse the template of a role with everything it includes. Raises nothing but `OSError`."""
    walk = _Walk(spec, sandbox)
    walk.role(source)
    return Analysis(walk.files, sorted(set(walk.findings)))


class _Walk(NodeVisitor):
    """One walk over a role's template. Visitors of expressions return an `Origin`."""

    def __init__(self, spec: RoleSpec, sandbox: Sandbox) -> None:
        self.files: list[Source] = []
        self.findings: list[Finding] = []
        self._spec = spec
        self._sandbox = sandbox
        self._used: set[str] = set()
        self._named: set[str] = set()
        self._open: tuple[Source, ...] = ()  # the file at hand is the last, after those that include it
        self._includes = 0
        self._constant = False
        self._in_loop = False

    # ---- files and blocks

    def role(self, source: Source) -> None:
        """Walk a role's template: the two blocks, and what its author must not forget."""
        before = len(self.findings)
        blocks = self._read(source, self._blocks)
        if len(self.findings) > before and not blocks:
            return  # unreadable: it would be no help to list what is not in it
        for name in BLOCKS:
            if name not in blocks:
                self._find(source, 1, f"no block {name!r}: a role's template has the blocks {' and '.join(BLOCKS)}")
        for name in sorted(self._spec.required - self._used):
            self._find(source, 1, f"variable {name!r} is never used, but this role cannot do without it")
        for name in sorted(self._spec.includes - self._named):
            self._find(source, 1, f'does not include {name}: write {{% include "{name}" %}}')

    def _read(self, source: Source, walk: Callable[[nodes.Template], list[str]]) -> list[str]:
        """Parse `source` and walk its top level."""
        if source not in self.files:
            self.files.append(source)
        self._open += (source,)
        try:
            return walk(self._sandbox.tree(source))
        except Defect as defect:
            self.findings.append(defect.finding)
        except RecursionError:
            self._find(source, 1, "nested too deeply")
        finally:
            self._open = self._open[:-1]
        return []

    def _blocks(self, tree: nodes.Template) -> list[str]:
        """Walk the blocks; nothing beside them is ever sent."""
        names = []
        for node in tree.body:
            if isinstance(node, nodes.Block) and node.name in BLOCKS:
                names.append(node.name)
                self._constant = node.name == "system"
                self._body(node.body, self._variables())
            elif isinstance(node, nodes.Block):
                self._report(node.lineno, f"block {node.name!r} is never sent; only {' and '.join(BLOCKS)} are")
            elif line := _first_line(node):
                self._report(line, "outside the blocks, so it is never sent")
        return names

    def _variables(self) -> Scope:
        return {name: name if name in self._spec.untrusted else None for name in self._spec.names}

    def visit_Include(self, node: nodes.Include, scope: Scope) -> None:
        """Walk the included file, where it stands."""
        name = node.template.value if isinstance(node.template, nodes.Const) else None
        names = [source.name for source in self._open]
        self._includes += 1
        if not isinstance(name, str) or node.ignore_missing:
            self._report(node.lineno, 'include takes one literal name: {% include "file.j2" %}')
        elif name in names:
            circle = " → ".join([*names[names.index(name) :], name])
            self._report(node.lineno, f"a file cannot include itself: {circle}")
        elif self._in_loop:
            self._report(node.lineno, "include inside a loop: write it out, or include outside")
        elif self._includes > MAX_INCLUDES:
            self._report(node.lineno, f"more than {MAX_INCLUDES} includes in one prompt")
        else:
            self._named.add(name)
            self._included(name, node)

    def _included(self, name: str, node: nodes.Include) -> None:
        try:
            source = self._sandbox.sources.source(name)
        except Defect as defect:
            self.findings.append(defect.finding)
        except InputError as error:
            self._report(node.lineno, str(error))
        else:
            scope = self._variables() if node.with_context else {}
            self._read(source, lambda tree: self._part(source, tree, scope))

    def _part(self, source: Source, tree: nodes.Template, scope: Scope) -> list[str]:
        if what := rules.kind(source.name):
            for line, message in rules.faults(tree, what):
                self._report(line, message)
        else:
            self._body(tree.body, scope)
        return []

    # ---- statements

    def _body(self, body: Iterable[nodes.Node], scope: Scope) -> None:
        for node in body:
            self.visit(node, scope)

    def generic_visit(self, node: nodes.Node, scope: Scope) -> None:
        """Refuse what has no visitor of its own."""
        name = _NAMES.get(type(node), type(node).__name__.lower())
        self._report(node.lineno, f"{name} is not part of the language of prompts")

    def visit_TemplateData(self, node: nodes.TemplateData, scope: Scope) -> None:
        """Plain text."""

    def visit_Output(self, node: nodes.Output, scope: Scope) -> None:
        """What is printed."""
        for child in node.nodes:
            self._printed(child, scope)

    def _printed(self, node: nodes.Node, scope: Scope) -> None:
        """Only here may a fence stand: at the end of what is printed, or of either branch of a condition."""
        if isinstance(node, nodes.CondExpr):
            self.visit(node.test, scope)
            for branch in (node.expr1, node.expr2):
                if branch is not None:
                    self._printed(branch, scope)
        elif isinstance(node, nodes.Filter) and node.name == "fence" and node.node:
            self.visit(node.node, scope)
            self._label(node)
        else:
            self._trusted(node, scope, 'is printed without the fence filter: write {{ … | fence("label") }}')

    def _label(self, node: nodes.Filter) -> None:
        label = node.args[0].value if len(node.args) == 1 and isinstance(node.args[0], nodes.Const) else None
        if not isinstance(label, str) or node.kwargs or node.dyn_args or node.dyn_kwargs:
            self._report(node.lineno, 'fence takes one literal label: fence("label")')
            return
        try:
            check_label(label)
        except ValueError as error:
            self._report(node.lineno, str(error))

    def visit_If(self, node: nodes.If, scope: Scope) -> None:
        """Whether a judged value is empty may be asked."""
        self.visit(node.test, scope)
        self._body([*node.body, *node.elif_, *node.else_], scope)

    def visit_For(self, node: nodes.For, scope: Scope) -> None:
        """The items of a judged list are judged."""
        if self._in_loop or node.recursive:
            self._report(node.lineno, "a loop inside a loop is not part of the language of prompts")
        origin = self.visit(node.iter, scope)
        inner = {**scope, **dict.fromkeys(_targets(node.target), origin)}
        outer, self._in_loop = self._in_loop, True
        if node.test:
            self.visit(node.test, inner)
        self._body(node.body, inner)
        self._in_loop = outer
        self._body(node.else_, dict(scope))

    def visit_Assign(self, node: nodes.Assign, scope: Scope) -> None:
        """A name is judged from its first judged value on."""
        if isinstance(node.target, nodes.NSRef):
            self._report(node.lineno, "a namespace is not part of the language of prompts")
        origin = self.visit(node.node, scope)
        for target in _targets(node.target):
            scope[target] = origin or scope.get(target)

    # ---- expressions

    def visit_Const(self, node: nodes.Const, scope: Scope) -> Origin:
        """A literal."""
        if isinstance(node.value, int | float) and not abs(node.value) < MAX_NUMBER:
            self._report(node.lineno, f"a number in a template is smaller than {MAX_NUMBER:,}")
        return None

    def visit_Name(self, node: nodes.Name, scope: Scope) -> Origin:
        """A name must be known, and the system block must not use a variable of the role."""
        if node.name not in scope:
            given = ", ".join(self._spec.names)
            self._report(node.lineno, f"variable {node.name!r} is not given to this role (given: {given})")
        elif node.name in self._spec.names:
            self._used.add(node.name)
            if self._constant:
                self._report(
                    node.lineno, f"the system block is the same for every case: use {node.name!r} in block user"
                )
        return scope.get(node.name)

    def visit_Getattr(self, node: nodes.Getattr, scope: Scope) -> Origin:
        """A field of a judged record is judged; `loop` has a few of its own."""
        if isinstance(node.node, nodes.Name) and node.node.name == "loop" and self._in_loop:
            if node.attr not in LOOP_FIELDS:
                self._report(node.lineno, f"loop.{node.attr} is not one of loop.{', loop.'.join(LOOP_FIELDS)}")
            return None
        if node.attr.startswith("_"):
            self._report(node.lineno, f"{node.attr!r} is private")
        return self._origin(node.node, scope)

    def visit_Getitem(self, node: nodes.Getitem, scope: Scope) -> Origin:
        """An item of a judged value is judged."""
        self._trusted(node.arg, scope, "is used as a key")
        return self._origin(node.node, scope)

    def visit_Filter(self, node: nodes.Filter, scope: Scope) -> Origin:
        """Filters that count, or hand on what they are given, take judged text; others do not."""
        arguments = [*node.args, *(pair.value for pair in node.kwargs)]
        held = [self._origin(part, scope) for part in (node.node, *arguments) if part is not None]
        origin = next(filter(None, held), None)
        if node.dyn_args or node.dyn_kwargs:
            self._report(node.lineno, "* and ** are not part of the language of prompts")
        if node.name not in FILTERS:
            self._report(node.lineno, f"unknown filter {node.name!r}; there are {', '.join(sorted(FILTERS))}")
        elif node.name == "fence":
            self._report(node.lineno, "a fence is printed as it is: nothing may come between it and }}")
        elif origin and node.name not in (*COUNTING, *PASSING):
            self._report(node.lineno, f"filter {node.name!r} would open judged text ({origin!r}); only fence may")
        return origin if node.name in PASSING else None

    def visit_Test(self, node: nodes.Test, scope: Scope) -> Origin:
        """Tests are few, and none looks into a text."""
        self.visit(node.node, scope)
        for argument in node.args:
            self._trusted(argument, scope, "is compared")
        if node.kwargs or node.dyn_args or node.dyn_kwargs or node.name not in TESTS:
            self._report(node.lineno, f"unknown test {node.name!r}; there are {', '.join(sorted(TESTS))}")
        return None

    def visit_CondExpr(self, node: nodes.CondExpr, scope: Scope) -> Origin:
        """Either branch may be the value."""
        self.visit(node.test, scope)
        held = [self._origin(branch, scope) for branch in (node.expr1, node.expr2) if branch is not None]
        return next(filter(None, held), None)

    def visit_And(self, node: nodes.And | nodes.Or, scope: Scope) -> Origin:
        """`and` and `or` give one of their operands."""
        left, right = self._origin(node.left, scope), self._origin(node.right, scope)
        return left or right

    visit_Or = visit_And  # noqa: N815

    def visit_Not(self, node: nodes.Not, scope: Scope) -> Origin:
        """Whether a judged value is empty may be asked."""
        self.visit(node.node, scope)
        return None

    def visit_Compare(self, node: nodes.Compare, scope: Scope) -> Origin:
        """Comparing would tell something of the text."""
        for operand in (node.expr, *(one.expr for one in node.ops)):
            self._trusted(operand, scope, "is compared")
        return None

    def visit_Add(self, node: nodes.Add | nodes.Sub, scope: Scope) -> Origin:
        """Arithmetic is for numbers."""
        for side in (node.left, node.right):
            self._trusted(side, scope, "is added")
        return None

    visit_Sub = visit_Add  # noqa: N815

    def visit_Tuple(self, node: nodes.Tuple | nodes.List, scope: Scope) -> Origin:
        """Lists are of literals, so that none can hold another twice."""
        for item in node.items:
            if not isinstance(item, nodes.Const):
                self._report(item.lineno, "a list may hold literals only")
        return None

    visit_List = visit_Tuple  # noqa: N815

    def _origin(self, node: nodes.Node, scope: Scope) -> Origin:
        origin: Origin = self.visit(node, scope)
        return origin

    def _trusted(self, node: nodes.Node, scope: Scope, use: str) -> None:
        """Report judged text at a place that must not have it."""
        if origin := self._origin(node, scope):
            self._report(node.lineno, f"judged text ({origin!r}) {use}")

    def _report(self, line: int, message: str) -> None:
        self._find(self._open[-1], line, message)

    def _find(self, source: Source, line: int, message: str) -> None:
        self.findings.append(Finding(source.path, line, message))


_NAMES: dict[type[nodes.Node], str] = {
    nodes.AssignBlock: "{% set %} … {% endset %}",
    nodes.CallBlock: "{% call %}",
    nodes.Concat: "'~'",
    nodes.FilterBlock: "{% filter %}",
    nodes.FromImport: "{% from … import %}",
    nodes.Mul: "'*'",
    nodes.Pow: "'**'",
    nodes.Mod: "'%'",
    nodes.Div: "'/'",
    nodes.FloorDiv: "'//'",
    nodes.ScopedEvalContextModifier: "{% autoescape %}",
}


def _targets(node: nodes.Node) -> list[str]:
    return [name.name for name in ([node] if isinstance(node, nodes.Name) else node.find_all(nodes.Name))]


def _first_line(node: nodes.Node) -> int | None:
    """The line of the first thing in `node` that is no white space; None if there is none."""
    for part in node.nodes if isinstance(node, nodes.Output) else [node]:
        if not isinstance(part, nodes.TemplateData):
            return part.lineno
        if text := part.data.strip():
            return part.lineno + part.data[: part.data.index(text)].count("\n")
    return None
