"""What an evaluation has on disk: texts and verdicts, a line each, and what is still missing.

A line that is asked for again is appended; the last one about a text or a case counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from kindling.cli import casting
from kindling.cli.appended import Appended
from kindling.eval.scorecard.sheets import Failure, Row
from kindling.records import Verdict

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of texts.jsonl."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    model: str
    query: str
    index: int
    text: str
    failure: Failure | None
    reason: str


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """A line of verdicts.jsonl. `judge` is the name on the command line, `played` the models that it asked."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    judge: str
    template: str
    played: str
    query: str
    response: str
    verdict: Verdict


class Kept:
    """What stands in the two files: the last line about a text or a case is what counts."""

    def __init__(self, texts: Appended[TextLine], verdicts: Appended[VerdictLine], *, retry: bool) -> None:
        self.texts = {(one.model, one.query, one.index): one for one in texts.records}
        self.verdicts = {
            (one.judge, one.template, one.played, one.query, one.response): one.verdict for one in verdicts.records
        }
        self._retry = retry

    def wanted(self, model: str, rows: Sequence[Row]) -> list[Row]:
        """The rows that a model has not answered yet; on a retry, also those that came to nothing."""
        known = {row: self.texts.get((model, row.query, row.index)) for row in rows}
        return [row for row, text in known.items() if text is None or (self._retry and text.failure == "failed")]

    def verdict(self, plan: casting.CastPlan, template: str, case: tuple[str, str]) -> Verdict | None:
        """What a judge said of (query, response)."""
        return self.verdicts.get((plan.judge, template, plan.models, *case))

    def unjudged(
        self, plan: casting.CastPlan, template: str, cases: Sequence[tuple[str, str]]
    ) -> list[tuple[str, str]]:
        """The cases that a judge has not judged yet; on a retry, also those without a verdict."""
        known = {case: self.verdict(plan, template, case) for case in cases}
        return [case for case, one in known.items() if one is None or (self._retry and one.unscored is not None)]
