"""The embedded explainer: what the examiner found that spoke for the truth, and no principle heeds.

Where every finding for the truth was heeded and outweighed, it names instead the weightiest heeded finding against it.
What counts whatever the principles say is left out: no principle can change it.
"""

from kindling.agents.embedded.debate import NAME, heeded
from kindling.agents.embedded.examiner import Examiner
from kindling.agents.embedded.game.script import Script
from kindling.game import Rules
from kindling.records import Case, Label, Side, Verdict


class EmbeddedExplainer:
    """Explains errors by findings, in words that name their checks and quote nothing."""

    name = NAME

    def __init__(self, examiner: Examiner, script: Script) -> None:
        self._examiner = examiner
        self._script = script

    async def explain(self, case: Case, truth: Label, verdict: Verdict, principles: Rules) -> str:
        """What the principles lack, or what they trust too much; that nothing can be seen, if nothing can."""
        seen = heeded(principles, self._examiner.lexicon)
        sentences, phrased = self._script.sentences, self._script.phrased
        weights: dict[str, float] = {}
        for found in self._examiner.examine(case):
            if found.check in self._script.phrases:
                weights[found.check] = weights.get(found.check, 0) + abs(self._examiner.weights.of[found.check])
        missed = [key for key in weights if speaks_for(self._side(key), truth) and key not in seen]
        if missed:
            return sentences.missed.format(phrases=phrased(missed))
        misled = {
            key: weight for key, weight in weights.items() if not speaks_for(self._side(key), truth) and key in seen
        }
        if misled:
            return sentences.misled.format(phrases=phrased([max(misled, key=misled.__getitem__)]))
        return sentences.unseen

    def _side(self, key: str) -> Side:
        return self._examiner.lexicon.checks[key].side


def speaks_for(side: Side, truth: Label) -> bool:
    """Whether a finding of this side speaks for the label."""
    return (side == "merits") == (truth == "good")
