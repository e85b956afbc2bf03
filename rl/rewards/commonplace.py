"""What is said to everybody: a phrase that more answers to *other* queries have than is normal.

A judge that reads one text at a time cannot see that a line answers every request, so such a line is the cheapest way
up: it spreads through all groups at once, where the diversity of one group does not see it.
"""

from collections.abc import Mapping, Sequence

from kindling.rl.rewards.phrases import counted, phrases
from kindling.rl.rewards.shape import Pairs
from kindling.rl.rewards.terms import Answer, Score


class Commonplace:
    """1 while no phrase of an answer is a commonplace, falling to 0 where one is by `slack` more than is normal.

    What counts is the share of the batch's answers to other queries that have the phrase, a run of four characters.
    Normal are `times` the share of the references that have it, and anything up to `least`: what one query calls for
    stands in many of its answers. Fewer than `queries` other queries cannot tell what is said to everybody.
    """

    name = "commonplace"

    def __init__(
        self, references: Pairs, *, least: float = 0.1, times: float = 2.0, slack: float = 0.3, queries: int = 4
    ) -> None:
        count = counted(response for _, response in references)
        self._normal = {phrase: max(least, times * number / len(references)) for phrase, number in count.items()}
        self._least = least
        self._slack = slack
        self._queries = queries

    async def score(self, answers: Sequence[Answer]) -> list[Score]:
        """From the texts of the batch alone."""
        elsewhere = {answer.group: answer.elsewhere for answer in answers}
        shares = {group: self._shares(others) for group, others in elsewhere.items()}
        return [self._score(phrases(answer.response), shares[answer.group]) for answer in answers]

    def _score(self, own: set[str], elsewhere: Mapping[str, float]) -> Score:
        shared = own & elsewhere.keys()
        beyond = {phrase: elsewhere[phrase] - self._normal.get(phrase, self._least) for phrase in shared}
        worst = max(sorted(beyond), key=lambda phrase: beyond[phrase], default="")
        if not worst or beyond[worst] <= 0:
            return Score(1.0)
        reason = f"“{worst}” stands in {elsewhere[worst]:.0%} of the answers to other queries"
        return Score(max(0.0, 1.0 - beyond[worst] / self._slack), reason)

    def _shares(self, others: Sequence[tuple[str, str]]) -> dict[str, float]:
        """The share of the answers to other queries that have each phrase; of none where these are too few."""
        if len({query for query, _ in others}) < self._queries:
            return {}
        return {phrase: number / len(others) for phrase, number in counted(said for _, said in others).items()}
