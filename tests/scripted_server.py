"""A scripted OpenAI-compatible server: real sockets, answers by role, faults by rate or script, every request counted.

    async with ScriptedServer(Script(faults={"429": 0.05})).running() as server: ...     # server.url, server.stats()
    python -m tests.scripted_server --port 0 --latency-ms 200 --fault 429=0.05           # prints its port; GET /stats

The role is the first of `ROLES` that stands in the model's name; other names write text. An answer depends on the
request alone, a fault on the request, the seed and how often it was asked: so neither depends on the order of
arrival, and a request that failed may succeed at its next try. `Script.first` overrides the rates for the first
requests, `Script.texts` the texts of the first answers; `Script.answers` has a role say what a test wants of it.

A request is *answered* when a whole, parseable completion was sent for it, good or bad: that is what a client pays
for and must never ask again. `stats()["repeated"]` counts those that were. Texts are strings of neutral phrases of
many lengths.
"""

import argparse
import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from tests.scripted_logprobs import graded

PLAYERS = ("forger", "explainer", "optimizer", "tactician")
ROLES = ("positive", "negative", "judge", "reflector", "strong", "weak", *PLAYERS)
BROKEN = ("429", "500", "503", "hang", "cut", "truncated_body")
UNUSABLE = ("malformed", "wrong_schema", "empty_choices", "refusal", "length")
FAULTS = BROKEN + UNUSABLE

_PHRASES = "晨光入窗,山路转弯,清风徐来,灯火可亲,细雨无声,远处有歌,书页翻动,茶香渐浓,归鸟成行,小桥流水,炉火正旺,雪落屋檐"
_ASPECTS = "用词,流畅,具体,真诚,新意,贴合"


@dataclass(frozen=True)
class Script:
    """How the server behaves. Rates are shares of the requests; what is left over is answered well.

    `answers` holds, for a role, a function from all the words of a prompt to what the role says to them, in place of
    its own answer; one that depends on its argument alone keeps the server repeatable.

    Beyond `capacity` requests at once it answers 429; with `key` set, other keys get 401 (and are quoted in it).
    `rejects` names a field that is answered with 400, as endpoints do that do not know it. `logprobs` makes the
    log-probabilities of a text, for requests that ask for them; without it they are ignored.
    """

    latency_s: float = 0.0
    faults: Mapping[str, float] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    answers: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    seed: int = 0
    retry_after: str | None = None
    capacity: int | None = None
    key: str | None = None
    rejects: tuple[str, ...] = ()
    logprobs: Callable[[str], Any] | None = None
    good: float = 0.5
    hang_s: float = 60.0

    def __post_init__(self) -> None:
        unknown = [name for name in (*self.faults, *self.first) if name not in (*FAULTS, "ok")]
        if unknown:
            raise ValueError(f"unknown fault {unknown[0]!r}; there are {', '.join(FAULTS)}")
        if nobody := sorted(set(self.answers) - {*ROLES, "text"}):
            raise ValueError(f"unknown role {nobody[0]!r}; there are {', '.join(ROLES)}")


class ScriptedServer:
    """The server and its counts."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.port = 0
        self.in_flight = 0
        self.peak = 0
        self.seen: Counter[bytes] = Counter()
        self.answered: Counter[bytes] = Counter()
        self.kinds: Counter[str] = Counter()
        self.roles: Counter[str] = Counter()
        self.bodies: deque[dict[str, Any]] = deque(maxlen=50)
        self._first = deque(self.script.first)
        self._texts = deque(self.script.texts)

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"http://127.0.0.1:{self.port}/v1"

    def stats(self) -> dict[str, Any]:
        """Counts so far; `repeated` is the number of answers that were sent for a request answered before."""
        return {
            "requests": sum(self.seen.values()),
            "distinct": len(self.seen),
            "answered": sum(self.answered.values()),
            "repeated": sum(self.answered.values()) - len(self.answered),
            "peak": self.peak,
            "kinds": dict(self.kinds),
            "roles": dict(self.roles),
        }

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator["ScriptedServer"]:
        """Serve on loopback while the block runs; port 0 takes a free one."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/stats", self._stats)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()

    async def _stats(self, request: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(self.stats()), content_type="application/json")

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        key = hashlib.sha256(raw).digest()
        body = orjson.loads(raw)
        self.bodies.append(body)
        role = next((name for name in ROLES if name in body["model"]), "text")
        kind = self._kind(request, body, key)
        self.seen[key] += 1
        self.kinds[kind] += 1
        if kind == "ok" or kind in UNUSABLE:
            self.answered[key] += 1
            self.roles[role] += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            if self.script.latency_s and kind not in ("429", "401"):
                await asyncio.sleep(self.script.latency_s)
            return await self._respond(request, kind, role, key, body)
        finally:
            self.in_flight -= 1

    def _kind(self, request: web.Request, body: dict[str, Any], key: bytes) -> str:
        """What becomes of a request: "ok", a fault, "401", or "400:FIELD"."""
        script = self.script
        if script.key is not None and request.headers.get("Authorization") != f"Bearer {script.key}":
            return "401"
        for name in script.rejects:
            if name in body:
                return f"400:{name}"
        if script.capacity is not None and self.in_flight >= script.capacity:
            return "429"
        if self._first:
            return self._first.popleft()
        draw = _share(key, script.seed, self.seen[key])
        for name, rate in script.faults.items():
            if draw < rate:
                return name
            draw -= rate
        return "ok"

    async def _respond(
        self, request: web.Request, kind: str, role: str, key: bytes, body: dict[str, Any]
    ) -> web.StreamResponse:
        if kind == "401":
            return _error(401, f"Incorrect API key provided: {request.headers.get('Authorization')}")
        if kind.startswith("400:"):
            name = kind.removeprefix("400:")
            better = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
            return _error(400, f"Unsupported parameter: '{name}' is not supported with this model.{better}")
        if kind == "429":
            headers = {} if self.script.retry_after is None else {"Retry-After": self.script.retry_after}
            return _error(429, "slow down", headers)
        if kind in ("500", "503"):
            return _error(int(kind), "injected")
        if kind == "hang":
            await asyncio.sleep(self.script.hang_s)
        if self._texts:
            text = self._texts.popleft()
        elif role in self.script.answers:
            text = self.script.answers[role]("\n".join(message["content"] for message in body["messages"]))
        else:
            text = _content(role, key, self.script.good)
        completion = _completion(kind, text, key, body)
        if self.script.logprobs and body.get("logprobs"):
            for choice in completion["choices"]:
                choice["logprobs"] = _cut_down(self.script.logprobs(choice["message"]["content"] or ""), body)
        data = orjson.dumps(completion)
        if kind == "cut":
            return await _cut(request, data)
        if kind == "truncated_body":
            data = data[: len(data) // 2]
        return web.Response(body=data, content_type="application/json")


def _share(key: bytes, *parts: object) -> float:
    """A number in [0, 1) that depends on the arguments alone."""
    digest = hashlib.blake2b(repr(parts).encode(), key=key, digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = orjson.dumps({"error": {"message": message, "type": "scripted"}})
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


async def _cut(request: web.Request, data: bytes) -> web.StreamResponse:
    """Announce a whole body, send half of it, hang up."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(data))})
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    if request.transport is not None:
        request.transport.abort()
    return response


def _completion(kind: str, text: str, key: bytes, body: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if kind == "malformed":
        message["content"] = text.replace('"', "", 1) if text.startswith("{") else ""
    elif kind == "wrong_schema":
        message["content"] = '{"answer": 1}' if text.startswith("{") else ""
    elif kind == "length":
        message["content"] = text[: len(text) // 2]
    elif kind == "refusal":
        message |= {"content": None, "refusal": "injected refusal"}
    choice = {"index": 0, "message": message, "finish_reason": "length" if kind == "length" else "stop"}
    prompt = sum(len(part["content"]) for part in body["messages"])
    return {
        "id": key.hex()[:12],
        "object": "chat.completion",
        "model": body["model"],
        "system_fingerprint": "scripted",
        "choices": [] if kind == "empty_choices" else [choice],
        "usage": {"prompt_tokens": prompt, "completion_tokens": len(text), "total_tokens": prompt + len(text)},
    }


def _cut_down(logprobs: Any, body: dict[str, Any]) -> Any:
    """No more alternatives than the request asks for, where there are any."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    for token in content if isinstance(content, list) else ():
        if isinstance(token, dict) and isinstance(top := token.get("top_logprobs"), list):
            token["top_logprobs"] = top[: body.get("top_logprobs", 0)]
    return logprobs


def _content(role: str, key: bytes, good: float) -> str:
    """What a role says to the request `key`."""
    if role in ("judge", "reflector"):
        verdict = "good" if _share(key, "verdict") < good else "bad"
        return orjson.dumps({"reason": f"依据{_text(key, 2)}", "verdict": verdict}).decode()
    if role in ("positive", "negative"):
        aspects = _ASPECTS.split(",")
        points = [
            {"aspect": aspects[key[place] % len(aspects)], "reason": _text(key[place:], 1 + key[place] % 3)}
            for place in range(key[0] % 4)
        ]
        return orjson.dumps({"points": points}).decode()
    if role in PLAYERS:
        return orjson.dumps(_played(role, key)).decode()
    shortest = {"strong": 4, "weak": 2}.get(role, 1)
    return _text(key, shortest + key[1] % 12)


def _played(role: str, key: bytes) -> dict[str, Any]:
    """What a player of the refinement game says to the request `key`: an optimizer has one to ten different rules."""
    if role == "forger":
        return {"flaws": f"故意{_text(key, 1)}", "response": _text(key, 1 + key[1] % 12)}
    if role == "explainer":
        return {"why": f"没有看出{_text(key, 2)}"}
    rules = [f"第{number}条:{_text(key[number:], 2)}" for number in range(1, 2 + key[0] % 10)]
    return {"reason": f"因为{_text(key, 2)}", "principles" if role == "optimizer" else "tactics": rules}


def _text(key: bytes, phrases: int) -> str:
    """So many phrases in an order that `key` decides, 5 characters each with its comma or full stop."""
    choices = _PHRASES.split(",")
    return ",".join(choices[key[place % len(key)] % len(choices)] for place in range(phrases)) + "。"


async def _serve(script: Script, port: int) -> None:
    async with ScriptedServer(script).running(port) as server:
        print(server.port, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.scripted_server",
        description="A scripted OpenAI-compatible server on 127.0.0.1; prints its port.",
        epilog=f"A role is known by its name in the model's: {', '.join(ROLES)}. Other models write text.",
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fault", action="append", default=[], metavar="KIND=RATE", help=", ".join(FAULTS))
    parser.add_argument("--reject", action="append", default=[], metavar="FIELD", help="answer 400 to this field")
    parser.add_argument("--logprobs", action="store_true", help="give log-probabilities to requests that ask for them")
    parser.add_argument("--capacity", type=int)
    parser.add_argument("--retry-after")
    parser.add_argument("--good", type=float, default=0.5, help="share of good verdicts")
    given = parser.parse_args()
    faults = {name: float(rate) for name, _, rate in (fault.partition("=") for fault in given.fault)}
    script = Script(
        latency_s=given.latency_ms / 1000,
        faults=faults,
        seed=given.seed,
        retry_after=given.retry_after,
        capacity=given.capacity,
        rejects=tuple(given.reject),
        logprobs=graded if given.logprobs else None,
        good=given.good,
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(script, given.port))


if __name__ == "__main__":
    main()
