"""What each role's template is given, and what it must use.

A variable is a text, a list of texts, a flag, or a list of records with fixed fields. *Untrusted* ones hold what users
and models wrote: `bind` wraps them in `Judged`, so that a template can print them only through the fence filter. The
others are made by our own code, which quotes a few characters of a request at most (an acrostic's); they are
neutralised and put on one line all the same. Every variable is always supplied; a template must use the *required*
ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kindling.errors import TemplateError, Unscored
from kindling.prompts.fence import one_line
from kindling.prompts.judged import Judged
from kindling.prompts.rules import PRINCIPLES, TACTICS

MAX_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a role; `fields` are those of a record."""

    name: str
    kind: Literal["text", "texts", "flag", "records"]
    fields: tuple[str, ...] = ()
    untrusted: bool = False
    required: bool = True

    def bind(self, value: Any) -> Any:
        """`value` as a template gets it.

        Raises `TypeError` if it is not of this kind (a mistake of the calling code), and `Unscored` if untrusted text
        is longer than `MAX_TEXT` characters in all: such a case is not judged, but the run goes on.
        """
        plain = self._plain(value)
        if not self.untrusted:
            return plain
        size = len(plain) if isinstance(plain, str) else sum(len(text) for item in plain for text in item.values())
        if size > MAX_TEXT:
            raise Unscored(f"{self.name}: {size:,} characters; a prompt takes at most {MAX_TEXT:,}")
        return Judged(plain)

    def _plain(self, value: Any) -> Any:
        if self.kind == "flag" and isinstance(value, bool):
            return value
        if self.kind == "text" and isinstance(value, str):
            return self._text(value)
        if isinstance(value, list | tuple):
            if self.kind == "records":
                return [self._record(item) for item in value]
            if self.kind == "texts" and all(isinstance(item, str) for item in value):
                return [self._text(item) for item in value]
        raise TypeError(f"{self.name}: {self.kind} expected, not {type(value).__name__}")

    def _text(self, value: str) -> str:
        return value if self.untrusted else one_line(value)

    def _record(self, item: Any) -> dict[str, Any]:
        """The declared fields of a mapping or dataclass, and no others."""
        fields: dict[str, Any] = {}
        for name in self.fields:
            value = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
            if isinstance(value, str):
                fields[name] = self._text(value)
            elif isinstance(value, bool) and not self.untrusted:
                fields[name] = value
            else:
                raise TypeError(f"{self.name}: field {name!r} of a record is {type(value).__name__}")
        return fields


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """The variables of one role's template, and the files that it must include."""

    variables: tuple[Variable, ...]
    includes: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """All variables."""
        return tuple(variable.name for variable in self.variables)

    @property
    def untrusted(self) -> frozenset[str]:
        """Those that hold what users and models wrote."""
        return frozenset(variable.name for variable in self.variables if variable.untrusted)

    @property
    def required(self) -> frozenset[str]:
        """Those that a template must use."""
        return frozenset(variable.name for variable in self.variables if variable.required)

    def bind(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """`values` as a template gets them. Raises `TypeError` unless they are exactly the declared ones."""
        if values.keys() != set(self.names):
            raise TypeError(f"variables {', '.join(self.names)} expected, not {', '.join(values) or 'none'}")
        return {variable.name: variable.bind(values[variable.name]) for variable in self.variables}


_QUERY = Variable("query", "text", untrusted=True)
_RESPONSE = Variable("response", "text", untrusted=True)
_EXAMPLES = Variable("examples", "records", ("query", "response"), untrusted=True, required=False)
_FACTS = Variable("facts", "records", ("kind", "asked", "measured", "met"))
_MERITS = Variable("merits", "records", ("aspect", "reason"), untrusted=True)
_FLAWS = Variable("flaws", "records", ("aspect", "reason"), untrusted=True)
_DEBATED = Variable("debated", "flag", required=False)
_LABEL = Variable("label", "text")
_TRUTH = Variable("truth", "text")
_FIRST = Variable("first", "text", untrusted=True)
_SECOND = Variable("second", "text", untrusted=True)
_FIRST_FACTS = Variable("first_facts", "records", ("kind", "asked", "measured", "met"))
_SECOND_FACTS = Variable("second_facts", "records", ("kind", "asked", "measured", "met"))
_REASON = Variable("reason", "text", untrusted=True)
_REQUESTS = Variable("requests", "texts")
_LESSON = ("query", "response", "reason", "why")
_TOO_KIND = Variable("too_kind", "records", _LESSON, untrusted=True)
_TOO_STRICT = Variable("too_strict", "records", _LESSON, untrusted=True)
_CAUGHT = Variable("caught", "records", _LESSON, untrusted=True)
_PRINCIPLED = frozenset((PRINCIPLES,))
_TACTICAL = frozenset((TACTICS,))

ROLES: dict[str, RoleSpec] = {
    "generator": RoleSpec((_QUERY, _EXAMPLES, _REQUESTS)),
    "positive": RoleSpec((_QUERY, _RESPONSE, _EXAMPLES, _FACTS)),
    "negative": RoleSpec((_QUERY, _RESPONSE, _EXAMPLES, _FACTS)),
    "judge": RoleSpec((_QUERY, _RESPONSE, _FACTS, _MERITS, _FLAWS, _DEBATED), _PRINCIPLED),
    "reflector": RoleSpec((_QUERY, _RESPONSE, _FACTS, _MERITS, _FLAWS, _LABEL, _REASON), _PRINCIPLED),
    "comparer": RoleSpec((_QUERY, _FIRST, _SECOND, _FIRST_FACTS, _SECOND_FACTS), _PRINCIPLED),
    "forger": RoleSpec((_QUERY, _REQUESTS), _TACTICAL),
    "explainer": RoleSpec((_QUERY, _RESPONSE, _FACTS, _LABEL, _TRUTH, _REASON), _PRINCIPLED),
    "optimizer": RoleSpec((_TOO_KIND, _TOO_STRICT), _PRINCIPLED),
    "tactician": RoleSpec((_CAUGHT,), _TACTICAL),
}


def role_spec(role: str) -> RoleSpec:
    """The spec of `role`. Raises `TemplateError` for an unknown one."""
    if role not in ROLES:
        raise TemplateError(f"unknown role {role!r}; there are {', '.join(ROLES)}")
    return ROLES[role]
