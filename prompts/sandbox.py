"""The sandbox that templates run in: nothing but text in, text out.

An immutable Jinja sandbox with strict undefined names, no globals, an allow-list of filters and tests, and `finalize`
as the last gate: whatever a template prints passes it, and a judged text that was not fenced stops there, however it got
there. Sizes are bounded: of a template's source, and of what it renders while it renders.
"""

from collections.abc import Iterable
from typing import Any

from jinja2 import StrictUndefined
from jinja2.loaders import BaseLoader
from jinja2.sandbox import ImmutableSandboxedEnvironment

from kindling.errors import TemplateError
from kindling.prompts.judged import Judged, fence

MAX_SOURCE = 64 * 1024
MAX_RENDERED = 256 * 1024
FILTERS = ("capitalize", "count", "default", "first", "indent", "int", "join", "last", "length", "lower", "replace", "round",
           "title", "trim", "upper")  # fmt: skip
TESTS = ("defined", "divisibleby", "eq", "equalto", "even", "false", "ge", "gt", "in", "le", "lower", "lt", "mapping", "ne",
         "none", "number", "odd", "sequence", "string", "true", "undefined", "upper")  # fmt: skip


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one task pack."""

    intercepted_binops = frozenset(("**", "*"))  # either can make a string of any size from a short one

    def __init__(self, loader: BaseLoader) -> None:
        super().__init__(
            loader=loader,
            undefined=StrictUndefined,
            finalize=_refuse_judged,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
            auto_reload=False,
        )
        self.globals.clear()
        self.filters = {name: self.filters[name] for name in FILTERS} | {"fence": fence}
        self.tests = {name: self.tests[name] for name in TESTS}

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Numbers only: repeating text is no business of a prompt."""
        if not all(isinstance(side, int | float) and abs(side) < 1e6 for side in (left, right)):
            raise TemplateError(f"operator {operator} takes small numbers only")
        return super().call_binop(context, operator, left, right)


def bounded(parts: Iterable[str]) -> str:
    """The parts together. Raises `TemplateError` as soon as they pass the limit."""
    kept, size = [], 0
    for part in parts:
        size += len(part)
        if size > MAX_RENDERED:
            raise TemplateError(f"renders more than {MAX_RENDERED} characters")
        kept.append(part)
    return "".join(kept)


def _refuse_judged(value: Any) -> Any:
    if isinstance(value, Judged):
        str(value)
    if not isinstance(value, str | int | float):
        raise TemplateError(f"prints a {type(value).__name__}; print texts and numbers, and records through fence")
    return value
