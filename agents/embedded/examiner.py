"""The examiner: everything that the embedded critics, judge and reflector know about a case, found once.

Critics report its findings as points, the judge weighs them, the reflector looks for what was overlooked. Query
readings and case findings are kept for the last few thousand, since the same case comes by four times in a debate.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from kindling.agents.embedded.checks import CHECKS, View, check_for
from kindling.agents.embedded.lexicon import Lexicon
from kindling.agents.embedded.reading import Reading, read
from kindling.agents.embedded.weights import Weights, lexicon_weights
from kindling.agents.requests import measure
from kindling.errors import ConfigError
from kindling.records import Case, Fact, Point, Side

KEPT = 4096
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]")
_WIDE = {
    code: code - 0xFEE0 for span in ((0xFF10, 0xFF1A), (0xFF21, 0xFF3B), (0xFF41, 0xFF5B)) for code in range(*span)
}

_MATHS = re.compile("[\U0001d400-\U0001d7ff]")


def seen(text: str) -> str:
    """Give the text as a reader sees it: no invisible characters; full-width and mathematical letters as plain ones."""
    return _MATHS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), _UNSEEN.sub("", text).translate(_WIDE))


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: its key in the lexicon and the evidence, a phrase of the text."""

    check: str
    evidence: str


class Examiner:
    """Reads queries and examines cases with one lexicon; `weights` are the lexicon's own if none are given.

    Raises `ConfigError` if the lexicon names an unknown check.
    """

    def __init__(self, lexicon: Lexicon, brief_chars: int, weights: Weights | None = None) -> None:
        checks = {key: check_for(key, lexicon) for key in lexicon.checks}
        if unknown := sorted(key for key, check in checks.items() if check is None):
            raise ConfigError(
                f"lexicon: checks.{unknown[0]}: no such check; there are {', '.join(sorted(CHECKS))},"
                " and any for which there is wording, or a pattern, of the same name"
            )
        self._checks = {key: check for key, check in checks.items() if check is not None}
        self.lexicon = lexicon
        self.weights = weights or lexicon_weights(lexicon)
        self.brief_chars = brief_chars
        self.read = lru_cache(KEPT)(self._read)
        self._examined = lru_cache(KEPT)(self._examine)

    def examine(self, case: Case) -> tuple[Finding, ...]:
        """All findings about a case, check by check in the lexicon's order."""
        return self._examined(case.query, case.response, case.facts)

    def point(self, finding: Finding, query: str) -> Point:
        """The finding in words."""
        reading = self.read(query)
        check = self.lexicon.checks[finding.check]
        topic = self.lexicon.topics[reading.topic].name
        audience = self.lexicon.audiences[reading.audience].name if reading.audience else ""
        register = self.lexicon.registers[reading.register].name
        reason = check.reason.format(evidence=finding.evidence, topic=topic, audience=audience or register)
        return Point(check.name, reason)

    def side(self, finding: Finding) -> Side:
        """Whether the finding speaks for the text or against it."""
        return self.lexicon.checks[finding.check].side

    def _read(self, query: str) -> Reading:
        return read(query, self.lexicon, self.brief_chars)

    def _examine(self, query: str, response: str, facts: tuple[Fact, ...]) -> tuple[Finding, ...]:
        facts = facts or measure(query, response, self.brief_chars)
        text = seen(response)
        view = View(query, response, text, self.lexicon.text_scanner.scan(text), self.read(query), facts, self.lexicon)
        return tuple(
            Finding(key, evidence)
            for key, check in self.lexicon.checks.items()
            for evidence in self._checks[key](view)[: check.most]
        )
