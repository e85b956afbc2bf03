"""The roles: which variables each template is given, which of them others wrote, and which it must use."""

from dataclasses import dataclass

from kindling.errors import TemplateError


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """`variables` are always given; those in `untrusted` only enter through `fence`; `required` must be used."""

    variables: frozenset[str]
    untrusted: frozenset[str]
    required: frozenset[str]
    includes: frozenset[str] = frozenset()


def _spec(trusted: str, untrusted: str, required: str, includes: str = "") -> RoleSpec:
    names = frozenset(untrusted.split())
    return RoleSpec(names | frozenset(trusted.split()), names, frozenset(required.split()), frozenset(includes.split()))


PRINCIPLES = "principles.j2"
ROLES: dict[str, RoleSpec] = {
    "generator": _spec("requests", "query examples", "query requests"),
    "positive": _spec("facts", "query response examples", "query response facts"),
    "negative": _spec("facts", "query response examples", "query response facts"),
    "judge": _spec("facts debated", "query response merits flaws", "query response facts merits flaws", PRINCIPLES),
    "reflector": _spec(
        "facts label", "query response merits flaws reason", "query response facts merits flaws label reason", PRINCIPLES
    ),
}


def role_spec(role: str) -> RoleSpec:
    """The spec of `role`. Raises `TemplateError` for an unknown one."""
    if role not in ROLES:
        raise TemplateError(f"unknown role {role!r}; there are {', '.join(ROLES)}")
    return ROLES[role]
