"""The nodes of a round: sample, forge, detect, sharpen, examine, explain, propose, gate, close.

What fails is kept as a value, so that no failed call takes its siblings down; a node raises `BudgetSpent` once its
calls in flight have come back. A forgery or a labelled case without a verdict teaches nothing: it is counted, and that
is all. A round that is cut short (budget, Ctrl-C, a kill) leaves no trace in the standing and is played again; its
answers come out of the ledger then.

Everything random is drawn from the seed and the number of the round, so a round played again is the same round.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

from kindling.agents.players import Players
from kindling.agents.requests import case_of
from kindling.game import Decision, Evidence, Forgery, Lesson, Proposal, Rewrite, Round, Rules, Standing
from kindling.graphs.faults import Fault, attempt, settle
from kindling.graphs.refinement.gate import Gate
from kindling.graphs.refinement.settings import Material, Settings
from kindling.graphs.refinement.state import GameInput, GameState
from kindling.records import Case, Label, Query, Verdict, load

Update = dict[str, Any]
T = TypeVar("T")
S = TypeVar("S")


class GameNodes:
    """The nodes over the players, the gate and the material of one game; `on_round` hears of every finished round."""

    def __init__(
        self,
        players: Players,
        gate: Gate,
        material: Material,
        settings: Settings,
        on_round: Callable[[Standing], None] = lambda standing: None,
    ) -> None:
        self._players = players
        self._gate = gate
        self._material = material
        self._settings = settings
        self._on_round = on_round

    async def sample(self, state: GameInput) -> Update:
        """Open a round: its queries, its labelled cases, and the rules that stand."""
        standing = load(Standing, state["standing"])
        settings, material, past = self._settings, self._material, len(standing.rounds)
        return {
            "standing": standing,
            "principles": standing.principles,
            "tactics": standing.tactics,
            "tactics_reason": "",
            "queries": _turn(material.queries, settings.batch, past, f"queries {settings.seed}"),
            "cases": _turn(material.train, settings.batch, past, f"cases {settings.seed}") if settings.reflect else (),
            "errors": (),
            "unscored": 0,
            "lessons": (),
            "proposals": (),
            "asked": {},
            "faults": (),
        }

    async def forge(self, state: GameState) -> Update:
        """Draw a flawed text for every query."""
        index, forger = len(state["standing"].rounds), self._players.forger
        work = (
            attempt(f"forger, {query!r}", Forgery, forger.forge(Query(query), state["tactics"], index))
            for query in state["queries"]
        )
        forged, faults = _sort(await asyncio.gather(*work))
        return {"forged": forged, **_asked(state, faults, forger=len(state["queries"]))}

    async def detect(self, state: GameState) -> Update:
        """Judge the forgeries by the principles that stand; the forger's confession is what a fooled judge learns."""
        forged = state["forged"]
        verdicts, faults = await judge_all(
            self._players, state["principles"], [(one.query, one.response) for one in forged]
        )
        judged = list(zip(forged, verdicts, strict=True))
        fooled = tuple(one for one, verdict in judged if verdict.label == "good")
        return {
            "caught": tuple(_lesson(one, verdict) for one, verdict in judged if verdict.label == "bad"),
            "fooled": fooled,
            "undecided": sum(verdict.label is None for verdict in verdicts),
            "lessons": tuple(_lesson(one, verdict) for one, verdict in judged if verdict.label == "good"),
            **_asked(state, faults, judge=len(forged)),
        }

    async def after_detect(self, state: GameState) -> Literal["sharpen", "examine", "propose", "close"]:
        """Tactics that were caught are sharpened first."""
        return "sharpen" if state["caught"] else await self.after_sharpen(state)

    async def sharpen(self, state: GameState) -> Update:
        """Rewrite the tactics in the light of what was caught; a rewrite that cannot be used changes nothing."""
        index, before = len(state["standing"].rounds), state["tactics"]
        work = self._players.tactician.rewrite(before, state["caught"], index)
        rewrite = await attempt("tactician", Rewrite, work)
        if isinstance(rewrite, Fault):
            return _asked(state, (rewrite,), tactician=1)
        refusals = self._gate.check(before, rewrite.rules)
        faults = tuple(Fault("tactician", f"tactics cannot be used: {why}") for why in refusals if why != "unchanged")
        changed = {} if refusals else {"tactics": rewrite.rules, "tactics_reason": rewrite.reason}
        return {**changed, **_asked(state, faults, tactician=1)}

    async def after_sharpen(self, state: GameState) -> Literal["examine", "propose", "close"]:
        """Labelled cases come next, unless only forgeries teach."""
        if state["cases"]:
            return "examine"
        return "propose" if state["lessons"] else "close"

    async def examine(self, state: GameState) -> Update:
        """Judge the labelled cases; every wrong verdict is an error to be explained."""
        cases = state["cases"]
        verdicts, faults = await judge_all(
            self._players, state["principles"], [(one.query, one.response) for one in cases]
        )
        errors = tuple(
            Lesson(one.query, one.response, one.label, verdict.label, verdict.reason, "")
            for one, verdict in zip(cases, verdicts, strict=True)
            if verdict.label is not None and verdict.label != one.label
        )
        unscored = sum(verdict.label is None for verdict in verdicts)
        return {"errors": errors, "unscored": unscored, **_asked(state, faults, judge=len(cases))}

    async def after_examine(self, state: GameState) -> Literal["explain", "propose", "close"]:
        """Errors are explained first."""
        if state["errors"]:
            return "explain"
        return "propose" if state["lessons"] else "close"

    async def explain(self, state: GameState) -> Update:
        """Have every error explained; one that cannot be teaches nothing."""
        work = (attempt("explainer", str, self._explain(error, state["principles"])) for error in state["errors"])
        answers = await asyncio.gather(*work)
        told = zip(state["errors"], answers, strict=True)
        lessons = tuple(replace(error, why=why) for error, why in told if isinstance(why, str))
        _, faults = _sort(answers)
        return {"lessons": state["lessons"] + lessons, **_asked(state, faults, explainer=len(answers))}

    async def _explain(self, error: Lesson, principles: Rules) -> str:
        verdict = Verdict.of(1.0 if error.said == "good" else 0.0, error.reason, "judge")
        return await self._players.explainer.explain(
            _case(self._players, error.query, error.response), error.truth, verdict, principles
        )

    async def after_explain(self, state: GameState) -> Literal["propose", "close"]:
        """Without a lesson there is nothing to propose."""
        return "propose" if state["lessons"] else "close"

    async def propose(self, state: GameState) -> Update:
        """Rewrite the principles: from all lessons at once, or from the next one."""
        many = 1 if self._settings.per_item else len(state["lessons"])
        lessons, rest = state["lessons"][:many], state["lessons"][many:]
        index = len(state["standing"].rounds)
        work = self._players.optimizer.rewrite(state["principles"], lessons, index)
        rewrite = await attempt("optimizer", Rewrite, work)
        faults = (rewrite,) if isinstance(rewrite, Fault) else ()
        proposed = None if isinstance(rewrite, Fault) else rewrite
        return {"rewrite": proposed, "taught": many, "lessons": rest, **_asked(state, faults, optimizer=1)}

    async def gate(self, state: GameState) -> Update:
        """Accept the proposal or refuse it with the reasons."""
        rewrite, before = state["rewrite"], state["principles"]
        if rewrite is None:
            refused = Proposal((), str(state["faults"][-1]), state["taught"], Decision(("unusable",)))
            return {"proposals": (*state["proposals"], refused)}
        update: Update = {}
        if refusals := self._gate.check(before, rewrite.rules):
            decision = Decision(refusals)
        else:
            decision, update = await self._weigh(state, before, rewrite.rules)
        proposal = Proposal(rewrite.rules, rewrite.reason, state["taught"], decision)
        stands = rewrite.rules if decision.accepted else before
        return {"proposals": (*state["proposals"], proposal), "principles": stands, **update}

    async def _weigh(self, state: GameState, before: Rules, proposed: Rules) -> tuple[Decision, Update]:
        """Ask both judges about the validation cases and the old forgeries, and weigh what they say."""
        if not self._settings.gate:
            return Decision(()), {}
        cases = self._material.validation
        old = self._known(state)
        texts = [(case.query, case.response) for case in cases] + [(one.query, one.response) for one in old]
        (was, faults), (now, more) = await asyncio.gather(
            judge_all(self._players, before, texts), judge_all(self._players, proposed, texts)
        )
        evidence = Evidence(
            labels=tuple(case.label for case in cases),
            groups=self._material.groups,
            lengths=tuple(len(case.response) for case in cases),
            before=was[: len(cases)],
            after=now[: len(cases)],
            attacks_before=was[len(cases) :],
            attacks_after=now[len(cases) :],
            looks=self._settings.looks,
        )
        return self._gate.weigh(evidence), _asked(state, (*faults, *more), judge=2 * len(texts))

    @staticmethod
    def _known(state: GameState) -> tuple[Forgery, ...]:
        """The hard negatives, with those of this round."""
        old = state["standing"].hard_negatives
        known = {one.id for one in old}
        return (*old, *(one for one in state["fooled"] if one.id not in known))

    async def after_gate(self, state: GameState) -> Literal["propose", "close"]:
        """Further lessons make further proposals, where each makes its own."""
        return "propose" if state["lessons"] else "close"

    async def close(self, state: GameState) -> Update:
        """Enter the round into the standing."""
        standing = state["standing"]
        played = Round(
            number=len(standing.rounds) + 1,
            forged=len(state["forged"]),
            unforged=len(state["queries"]) - len(state["forged"]),
            caught=len(state["caught"]),
            fooled=state["fooled"],
            undecided=state["undecided"],
            examined=len(state["cases"]),
            errors=len(state["errors"]),
            unscored=state["unscored"],
            proposals=state["proposals"],
            principles=state["principles"],
            tactics=state["tactics"],
            tactics_reason=state["tactics_reason"],
            asked=state["asked"],
            faults=tuple(map(str, state["faults"])),
        )
        standing = replace(standing, rounds=(*standing.rounds, played))
        self._on_round(standing)
        return {"standing": standing}

    async def after_close(self, state: GameState) -> Literal["sample", "__end__"]:
        """Play on until the rounds are played or nothing has been accepted for a while."""
        standing, settings = state["standing"], self._settings
        over = len(standing.rounds) >= settings.rounds or standing.stale >= settings.patience
        return "__end__" if over else "sample"


async def judge_all(
    players: Players, principles: Rules, texts: Sequence[tuple[str, str]]
) -> tuple[tuple[Verdict, ...], tuple[Fault, ...]]:
    """The verdicts on (query, response) texts under `principles`; one that failed is unscored, and its fault is told.

    Raises `BudgetSpent` once everything in flight has come back.
    """
    judge = players.judge_for(principles)
    answers = await asyncio.gather(*(attempt("judge", Verdict, judge.judge(_case(players, *one))) for one in texts))
    _, faults = _sort(answers)
    settle(faults)
    verdicts = tuple(
        Verdict.none(one.why, judge.name, judge.template) if isinstance(one, Fault) else one for one in answers
    )
    return verdicts, faults


def _case(players: Players, query: str, response: str) -> Case:
    return case_of(query, response, players.brief_chars)


def _turn(pool: Sequence[S], many: int, turn: int, key: str) -> tuple[S, ...]:
    """The `turn`-th hand of `many` from a shuffled pool; when the pool is used up, it is shuffled anew."""
    size = min(many, len(pool))
    start = turn * size
    drawn: list[S] = []
    for place in range(start, start + size):
        deal, card = divmod(place, len(pool))
        order = random.Random(f"{key} {deal}").sample(range(len(pool)), len(pool))  # noqa: S311 - a reproducible draw
        drawn.append(pool[order[card]])
    return tuple(drawn)


def _lesson(forgery: Forgery, verdict: Verdict) -> Lesson:
    """What a judged forgery teaches; it is bad by its making."""
    said: Label = verdict.label or "bad"
    return Lesson(forgery.query, forgery.response, "bad", said, verdict.reason, forgery.flaws)


def _sort(answers: Iterable[T | Fault]) -> tuple[tuple[T, ...], tuple[Fault, ...]]:
    """Answers and faults, each in order."""
    answered, faults = [], []
    for one in answers:
        if isinstance(one, Fault):
            faults.append(one)
        else:
            answered.append(one)
    return tuple(answered), tuple(faults)


def _asked(state: GameState, faults: tuple[Fault, ...], **asked: int) -> Update:
    """The counts and faults of the round with those of a node. Raises `BudgetSpent` if a fault is one."""
    settle(faults)
    counts = Counter(state["asked"])
    counts.update(asked)
    return {"asked": dict(counts), "faults": (*state["faults"], *faults)}
