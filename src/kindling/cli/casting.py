"""From names on the command line to agents: who plays which role, and the cast that plays.

`plan_cast` needs no network and no key; it checks every name and says who would play. `open_cast` builds the agents, with
one ledger and one budget behind all paid calls.

    --source llm         the generators of kindling.toml
             embedded    the embedded generators
             file:PATH   responses that exist already: columns query and response
    --judge  debate      positive and negative critic, judge, reflector, each as kindling.toml casts it
             llm         the configured judge alone, one call a case and vote
             embedded    the embedded judge alone

Nothing falls back: a name that asks for an endpoint is refused where none is configured. Only the *default* source looks
at the configuration: `llm` where it casts a generator, `embedded` where it casts none.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling.config import GENERATORS, Config, api_key
from kindling.errors import ConfigError

if TYPE_CHECKING:
    from kindling.agents.cast import Cast
    from kindling.agents.generator import Generator
    from kindling.agents.models import Models
    from kindling.agents.retriever import Retriever
    from kindling.prompts.library import TaskPack

JUDGES = ("debate", "llm", "embedded")
DEBATERS = ("positive", "negative", "judge", "reflector")
EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class CastPlan:
    """Who plays which role. `players` maps a role to "embedded", "MODEL @ ENDPOINT" or "file PATH"."""

    config: Config
    pack: "TaskPack"
    judge: str
    source: str | None
    seed: int
    players: dict[str, str]

    @property
    def paid(self) -> tuple[str, ...]:
        """The roles that models play."""
        return tuple(role for role, player in self.players.items() if " @ " in player)

    def templates(self) -> dict[str, str]:
        """Hash of whatever decides what a role says: its template, or the embedded cast's data."""
        embedded = any(player == EMBEDDED for player in self.players.values())
        found = {role: self.pack.prompt(_template(role)).hash for role in self.paid}
        return {**found, EMBEDDED: self.pack.data_hash()} if embedded else found

    def calls_per_candidate(self) -> dict[str, int]:
        """Calls of each paid role for one candidate, without repairs; a generator writes every n-th candidate."""
        return {role: self.config.role("judge").votes if role == "judge" else 1 for role in self.paid}


def plan_cast(config: Config, judge: str, source: str | None = None, *, seed: int = 0) -> CastPlan:
    """Check the names and decide who plays. Without `source`, nobody generates.

    Raises `ConfigError` for an unknown judge or source, a role without an endpoint where one is asked for, or a key
    that is not in the environment.
    """
    from kindling.prompts.library import load_pack

    if judge not in JUDGES:
        raise ConfigError(f"unknown judge {judge!r}; there are {', '.join(JUDGES)}")
    pack = load_pack(config.project.task, config.prompts_dir / config.project.task)
    players = {**_generators(config, source), **_debaters(config, judge)}
    for player in players.values():
        _, paid, endpoint = player.partition(" @ ")
        if paid:
            api_key(endpoint, config.endpoints[endpoint])
    return CastPlan(config, pack, judge, source, seed, players)


def default_source(config: Config) -> str:
    """`llm` where the configuration casts a generator, `embedded` where it casts none."""
    return "llm" if any(config.role(name).endpoint != EMBEDDED for name in GENERATORS) else EMBEDDED


def _generators(config: Config, source: str | None) -> dict[str, str]:
    if source is None:
        return {}
    if source == EMBEDDED:
        return dict.fromkeys(GENERATORS, EMBEDDED)
    if source == "llm":
        cast = {name: _player(config, name) for name in GENERATORS if config.role(name).endpoint != EMBEDDED}
        if not cast:
            raise ConfigError(f"--source llm: no [roles.{GENERATORS[0]}] with an endpoint and a model in kindling.toml")
        return cast
    kind, _, path = source.partition(":")
    if kind == "file" and path:
        return {"file": f"file {path}"}
    raise ConfigError(f"unknown source {source!r}; there are llm, embedded, file:PATH")


def _debaters(config: Config, judge: str) -> dict[str, str]:
    if judge == EMBEDDED:
        return {"judge": EMBEDDED}
    if judge == "debate":
        return {role: _player(config, role) for role in DEBATERS}
    if config.role("judge").endpoint == EMBEDDED:
        raise ConfigError("--judge llm: no [roles.judge] with an endpoint and a model in kindling.toml")
    return {"judge": _player(config, "judge")}


def _player(config: Config, role: str) -> str:
    section = config.role(role)
    return EMBEDDED if section.endpoint == EMBEDDED else f"{section.model} @ {section.endpoint}"


def _template(role: str) -> str:
    return "generator" if role in GENERATORS else role
