"""The state of a game, and of the round that is being played."""

from typing import TypedDict

from kindling.game import Forgery, Lesson, Proposal, Rewrite, Rules, Standing
from kindling.graphs.faults import Fault
from kindling.records import LabelledCase


class GameInput(TypedDict):
    """What a game starts from, or goes on from. LangGraph Studio may give it as plain JSON."""

    standing: Standing


class GameOutput(TypedDict):
    """What a game comes to."""

    standing: Standing


class GameState(GameInput, GameOutput):
    """The channels. All but `standing` belong to the round being played: `sample` sets them anew.

    A superstep has one node, so no two writes meet and every channel keeps the last one.
    """

    # standing: the game up to the last finished round: close
    principles: Rules  # those that stand within the round: sample, then gate
    tactics: Rules  # likewise: sample, then sharpen
    tactics_reason: str  # the tactician's, where it changed them: sharpen
    queries: tuple[str, ...]  # sample
    cases: tuple[LabelledCase, ...]  # sample
    forged: tuple[Forgery, ...]  # forge
    caught: tuple[Lesson, ...]  # detect
    fooled: tuple[Forgery, ...]  # detect
    undecided: int  # forgeries without a verdict: detect
    errors: tuple[Lesson, ...]  # without their `why`: examine
    unscored: int  # labelled cases without a verdict: examine
    lessons: tuple[Lesson, ...]  # those not yet proposed from: detect, explain, propose
    taught: int  # the number of lessons behind the proposal at hand: propose
    rewrite: Rewrite | None  # the proposal at hand, None where the optimizer failed: propose
    proposals: tuple[Proposal, ...]  # gate
    asked: dict[str, int]  # what was asked of each role: every node that asks
    faults: tuple[Fault, ...]  # every node that asks
