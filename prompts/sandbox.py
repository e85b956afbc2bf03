"""The sandbox that templates run in: text in, text out.

A template is checked before it is compiled (`kindling.prompts.language`, an allow-list of syntax); this is the second
line of defence, for what only shows while rendering. Jinja's immutable sandbox, cut down: no globals, no calls, a
handful of filters and tests, none of which can make a long text from a short one; only texts and numbers are printed,
undefined names raise, only small numbers are added, and no block exceeds `MAX_RENDERED` characters.

Left out on purpose: a time limit. The language has no nested loops and no recursion, so time is bounded by the data.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jinja2
from jinja2 import StrictUndefined, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS as JINJA_TESTS

from kindling.prompts.fence import fence
from kindling.prompts.judged import Judged
from kindling.prompts.sources import Defect, Source, Sources

MAX_RENDERED = 262_144


def join(values: list[str] | tuple[str, ...], separator: str = "") -> str:
    """The texts of a list as one; unlike Jinja's, it does not take a text apart, which would double it each time."""
    if not isinstance(values, list | tuple):
        raise TypeError(f"join takes a list of texts, not {type(values).__name__}")
    return separator.join(values)


_KEPT = ("capitalize", "count", "default", "first", "last", "length", "lower", "title", "trim", "upper")
FILTERS: dict[str, Callable[..., Any]] = {name: JINJA_FILTERS[name] for name in _KEPT} | {"fence": fence, "join": join}
TESTS = {name: JINJA_TESTS[name] for name in ("defined", "divisibleby", "even", "none", "odd")}


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one task pack."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self, sources: Sources) -> None:
        super().__init__(
            loader=jinja2.FunctionLoader(self._load),
            undefined=StrictUndefined,
            finalize=_printable,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.sources = sources
        self.globals.clear()
        self.filters = dict(FILTERS)
        self.tests = dict(TESTS)

    def _load(self, name: str) -> tuple[str, str, None]:
        # the path is what a traceback's frames are told apart by
        source = self.sources.source(name)
        return source.text, str(source.path), None

    def tree(self, source: Source) -> nodes.Template:
        """The syntax tree of `source`. Raises `Defect`."""
        try:
            return self.parse(source.text)
        except jinja2.TemplateSyntaxError as error:
            raise Defect(source.path, error.lineno, str(error.message)) from error
        except RecursionError as error:
            raise Defect(source.path, 1, "nested too deeply") from error
        except ValueError as error:  # Python's own limit on the digits of a number
            raise Defect(source.path, 1, str(error)) from error

    def compiled(self, source: Source) -> jinja2.Template:
        """The template `source`, ready to render. Raises `Defect`."""
        try:
            return self.get_template(source.name)
        except jinja2.TemplateSyntaxError as error:  # a block defined twice, say
            raise Defect(source.path, error.lineno, str(error.message)) from error
        except (RecursionError, MemoryError, SyntaxError) as error:  # what Python's compiler says of deep nesting
            raise Defect(source.path, 1, "nested too deeply") from error

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Numbers may be added and subtracted; anything more can be made to eat memory."""
        if operator not in "+-" or not all(isinstance(side, int) and abs(side) < 1e9 for side in (left, right)):
            raise SecurityError(f"{operator!r} takes small whole numbers only")
        return super().call_binop(context, operator, left, right)

    def is_safe_callable(self, obj: Any) -> bool:
        """Nothing is called."""
        return False


def bounded(parts: Iterable[str]) -> str:
    """The parts together. Raises `SecurityError` as soon as they pass the limit, `ValueError` for lone surrogates."""
    kept, size = [], 0
    for part in parts:
        size += len(part)
        if size > MAX_RENDERED:
            raise SecurityError(f"renders more than {MAX_RENDERED:,} characters")
        kept.append(part)
    text = "".join(kept)
    text.encode()
    return text


def _printable(value: Any) -> Any:
    """The last gate. An undefined or judged value refuses by itself, in better words."""
    if isinstance(value, bool) or not isinstance(value, str | int | Undefined | Judged):
        raise TypeError(f"a {type(value).__name__} cannot be printed: print its fields, or ask with if")
    return value
