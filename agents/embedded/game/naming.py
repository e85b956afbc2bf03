"""What a sentence says: the checks that it names outside of quotations.

A quotation is the text under judgement, which may hold any word; it says nothing about what is right or wrong with it.
"""

import re
from functools import lru_cache

from kindling.agents.embedded.debate import understood
from kindling.agents.embedded.lexicon import Lexicon

_QUOTED = re.compile('“[^”]*”|「[^」]*」|『[^』]*』|‘[^’]*’|"[^"]*"')
_FIELD = re.compile(r"\{[^}]*\}")


def unquoted(text: str) -> str:
    """`text` without what it quotes."""
    return _QUOTED.sub("", text)


def named(text: str, lexicon: Lexicon) -> frozenset[str]:
    """The checks that an explanation or a confession names."""
    return frozenset(understood(unquoted(text), lexicon))


def given(reason: str, lexicon: Lexicon) -> frozenset[str]:
    """The checks that a judge's reason rests on: those that it names, and those whose own wording it has."""
    plain = unquoted(reason)
    return named(reason, lexicon) | {key for key, wording in _wordings(lexicon).items() if wording and wording in plain}


@lru_cache(maxsize=8)
def _wordings(lexicon: Lexicon) -> dict[str, str]:
    """Of the reason that each check gives, the longest piece that is the same for every text."""
    return {key: max(_FIELD.split(unquoted(check.reason)), key=len) for key, check in lexicon.checks.items()}
