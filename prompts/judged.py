"""Text that other people or models wrote, as a value that a template can hold but not open.

`Judged` wraps a text, a record (a mapping of texts) or a list of records. A template may ask for its length and whether
it is empty, take an item of a list or a field of a record, and loop over a list; what it gets is wrapped again.
Everything else raises `Leak`: printing, formatting, joining, comparing (equality would tell one bit at a time),
searching. The value is in `_value`, a name that the sandbox hides from templates, and `repr` shows no part of it.

One function opens it: `kindling.prompts.fence.fence`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn


class Leak(TypeError):
    """A template tried to use judged text other than through the fence filter."""


class Judged:
    """A wrapped text, record or list; see the module."""

    __slots__ = ("_value",)

    def __init__(self, value: str | Mapping[str, Any] | list[Any]) -> None:
        self._value = value

    def __len__(self) -> int:
        """Characters of a text, items of a list, fields of a record."""
        return len(self._value)

    def __iter__(self) -> Iterator["Judged"]:
        """The items of a list; the characters of a text stay together."""
        if not isinstance(self._value, list):
            self._refuse()
        return (Judged(item) for item in self._value)

    def __getitem__(self, key: Any) -> "Judged":
        wanted = int if isinstance(self._value, list) else str
        if isinstance(self._value, str) or not isinstance(key, wanted):
            self._refuse()
        return Judged(self._value[key])  # type: ignore[index]  # the line above chose the type of key

    def __repr__(self) -> str:
        return "<judged text>"

    def _refuse(self, *_: object) -> NoReturn:
        raise Leak("judged text may be printed only through the fence filter; nothing else may look at it")

    __str__ = __bytes__ = __format__ = __int__ = __float__ = __index__ = __complex__ = _refuse
    __add__ = __radd__ = __mul__ = __rmul__ = __mod__ = __rmod__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __contains__ = __reversed__ = __hash__ = __reduce_ex__ = _refuse
