"""`lexical:PATH`: a learned judge behind the contract of all judges.

It holds no state but the model, needs no network, and never fails to answer. Measured facts come before anything
learned: a text that misses a verifiable request is bad.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from kindling.agents.lexical.model import LexicalModel
from kindling.agents.lexical.ngrams import Floats
from kindling.agents.lexical.storage import load
from kindling.records import Case, Critique, Verdict


class LexicalJudge:
    """A learned model as a `Judge`; `template` is the SHA-256 of its file."""

    def __init__(self, model: LexicalModel, name: str, template: str) -> None:
        self.name = name
        self.template = template
        self.model = model

    @classmethod
    def open(cls, path: Path) -> "LexicalJudge":
        """Read the judge that `kindling fit-judge` wrote. Raises `InputError`."""
        model, digest = load(path)
        return cls(model, f"lexical:{path}", digest)

    async def judge(self, case: Case, critiques: tuple[Critique, ...] = ()) -> Verdict:
        """Judge one case; critiques are not heard."""
        if case.missed:
            return Verdict.of(0.0, "; ".join(case.missed), self.name, self.template)
        scores = self.model.score([case.query], [case.response])
        reason = self.model.explain(case.query, case.response, scores)
        return Verdict.of(float(scores.score[0]), reason, self.name, self.template)

    def seen(self, texts: Iterable[str]) -> int | None:
        """Count those of `texts` that it was learned from; None where it does not say."""
        return self.model.seen(texts)

    def score_many(self, cases: Sequence[Case]) -> Floats:
        """Score N cases at once, without reasons: the same scores as `judge`, shape (N,)."""
        score = self.model.score([case.query for case in cases], [case.response for case in cases]).score
        for row, case in enumerate(cases):
            if not all(fact.met for fact in case.facts):
                score[row] = 0.0
        return score
