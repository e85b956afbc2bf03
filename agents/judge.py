"""The judge: good or bad, decided from the request, the text, the measured facts and what the critics found.

`Judge` is the contract that `rl` and `eval` hold too: they never know whether a prompt, a debate graph, a reward model
or rules stand behind it.
"""

from typing import Protocol

from kindling.records import Case, Critique, Verdict


class Judge(Protocol):
    """Judges one case. Never raises for a failed judgement: whatever goes wrong with the call or its answer comes back

    as an unscored verdict with the reason. `BudgetSpent` and cancellation do pass through: the case was not judged.
    `name` is the judge's spelling on the command line; `template` the hash of everything it was prompted with.
    """

    name: str
    template: str

    async def judge(self, case: Case, critiques: tuple[Critique, ...] = ()) -> Verdict:
        """The verdict on `case`; `critiques` are what the critics found, none for a judge without a debate."""
        ...
