"""Chat models by role: one shared session, the ledger in front, limits around, and the only retry layer.

    complete ── ledger ──hit──────────────────────────────→ answer
                  └─miss─→ permit (limiter) → budget → request ──→ ledger → answer
                              ↑                          │
                              └── backoff, Retry-After ──┘ 408, 409, 429, 5xx, time-out, cut connection

A request is sent through langchain-openai's `ChatOpenAI`, whose client is our thin one (`transport`); its own
retries, caches and streaming are off. Every request carries a seed derived from the run's seed and the sample index.
Answers are paid even when they cannot be used, so they are stored as they are; who asked decides what they are worth
(`structured`, `generator`).

What fails: a status that no retry can mend is a `CallError` at once; 401 and 403 are a `ConfigError` that names the
variable of the key, since no other call would fare better; so is an endpoint that was never reached or is gone, and
404 before a first answer. Nothing here is streamed.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any

import aiohttp
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from kindling.agents.budget import Budget
from kindling.agents.calls import Answer, Call, Message
from kindling.agents.dialect import Dialect
from kindling.agents.graded import keep
from kindling.agents.ledger import Flight, Ledger, Paid
from kindling.agents.limiter import Gate, Lane
from kindling.agents.stats import LaneStats, Stats, Tally
from kindling.agents.transport import Completions, Fault, RootClient
from kindling.config import Config, Endpoint, Role, api_key
from kindling.errors import BudgetSpent, CallError, ConfigError

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
# so many calls in a row that find nobody at the address mean that the server is gone for all rows
LOST_CALLS = 8
# a wrong header must not stop a run for a day
LONGEST_PAUSE_S = 600.0


class Server:
    """One endpoint of the configuration, as all roles on it share it."""

    def __init__(self, name: str, endpoint: Endpoint, session: aiohttp.ClientSession) -> None:
        self.name = name
        self.endpoint = endpoint
        self.gate = Gate(endpoint.max_in_flight)
        self.reached = False
        self.lost = 0  # calls in a row that were given up because nothing answered at the address
        self.client = Completions(session, endpoint.base_url, SecretStr(api_key(name, endpoint)), endpoint.timeout_s)
        self.dialects: dict[str, Dialect] = {}

    def dialect(self, model: str) -> Dialect:
        """What `model` here understands, made on first use."""
        return self.dialects.setdefault(model, Dialect(f"{self.name}/{model}", self.endpoint.structured))


class ChatModel:
    """The model that plays one role. Safe for any number of concurrent calls."""

    def __init__(self, role: str, settings: Role, server: Server, ledger: Ledger, budget: Budget, seed: int) -> None:
        self.role = role
        self.settings = settings
        self.tally = Tally()
        self.lane: Lane = server.gate.lane(settings.model)
        self._server = server
        self._dialect = server.dialect(settings.model)
        self._ledger = ledger
        self._budget = budget
        self._seed = seed
        self.where = f"{server.name}/{settings.model}"
        self._chat = _chat(settings, server)

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        sample: int = 0,
        schema: type[BaseModel] | None = None,
        choice: str | None = None,
    ) -> Answer:
        """The answer to `messages`; the same messages, sample, schema and choice are asked and paid for only once.

        `choice` names the field of the answer for which log-probabilities are asked and kept (`graded`). Raises
        `CallError` (no answer), `BudgetSpent`, or `ConfigError` where no call could succeed.
        """
        call = self._call(messages, sample, schema, choice)
        answer, fresh = await self._ledger.once(call, self.role, lambda flight: self._pay(call, flight))
        self.tally.hits += not fresh
        return answer

    def _call(
        self, messages: Sequence[Message], sample: int, schema: type[BaseModel] | None, choice: str | None
    ) -> Call:
        sampling = {
            "temperature": self.settings.temperature,
            "top_p": self.settings.top_p,
            "max_tokens": self.settings.max_tokens,
            "seed": request_seed(self._seed, sample),
            "extra": self.settings.extra,
        }
        form = _json_schema(schema) if schema is not None and self._dialect.asks_schema else None
        base_url = self._server.endpoint.base_url.rstrip("/")
        return Call(base_url, self.settings.model, tuple(messages), sampling, form, sample, choice)

    async def _pay(self, call: Call, flight: Flight) -> Paid:
        """Ask until there is an answer, or no sense in asking on."""
        tries = 0
        while True:
            self._insist(call)
            body = self._dialect.body(call)
            try:
                return await self._ask(call, body, flight)
            except Fault as fault:
                if self._dialect.learn(fault, body):
                    continue
                tries += 1
                if not fault.transient or tries > self._server.endpoint.retries or not flight.wanted:
                    self.tally.failures += 1
                    raise self._final(fault, tries) from fault
                self.tally.retries += 1
                if fault.retry_after is None:
                    await asyncio.sleep(backoff(call.key(), tries))

    def _insist(self, call: Call) -> None:
        """Raise `ConfigError` if log-probabilities must be had and the endpoint has refused them."""
        if call.choice is not None and self.settings.graded == "logprobs" and not self._dialect.gives_logprobs:
            ungraded = f'set roles.{self.role}.graded = "auto" or "votes"'
            raise ConfigError(f"{self.where}: refuses log-probabilities; {ungraded}")

    async def _ask(self, call: Call, body: Mapping[str, Any], flight: Flight) -> Paid:
        """One request, within the limits. Raises `Fault`."""
        await self._permit()
        expected = self._expected(call)
        seconds: float | None = None
        congested = False
        try:
            self._budget.reserve(expected)
            self.tally.requests += 1
            started = time.monotonic()
            flight.sent = True
            try:
                message = await self._chat.ainvoke(list(call.messages), extra_body=body)
            except BaseException as error:
                self._charge(error, expected)
                raise
            finally:
                flight.sent = False
            seconds = time.monotonic() - started
        except Fault as fault:
            congested = fault.congested
            self._heed(fault)
            raise
        finally:
            self.lane.release(seconds=seconds, congested=congested)
        self._server.reached = True
        self._server.lost = 0
        answer = _answer(message, call.choice)
        cost = self._cost(answer.prompt_tokens, answer.completion_tokens)
        self._budget.settle(expected, cost)
        self.tally.paid(answer, cost, seconds)
        return Paid(answer, cost, seconds)

    async def _permit(self) -> None:
        """Wait for a permit of the limiter, but no longer than the minutes last."""
        self._budget.check()
        try:
            async with asyncio.timeout(self._budget.seconds_left()):
                await self.lane.acquire()
        except TimeoutError:
            self._budget.check()
            raise BudgetSpent("max_minutes are over") from None

    def _charge(self, error: BaseException, expected: float) -> None:
        """Book a request that brought no answer: it counts unless nobody is charged for it."""
        if isinstance(error, Fault) and error.free:
            self._budget.refund(expected)
        else:
            self._budget.settle(expected, expected)

    def _heed(self, fault: Fault) -> None:
        self._server.reached |= not fault.unreachable
        self.tally.rate_limited += fault.status == 429
        self.tally.timed_out += fault.timed_out
        if fault.retry_after is not None and fault.transient:
            self._server.gate.pause(min(fault.retry_after, LONGEST_PAUSE_S))

    def _final(self, fault: Fault, tries: int) -> Exception:
        """The error for a call that is given up."""
        endpoint = self._server.endpoint
        if fault.status in (401, 403):
            key = f"check the key in {endpoint.api_key_env}" if endpoint.api_key_env else "set its api_key_env"
            return ConfigError(
                f"endpoint {self._server.name!r}: HTTP {fault.status} for {self.settings.model!r}: {key}"
            )
        if fault.status == 404 and not self.tally.calls:
            return ConfigError(f"{self.where}: {fault.detail}: mend the model's name or the endpoint's base_url")
        self._server.lost += fault.unreachable
        if self._server.lost >= LOST_CALLS or (fault.unreachable and not self._server.reached):
            return ConfigError(f"endpoint {self._server.name!r}: {fault.detail} at its base_url: is the server up?")
        times = f" ({tries} tries)" if tries > 1 else ""
        return CallError(f"{self.where}: {fault.detail}{times}")

    def _expected(self, call: Call) -> float:
        """What a call will probably cost: the role's mean so far; before the first, a bound (a token a character)."""
        if self.tally.calls:
            return self.tally.cost / self.tally.calls
        characters = sum(len(message["content"]) for message in call.messages)
        return self._cost(characters, self.settings.max_tokens)

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.settings.price_in + completion_tokens * self.settings.price_out) / 1e6


class Models:
    """The chat models of a run; made by `open_models`."""

    def __init__(
        self, config: Config, ledger: Ledger, budget: Budget, seed: int, session: aiohttp.ClientSession
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._budget = budget
        self._seed = seed
        self._session = session
        self._servers: dict[str, Server] = {}
        self._roles: dict[str, ChatModel] = {}

    def role(self, name: str) -> ChatModel:
        """The model that plays `name`. Raises `ConfigError` if the role is embedded or the key is missing."""
        if name not in self._roles:
            settings = self._config.role(name)
            if settings.endpoint == "embedded":
                raise ConfigError(f"role {name!r} has no model: add a [roles.{name}] section with endpoint and model")
            if settings.endpoint not in self._servers:
                endpoint = self._config.endpoints[settings.endpoint]
                self._servers[settings.endpoint] = Server(settings.endpoint, endpoint, self._session)
            server = self._servers[settings.endpoint]
            self._roles[name] = ChatModel(name, settings, server, self._ledger, self._budget, self._seed)
        return self._roles[name]

    def expect(self, calls: Mapping[str, int]) -> None:
        """Be told how many calls each role makes for a batch that is waited for as a whole (`Lane.expect`)."""
        for name, count in calls.items():
            self.role(name).lane.expect(count)

    def stats(self) -> Stats:
        """What this process has asked, paid and waited for so far."""
        lanes: dict[tuple[str, str], LaneStats] = {}
        for model in self._roles.values():
            where, lane = (model.settings.endpoint, model.settings.model), model.lane
            lanes[where] = LaneStats(*where, lane.in_flight, lane.waiting, lane.limit, lane.lowest, lane.highest)
        notes = [note for server in self._servers.values() for d in server.dialects.values() for note in d.notes]
        notes += [note for model in self._roles.values() if (note := model.tally.ungraded_note(model.where))]
        roles = tuple(model.tally.snapshot(name) for name, model in sorted(self._roles.items()))
        return Stats(roles, tuple(lanes.values()), tuple(notes))


@asynccontextmanager
async def open_models(config: Config, ledger: Ledger, budget: Budget, seed: int) -> AsyncIterator[Models]:
    """The models of `config`. When the block ends, however it ends, answers still on their way are stored first."""
    # the limiter bounds the connections; environment and .netrc must not add headers
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        try:
            yield Models(config, ledger, budget, seed, session)
        finally:
            await ledger.drain()


def request_seed(seed: int, sample: int) -> int:
    """The seed of a request, 31 bits: the same for the same run seed and sample, unrelated for others."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{sample}".encode()).digest()[:4], "big") >> 1


def backoff(key: str, tries: int) -> float:
    """Seconds before the next try: doubling, scattered over [1/2, 1) of that by the call's key, always the same."""
    scatter = int.from_bytes(hashlib.sha256(f"{key}/{tries}".encode()).digest()[:4], "big") / 2**32
    return min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** (tries - 1)) * (0.5 + 0.5 * scatter)


def _chat(settings: Role, server: Server) -> ChatOpenAI:
    """The langchain model of a role. It never sees the key, and every client it could open itself is replaced."""
    root = RootClient(server.client)
    return ChatOpenAI(
        model=settings.model,
        temperature=settings.temperature,
        top_p=settings.top_p,
        base_url=server.endpoint.base_url,
        api_key=SecretStr("unused"),
        max_retries=0,
        cache=False,
        disable_streaming=True,
        use_responses_api=False,
        client=root,
        root_client=root,
        async_client=server.client,
        root_async_client=root,
    )


@lru_cache(maxsize=64)
def _json_schema(schema: type[BaseModel]) -> dict[str, Any]:
    return schema.model_json_schema()


def _answer(message: AIMessage, choice: str | None) -> Answer:
    """A langchain message, as the transport filled it, as an answer; of its log-probabilities, those of `choice`."""
    told = message.response_metadata
    usage = told.get("token_usage") or {}
    answer = Answer(
        text=str(message.content),
        finish_reason=told["finish_reason"],
        model=told["model_name"],
        system_fingerprint=told["system_fingerprint"],
        prompt_tokens=usage.get("prompt_tokens", 0),
        completion_tokens=usage.get("completion_tokens", 0),
    )
    return answer if choice is None else replace(answer, logprobs=keep(answer.visible, choice, told.get("logprobs")))
