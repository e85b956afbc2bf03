"""From names on the command line to agents: who plays which role, and the cast that plays.

`plan_cast` needs no network; it checks every name and says who would play. `open_cast` builds the agents, with one
ledger and one budget behind all paid calls.

    --source llm         the generators of kindling.toml
             embedded    the embedded generators
             file:PATH   responses that exist already: columns query and response
             policy:PATH a model that was trained here, or any other folder with one
    --judge  debate      positive and negative critic, judge, reflector, each as kindling.toml casts it
             llm         the configured judge alone, one call a case and vote
             embedded    the embedded judge alone
             lexical:PATH  a judge that `kindling fit-judge` learned
             rm:PATH     a reward model of `kindling train rm`: its run, or the model in it

Nothing falls back: a name that asks for an endpoint is refused where none is configured. Only the *default* source
looks at the configuration: `llm` where it casts a generator, `embedded` where it casts none.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kindling.config import GENERATORS, Config, api_key
from kindling.errors import ConfigError
from kindling.records import Side, text_id

if TYPE_CHECKING:
    from kindling.agents.budget import Budget
    from kindling.agents.cast import Cast
    from kindling.agents.critic import Critic
    from kindling.agents.generator import Generator
    from kindling.agents.judge import Judge
    from kindling.agents.ledger import Ledger
    from kindling.agents.lexical.judge import LexicalJudge
    from kindling.agents.models import ChatModel, Models
    from kindling.agents.reflector import Reflector
    from kindling.agents.retriever import Retriever
    from kindling.prompts.taskpack import TaskPack
    from kindling.rl.training.reward_judge import RewardJudge

JUDGES = ("debate", "llm", "embedded", "lexical:PATH", "rm:PATH")
LEARNED = ("lexical", "rm")
DEBATERS = ("positive", "negative", "judge", "reflector")
EMBEDDED = "embedded"
LEDGER = "ledger.sqlite"  # in a run folder
ANSWER_TOKENS = 150  # of an answer nobody has seen yet; only the dry run's cost depends on it


@dataclass(frozen=True, slots=True)
class CastPlan:
    """Who plays which role. `players` maps a role to "embedded", "MODEL @ ENDPOINT", "file PATH", "policy MODEL",
    "lexical:PATH" or "rm:PATH".
    """

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

    @property
    def models(self) -> str:
        """Every model that plays, as MODEL @ ENDPOINT, each once: how a certificate names them."""
        return ", ".join(sorted({self.players[role] for role in self.paid}))

    @property
    def grading(self) -> str:
        """How the judge's verdicts become scores, as its certificate tells it; empty where no model decides."""
        if "judge" not in self.paid:
            return ""
        section = self.config.role("judge")
        return f"{section.graded}, {section.votes} vote{'s' if section.votes > 1 else ''}"

    def paid_by(self) -> dict[str, Any]:
        """Which sections and endpoints stand behind the paid roles, as far as they shape what is answered."""
        endpoints = {self.config.role(role).endpoint for role in self.paid}
        return {
            "roles": {role: self._shaping(role) for role in self.paid},
            "endpoints": {name: self.config.endpoints[name].base_url for name in sorted(endpoints)},
        }

    def _shaping(self, role: str) -> dict[str, Any]:
        section = self.config.role(role)
        # a run of votes is the same run as one that was started before there were graded verdicts
        plain = {"graded"} if role != "judge" or section.graded == "votes" else set()
        return section.model_dump(mode="json", exclude={"price_in", "price_out", *plain})

    def templates(self) -> dict[str, str]:
        """Hash of whatever decides what a role says: its template, or the embedded cast's data."""
        embedded = any(player == EMBEDDED for player in self.players.values())
        found = {role: self.pack.prompt(_template(role)).hash for role in self.paid}
        if learned_from(self.judge):
            found["judge"] = _learned(self.judge).template
        return {**found, EMBEDDED: self.pack.data_hash()} if embedded else found

    def calls(self, rows: int, candidates: int) -> dict[str, int]:
        """Calls of each paid role for `rows` of `candidates` each, if none is repaired, retried or spared.

        Generators take turns: the first writes candidates 0, n, 2n, ... of n generators.
        """
        writers = [role for role in self.players if role in GENERATORS]
        each = {role: len(range(place, candidates, len(writers))) for place, role in enumerate(writers)}
        votes = {"judge": self.config.role("judge").votes}
        return {role: rows * each.get(role, candidates * votes.get(role, 1)) for role in self.paid}

    def too_narrow(self, batch: int) -> tuple[str, ...]:
        """A line for every endpoint that lets fewer calls through at once than one role makes for `batch` cases."""
        wanted: dict[str, int] = {}
        for role, count in self.calls(batch, 1).items():
            endpoint = self.config.role(role).endpoint
            wanted[endpoint] = max(count, wanted.get(endpoint, 0))
        return tuple(
            f"endpoints.{name}.max_in_flight is {limit}, and a step makes {count} calls at once: each waits for"
            f" {-(-count // limit) - 1} others; {count} or more would be faster, if the endpoint bears it"
            for name, count in wanted.items()
            if count > (limit := self.config.endpoints[name].max_in_flight)
        )

    def cost(self, query: str, calls: dict[str, int]) -> dict[str, float]:
        """Roughly what `calls` cost, by role: the prompt rendered for `query` with sample texts, a guessed answer."""
        from kindling.prompts.samples import sample

        costs = {}
        for role, count in calls.items():
            prompt = self.pack.prompt(_template(role))
            values = sample(prompt.role, self.pack.settings.language)[0]
            values |= {"query": query} if "query" in values else {}
            tokens = sum(_tokens(message["content"]) for message in prompt.render(**values))
            section = self.config.role(role)
            answer = min(section.max_tokens, ANSWER_TOKENS)
            costs[role] = count * (tokens * section.price_in + answer * section.price_out) / 1e6
        return costs


def _tokens(text: str) -> float:
    """Tokens of `text`, give or take a third: two in three for a CJK character, one for four others."""
    wide = sum(char > "\u2e7f" for char in text)
    return wide / 1.5 + (len(text) - wide) / 4


def plan_cast(config: Config, judge: str, source: str | None = None, *, seed: int = 0) -> CastPlan:
    """Check the names and decide who plays. Without `source`, nobody generates.

    Raises `ConfigError` for an unknown judge or source, a role without an endpoint where one is asked for, or a key
    that is not in the environment.
    """
    from kindling.prompts.taskpack import load_pack

    if learned_from(judge):
        _learned(judge)
    elif judge not in JUDGES or ":" in judge:
        raise ConfigError(f"unknown judge {judge!r}; there are {', '.join(JUDGES)}")
    pack = load_pack(config.project.task, config.prompts_dir / config.project.task)
    players = {**_generators(config, source), **_debaters(config, judge)}
    check_keys(config, players)
    return CastPlan(config, pack, judge, source, seed, players)


def check_keys(config: Config, players: dict[str, str]) -> None:
    """See that the key of every paid player is there. Raises `ConfigError` that names the variable."""
    for player in players.values():
        _, paid, endpoint = player.partition(" @ ")
        if paid:
            api_key(endpoint, config.endpoints[endpoint])


def learned_from(judge: str) -> Path | None:
    """The file or folder of a learned judge, or None for any other name."""
    kind, _, path = judge.partition(":")
    return Path(path) if kind in LEARNED and path else None


def policy_from(source: str | None) -> str | None:
    """The folder or name of the model of `--source policy:PATH`, or None for any other source."""
    kind, _, model = (source or "").partition(":")
    return model if kind == "policy" and model else None


def responses_from(source: str | None) -> Path | None:
    """The file of `--source file:PATH`, or None for any other source."""
    kind, _, path = (source or "").partition(":")
    return Path(path) if kind == "file" and path else None


def seen_by(judge: str, texts: Iterable[str]) -> int | None:
    """How many of `texts` a judge learned from; None for one that does not know."""
    return _learned(judge).seen(texts) if learned_from(judge) else None


@lru_cache(maxsize=4)  # a judge and a shadow, and not their weights anew for each repeat
def _learned(judge: str) -> "LexicalJudge | RewardJudge":
    path = learned_from(judge)
    assert path is not None, "asked for a learned judge only"
    if judge.startswith("rm:"):
        from kindling.rl.training.reward_judge import RewardJudge

        return RewardJudge.open(path)
    from kindling.agents.lexical.judge import LexicalJudge

    return LexicalJudge.open(path)


def default_source(config: Config) -> str:
    """`llm` where the configuration casts a generator, `embedded` where it casts none."""
    return "llm" if any(config.role(name).endpoint != EMBEDDED for name in GENERATORS) else EMBEDDED


def _generators(config: Config, source: str | None) -> dict[str, str]:
    if source is None:
        return {}
    if source == EMBEDDED:
        return dict.fromkeys(GENERATORS, EMBEDDED)
    if source == "llm":
        cast = {name: player_of(config, name) for name in GENERATORS if config.role(name).endpoint != EMBEDDED}
        if not cast:
            raise ConfigError(f"--source llm: no [roles.{GENERATORS[0]}] with an endpoint and a model in kindling.toml")
        return cast
    if path := responses_from(source):
        return {"file": f"file {path}"}
    if model := policy_from(source):
        return {"policy": f"policy {model}"}
    raise ConfigError(f"unknown source {source!r}; there are llm, embedded, file:PATH, policy:PATH")


def _debaters(config: Config, judge: str) -> dict[str, str]:
    if judge == EMBEDDED or learned_from(judge):
        return {"judge": judge}
    if judge == "debate":
        return {role: player_of(config, role) for role in DEBATERS}
    if config.role("judge").endpoint == EMBEDDED:
        raise ConfigError("--judge llm: no [roles.judge] with an endpoint and a model in kindling.toml")
    return {"judge": player_of(config, "judge")}


def player_of(config: Config, role: str) -> str:
    """Who plays `role` by the configuration: "embedded" or "MODEL @ ENDPOINT"."""
    section = config.role(role)
    return EMBEDDED if section.endpoint == EMBEDDED else f"{section.model} @ {section.endpoint}"


def _template(role: str) -> str:
    return "generator" if role in GENERATORS else role


@dataclass(frozen=True, slots=True)
class Till:
    """What pays: the models, the ledger of all runs that used it, and the budget. All are None where nobody is paid."""

    models: "Models | None"
    ledger: "Ledger | None"
    budget: "Budget | None"

    @property
    def cost(self) -> float:
        """Money spent by every process that used this ledger."""
        return self.budget.cost if self.budget else 0.0

    def spent(self) -> dict[str, Any]:
        """Calls, tokens and money of every process that used this ledger, per role, for run.json."""
        totals = self.ledger.totals() if self.ledger else []
        return {
            "calls": sum(total.calls for total in totals),
            "cost": self.cost,
            "roles": [asdict(total) for total in totals],
            "this_process": asdict(self.models.stats()) if self.models else None,
        }


@dataclass(frozen=True, slots=True)
class Company(Till):
    """A cast ready to play. `judge` is the whole of whoever judges in it: the debate where there is one."""

    cast: "Cast"
    judge: "Judge"


@asynccontextmanager
async def open_cast(
    plan: CastPlan, ledger_file: Path, budget: "Budget | None" = None, batch: int = 0
) -> AsyncIterator[Company]:
    """The agents of `plan`, within the configuration's limits, or within what is left of a `budget` that is given.

    The ledger is opened only if a model plays, and left behind only if one was paid. `batch` is how many cases will be
    asked about at once, by a caller that waits for all of them.
    """
    async with open_till(plan, ledger_file, budget) as till:
        if batch and till.models is not None:
            till.models.expect(plan.calls(batch, 1))
        cast = cast_of(plan, till.models)
        yield Company(till.models, till.ledger, till.budget, cast, judge_of(plan, cast))


@asynccontextmanager
async def open_till(plan: CastPlan, ledger_file: Path, budget: "Budget | None" = None) -> AsyncIterator[Till]:
    """What pays for the models of `plan`, as `open_cast` says."""
    async with AsyncExitStack() as stack:
        models, ledger = None, None
        if plan.paid:
            from kindling.agents.budget import Budget
            from kindling.agents.models import open_models

            ledger = stack.enter_context(_open_ledger(ledger_file))
            totals = ledger.totals()
            if budget is None:
                spent = sum(one.calls for one in totals), sum(one.cost for one in totals)
                budget = Budget(plan.config.budget, *spent)
            models = await stack.enter_async_context(open_models(plan.config, ledger, budget, plan.seed))
        yield Till(models, ledger, budget)


def cast_of(plan: CastPlan, models: "Models | None") -> "Cast":
    """The agents of `plan`; `models` play the roles that are paid for."""
    from kindling.agents.cast import Cast

    make = _Agents(plan, models)
    return Cast(
        retriever=make.retriever,
        generators=make.generators(),
        positive=make.critic("positive"),
        negative=make.critic("negative"),
        judge=make.judge(),
        reflector=make.reflector(),
        brief_chars=plan.pack.settings.brief_chars,
    )


def judge_of(plan: CastPlan, cast: "Cast") -> "Judge":
    """The whole of whoever judges in `cast`: the debate, where there is one."""
    if plan.judge != "debate":
        return cast.judge
    from kindling.graphs.debate import DebateJudge

    return DebateJudge(cast, plan.config.retriever.show_to, text_id(*map(str, plan.templates().items())))


def ledger_beside(out: Path) -> Path:
    """Where the paid answers behind the file `out` are kept between runs."""
    return out.with_name(f"{out.name}.ledger.sqlite")


def anything_paid(ledger: Path) -> bool:
    """Whether any answer stands in the ledger at that place, if there is one."""
    if not ledger.exists():
        return False
    with _open_ledger(ledger) as paid:
        return bool(paid.totals())


@contextmanager
def _open_ledger(file: Path) -> Iterator["Ledger"]:
    """The ledger at `file`; a new one into which nothing was paid leaves no file."""
    from kindling.agents.ledger import Ledger

    new = not file.exists()
    ledger = Ledger(file)
    try:
        yield ledger
    finally:
        empty = new and not ledger.totals()
        ledger.close()
        # SQLite takes the write-ahead log away with the last connection: if it is there, another process is at work
        if empty and not file.with_name(f"{file.name}-wal").exists():
            file.unlink(missing_ok=True)


class _Agents:
    """Makes the agent of each role: a model where the plan pays for one, the embedded one elsewhere."""

    def __init__(self, plan: CastPlan, models: "Models | None") -> None:
        self._plan = plan
        self._models = models
        self._pack = plan.pack
        self._language = plan.pack.settings.language

    @cached_property
    def _embedded(self) -> "Cast":
        from kindling.agents.embedded.cast import embedded_cast

        return embedded_cast(self._pack, self.retriever, self._plan.seed)

    @cached_property
    def retriever(self) -> "Retriever":
        from kindling.agents.retriever import open_retriever

        return open_retriever(self._plan.config, self._pack)

    def generators(self) -> "tuple[Generator, ...]":
        from kindling.agents.generator import LLMGenerator
        from kindling.agents.recorded import RecordedGenerator

        if path := responses_from(self._plan.source):
            return (RecordedGenerator(path),)
        if model := policy_from(self._plan.source):
            from kindling.rl.policy.generator import PolicyGenerator
            from kindling.rl.policy.sampling import Sampler, Sampling

            return (PolicyGenerator(Sampler(model), Sampling(seed=self._plan.seed)),)
        made: list[Generator] = []
        for role, player in self._plan.players.items():
            if role in GENERATORS and player == EMBEDDED:
                made.append(self._embedded.generators[GENERATORS.index(role)])
            elif role in GENERATORS:
                brief = self._pack.settings.brief_chars
                made.append(LLMGenerator(self._model(role), self._pack.prompt("generator"), role, brief))
        return tuple(made)

    def critic(self, role: Literal["positive", "negative"]) -> "Critic | None":
        from kindling.agents.critic import LLMCritic

        player = self._plan.players.get(role)
        if player is None:
            return None
        if player == EMBEDDED:
            return self._embedded.positive if role == "positive" else self._embedded.negative
        side: Side = "merits" if role == "positive" else "flaws"
        return LLMCritic(self._model(role), self._pack.prompt(role), side, self._language)

    def judge(self) -> "Judge":
        from kindling.agents.judge import LLMJudge

        player = self._plan.players["judge"]
        if learned_from(player):
            return _learned(player)
        if player == EMBEDDED:
            return self._embedded.judge
        votes = self._plan.config.role("judge").votes
        return LLMJudge(self._model("judge"), self._pack.prompt("judge"), votes, self._language)

    def reflector(self) -> "Reflector | None":
        from kindling.agents.reflector import LLMReflector

        player = self._plan.players.get("reflector")
        if player is None or player == EMBEDDED:
            return self._embedded.reflector if player else None
        return LLMReflector(self._model("reflector"), self._pack.prompt("reflector"), self._language)

    def _model(self, role: str) -> "ChatModel":
        assert self._models is not None, "a plan with paid roles opens models"
        return self._models.role(role)
