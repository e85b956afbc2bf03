"""The contract of the gate, which decides whether a proposal becomes the judge's principles."""

from typing import Protocol

from kindling.game import Decision, Evidence, Refusal, Rules


class Gate(Protocol):
    """Decides from the rules alone first, then from the verdicts of two judges. Pure: the same evidence, the same end.

    What it answers must not reach an optimizer: proposals that learn from the gate's looks at the validation cases
    would be tuned to them.
    """

    def check(self, before: Rules, proposed: Rules) -> tuple[Refusal, ...]:
        """Why `proposed` cannot replace `before`, whatever it would measure; nothing if it may be tried."""
        ...

    def weigh(self, evidence: Evidence) -> Decision:
        """Decide whether the proposed judge is better, beyond noise and without harm."""
        ...
