"""The state of a debate over one candidate."""

from operator import add
from typing import Annotated, TypedDict

from kindling.graphs.faults import Fault
from kindling.records import Candidate, Case, Critique, Example, Judgement


class DebateInput(TypedDict):
    """What a debate starts from. LangGraph Studio may give the records as plain JSON."""

    query: str
    candidate: Candidate
    examples: tuple[Example, ...]


class DebateOutput(TypedDict):
    """What a debate comes to."""

    judgement: Judgement


class DebateState(DebateInput, DebateOutput):
    """The channels. Without a reducer the last write stands; only one node of a superstep may write."""

    case: Case  # last value: measure
    critiques: Annotated[tuple[Critique, ...], add]  # concatenated: one from each critic
    faults: Annotated[tuple[Fault, ...], add]  # concatenated: from a critic that failed, instead of a critique
    # judgement: last value: judge, then reflect over it
