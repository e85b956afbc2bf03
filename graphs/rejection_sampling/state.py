"""The state of one row's rejection sampling."""

from operator import add
from typing import Annotated, TypedDict

from kindling.graphs.faults import Fault
from kindling.records import Candidate, Example, Judgement, Outcome, Query


class RowInput(TypedDict):
    """What a row starts from. LangGraph Studio may give the query as plain JSON."""

    query: Query


class RowOutput(TypedDict):
    """What a row comes to."""

    outcome: Outcome


class RowState(RowInput, RowOutput):
    """The channels. Without a reducer the last write stands; only one node of a superstep may write."""

    # query: last value: the input, which retrieve reads and writes back as a record
    examples: tuple[Example, ...]  # last value: retrieve
    candidates: tuple[Candidate, ...]  # last value: generate
    judgements: Annotated[tuple[Judgement, ...], add]  # concatenated, in the order of the Sends: debate
    faults: Annotated[tuple[Fault, ...], add]  # concatenated: generate, debate
    # outcome: last value: pair


class DebateTask(TypedDict):
    """What one `Send` carries to a debate."""

    query: Query
    candidate: Candidate
    examples: tuple[Example, ...]
