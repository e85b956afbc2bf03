"""The HTTP application: two routes that judge, one that says who judges, and everything that can be refused.

    POST /judge    {"items": [{"query", "response"}]} → {"items": [{"verdict", "score", "reason"}]}
                   unscored: verdict "unscored", score null, and why
    POST /reward   OpenRLHF's protocol (`openrlhf`)
    GET /health    the judge, its certificate, the counts

Errors are {"error": one line}: 400 unreadable, 401 no token, 403 another host, 413 too large, 415 not JSON, 503 a batch
that cannot be answered truthfully, or a judge that can judge no more.

Without a token only this machine may ask: the `Host` must be a loopback name, so that no web page that calls itself
127.0.0.1 reaches the judge, and a body must be declared as JSON, which a web page may not send elsewhere unasked. With
a token every route wants it, as `Bearer` or as the password of `Basic` (how a URL with a password arrives, the only
place that OpenRLHF has for it). Neither texts nor headers are logged.
"""

import base64
import binascii
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from typing import Any, ClassVar

import orjson
from aiohttp import web
from pydantic import ConfigDict

from kindling.errors import BudgetSpent, ConfigError, InputError, UsageError
from kindling.records import Verdict, load
from kindling.rl.serving import openrlhf
from kindling.rl.serving.scoring import Pair, Scorer

LOG = logging.getLogger("kindling.rl.serving")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask: `body` in bytes, `items` at once, `seconds` until what is not judged is unscored.

    OpenRLHF's client waits 180 s for an answer: a limit below that lets it have one.
    """

    body: int = 16 << 20
    items: int = 4096
    seconds: float = 150.0


@dataclass(frozen=True, slots=True)
class Item:
    """One text to judge, and what it was asked for."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    query: str
    response: str


@dataclass(frozen=True, slots=True)
class Items:
    """The body of `POST /judge`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    items: list[Item]


@dataclass(frozen=True, slots=True)
class Service:
    """The routes. `card` is what `/health` says besides the counts; `ends` are what may end OpenRLHF's texts."""

    scorer: Scorer
    card: Mapping[str, Any]
    limits: Limits = field(default_factory=Limits)
    token: str | None = None
    ends: tuple[str, ...] = openrlhf.ENDS

    def app(self) -> web.Application:
        """The application, ready to be served."""
        made = web.Application(middlewares=[self._guarded], client_max_size=self.limits.body)
        made.router.add_post("/judge", self._judge)
        made.router.add_post("/reward", self._reward)
        made.router.add_get("/health", self._health)
        return made

    async def _judge(self, request: web.Request) -> web.Response:
        asked = load(Items, await _body(request), "body")
        verdicts = await self._score([(item.query, item.response) for item in asked.items])
        return _json({"items": [_plain(verdict) for verdict in verdicts]})

    async def _reward(self, request: web.Request) -> web.Response:
        verdicts = await self._score(openrlhf.read(await _body(request), self.ends))
        answer = openrlhf.answer(verdicts)
        if answer is not None:
            return _json(answer)
        why = [verdict.unscored for verdict in verdicts if verdict.unscored is not None]
        return _error(503, f"{len(why)} of {len(verdicts)} unscored, and this protocol has no null: {why[0]}")

    async def _health(self, _: web.Request) -> web.Response:
        counts = asdict(self.scorer.counts) | {"judged": self.scorer.judged}
        status = "ok" if self.scorer.stopped is None else "stopped"
        return _json({"status": status, "stopped": self.scorer.stopped, **self.card, "counts": counts})

    async def _score(self, pairs: list[Pair]) -> list[Verdict]:
        if len(pairs) > self.limits.items:
            raise web.HTTPRequestEntityTooLarge(
                self.limits.items, len(pairs), text=f"{len(pairs)} items; at most {self.limits.items} in a request"
            )
        return await self.scorer.score(pairs, self.limits.seconds)

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who may ask, and turn every refusal into one line of JSON."""
        try:
            self._let_in(request)
            return await handler(request)
        except web.HTTPException as refusal:
            return _error(refusal.status, refusal.text or refusal.reason)
        except InputError as error:
            return _error(400, str(error))
        except (UsageError, BudgetSpent) as error:
            return _error(503, str(error))
        except Exception as error:
            LOG.exception("%s %s failed", request.method, request.path)
            return _error(500, f"a bug of this server: {type(error).__name__}")

    def _let_in(self, request: web.Request) -> None:
        if self.token is None:
            if not is_loopback(_host_name(request.host)):
                raise web.HTTPForbidden(text="this server answers its own machine only; it was started without a token")
        elif not any(hmac.compare_digest(given, self.token.encode()) for given in _tokens(request)):
            raise web.HTTPUnauthorized(text="no valid token: send Authorization: Bearer TOKEN")
        if request.method == "POST" and request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="the body must be application/json")


def _tokens(request: web.Request) -> list[bytes]:
    """What the request gives as a token."""
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return [value.strip().encode(errors="replace")]
    if kind.lower() == "basic":
        try:
            return [base64.b64decode(value, validate=True).partition(b":")[2]]
        except binascii.Error:
            return []
    return []


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine and cannot be reached from another."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _host_name(host: str) -> str:
    """A `Host` header without the port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


async def _body(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise InputError(f"body: not JSON: {error}") from error


def _plain(verdict: Verdict) -> dict[str, Any]:
    reason = verdict.reason if verdict.unscored is None else verdict.unscored
    return {"verdict": verdict.label or "unscored", "score": verdict.score, "reason": reason}


def _json(data: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")


def _error(status: int, message: str) -> web.Response:
    return _json({"error": " ".join(message.split())}, status)


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int, drain_s: float) -> AsyncIterator[str]:
    """Serve `app` while the block runs; gives its URL. `port` 0 takes a free one.

    In the end new connections are refused, and requests that are being answered have `drain_s` seconds. Raises
    `ConfigError` if the address cannot be had.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=drain_s)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ConfigError(f"--host {host} --port {port}: cannot listen there: {error.strerror or error}") from error
        address = runner.addresses[0]
        yield f"http://{f'[{address[0]}]' if ':' in address[0] else address[0]}:{address[1]}"
    finally:
        await runner.cleanup()
