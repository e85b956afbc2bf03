"""From the configuration to the players of the refinement game, and to the number of calls that it may take.

The judge is a cast plan's, as everywhere; the forger, the explainer, the optimizer and the tactician play as their
sections in kindling.toml say, the embedded ones where there is none.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from kindling.cli import casting
from kindling.config import Config
from kindling.errors import ConfigError
from kindling.prompts.rules import PRINCIPLES, TACTICS, text_of
from kindling.tables import sha256

if TYPE_CHECKING:
    from kindling.agents.judge import Judge
    from kindling.agents.models import ChatModel, Models
    from kindling.agents.players import Players
    from kindling.game import Rules, Standing
    from kindling.graphs.refinement import Settings

ROLES = ("forger", "explainer", "optimizer", "tactician")
JUDGES_KEPT = 4  # built judges: two are compared at a time


@dataclass(frozen=True, slots=True)
class Troupe(casting.Till):
    """The players of a game, ready to play."""

    players: "Players"


def default_judge(config: Config) -> str:
    """`llm` where the configuration casts a judge, `embedded` where it casts none."""
    return "llm" if config.role("judge").endpoint != casting.EMBEDDED else casting.EMBEDDED


def plan_game(config: Config, judge: str, without: frozenset[str], seed: int) -> casting.CastPlan:
    """Decide who plays, the critics in `without` left out. Raises `ConfigError` like `plan_cast`."""
    if casting.learned_from(judge):
        raise ConfigError(
            f"--judge {judge}: it was learned and has no principles to refine; take llm, embedded or debate"
        )
    plan = casting.plan_cast(config, judge, seed=seed)
    if absent := sorted(without - plan.players.keys()):
        raise ConfigError(f"--no-{absent[0]}: --judge {judge} has no {absent[0]} critic; it goes with --judge debate")
    game = {role: casting.player_of(config, role) for role in ROLES}
    casting.check_keys(config, game)
    judging = {role: player for role, player in plan.players.items() if role not in without}
    return replace(plan, players={**judging, **game})


def under(plan: casting.CastPlan, principles: "Rules") -> casting.CastPlan:
    """The same plan for a judge of other principles; nobody but who judges plays in it."""
    judging = {role: player for role, player in plan.players.items() if role not in ROLES}
    return replace(plan, pack=plan.pack.overlaid({PRINCIPLES: text_of(principles)}), players=judging)


def inputs(plan: casting.CastPlan, start: "Standing") -> dict[str, dict[str, str]]:
    """Hashes of all that decides what players say: `templates` by role, under the rules of `start`, `data` by file.

    Raises `UsageError` for whatever of it nobody could play with.
    """
    from kindling.agents.embedded.game import SCRIPT, embedded_judge_for, embedded_players
    from kindling.prompts.taskpack import DATA

    pack = plan.pack
    rules = {PRINCIPLES: text_of(start.first_principles), TACTICS: text_of(start.first_tactics)}
    at_start = pack.overlaid(rules)
    templates = {role: at_start.prompt(role).hash for role in plan.paid}
    embedded = {role for role, player in plan.players.items() if player == casting.EMBEDDED}
    if not embedded:
        return {"templates": templates, "data": {}}
    if embedded.isdisjoint(ROLES):
        embedded_judge_for(pack)
    else:
        embedded_players(pack, plan.seed)
    there = [
        name for name in (*DATA, SCRIPT) if name not in rules and any((one / name).is_file() for one in pack.folders)
    ]
    return {"templates": templates, "data": {name: sha256(pack.file(name)) for name in there}}


@asynccontextmanager
async def open_players(plan: casting.CastPlan, ledger: Path) -> AsyncIterator[Troupe]:
    """Open the models of `plan` and seat the players."""
    async with casting.open_till(plan, ledger) as till:
        yield Troupe(till.models, till.ledger, till.budget, _seat(plan, till.models))


def _seat(plan: casting.CastPlan, models: "Models | None") -> "Players":
    from kindling.agents.explainer import LLMExplainer
    from kindling.agents.forger import LLMForger
    from kindling.agents.optimizer import LLMOptimizer, LLMTactician
    from kindling.agents.players import Players

    @lru_cache(JUDGES_KEPT)
    def judge_for(principles: "Rules") -> "Judge":
        judging = under(plan, principles)
        return casting.judge_of(judging, casting.cast_of(judging, models))

    @lru_cache
    def embedded() -> "Players":
        from kindling.agents.embedded.game import embedded_players

        return embedded_players(plan.pack, plan.seed)

    def model(role: str) -> "ChatModel | None":
        return models.role(role) if models is not None and role in plan.paid else None

    pack = plan.pack
    return Players(
        judge_for=judge_for,
        forger=LLMForger(paid, pack) if (paid := model("forger")) else embedded().forger,
        explainer=LLMExplainer(paid, pack) if (paid := model("explainer")) else embedded().explainer,
        optimizer=LLMOptimizer(paid, pack) if (paid := model("optimizer")) else embedded().optimizer,
        tactician=LLMTactician(paid, pack) if (paid := model("tactician")) else embedded().tactician,
        brief_chars=pack.settings.brief_chars,
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What a node asks of a role in a round, at most."""

    node: str
    role: str
    asked: int
    note: str = ""


def steps(settings: "Settings", queries: int, train: int, validation: int) -> list[Step]:
    """What every node asks in one round at most, old forgeries apart, of which the gate asks both judges."""
    forged, examined = min(settings.batch, queries), min(settings.batch, train) if settings.reflect else 0
    proposals = forged + examined if settings.per_item else 1
    weighed = 2 * validation * proposals if settings.gate else 0
    return [
        Step("forge", "forger", forged),
        Step("detect", "judge", forged),
        Step("sharpen", "tactician", 1, "if any forgery was caught"),
        Step("examine", "judge", examined),
        Step("explain", "explainer", examined, "one an error"),
        Step("propose", "optimizer", proposals, "if there is a lesson"),
        Step("gate", "judge", weighed, "the present judge's half comes from the ledger after the first time"),
    ]


def calls(
    plan: casting.CastPlan, settings: "Settings", queries: int, train: int, validation: int, certificate: int
) -> dict[str, int]:
    """Paid calls of each role in the whole game, at most, if none is repaired or retried.

    A judgement under the principles that stand is paid once: of the validation cases, each proposal pays its own half,
    and the first judge's half is paid once. Old forgeries, of which there may be `batch` more after every round, are
    counted once a proposal. At the end two certificates of `certificate` judgements are made, and of the forgeries.
    """
    counted = {step.node: step for step in steps(settings, queries, train, validation)}
    rounds, forged = settings.rounds, counted["forge"].asked
    known = sum(forged * number for number in range(1, rounds + 1)) * counted["propose"].asked if settings.gate else 0
    judged = rounds * (forged + counted["examine"].asked + counted["gate"].asked // 2) + known
    judged += validation if settings.gate else 0
    judged += 2 * (certificate + rounds * forged)
    each = {
        "forger": rounds * forged,
        "explainer": rounds * counted["explain"].asked,
        "optimizer": rounds * counted["propose"].asked,
        "tactician": rounds,
    }
    votes = plan.config.role("judge").votes
    return {role: each.get(role, judged * (votes if role == "judge" else 1)) for role in plan.paid}
