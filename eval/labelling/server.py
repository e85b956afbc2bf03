"""The local server behind the labelling page: one annotator's session, for whoever has the token.

    GET  /TOKEN/         the page: one file, no request to anywhere else (its Content-Security-Policy allows none)
    GET  /TOKEN/state    what to show now
    POST /TOKEN/answer   {case, revision, answer} or {case, revision, scores}
    POST /TOKEN/undo     {revision}

Each answer is the state that follows, as JSON. Status 409 brings the state that stands because the window was stale;
400, 500: {error}. What a page needs to show a case is all it gets: neither source nor label, nor how others or this
annotator answered on the whole.

Who may ask: the server listens on the loopback address only; the token is compared in constant time; the Host header
must name the loopback address (another site's name that is bound to it is turned away), the Origin of a change must be
the page's own. Requests are not logged: their paths hold the token.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import orjson
from aiohttp import web

from kindling.errors import InputError
from kindling.eval.labelling.session import Session, Stale, State

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
LARGEST_REQUEST = 1 << 16
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(session: Session, title: str, language: str, port: int = 0) -> AsyncIterator[str]:
    """Serve `session` while the block runs; gives the page's address, token included.

    `title` names what is labelled, `language` the texts (for fonts and hyphenation); port 0 takes a free one. Raises
    `InputError` if the port cannot be had.
    """
    token = secrets.token_urlsafe(24)
    runner = web.AppRunner(_application(session, token, title, language), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise InputError(f"--port {port}: cannot listen there: {error.strerror or error}") from error
        yield f"http://{HOST}:{runner.addresses[0][1]}/{token}/"
    finally:
        await runner.cleanup()


def _application(session: Session, token: str, title: str, language: str) -> web.Application:
    page = files("kindling.eval.labelling").joinpath("page.html").read_text(encoding="utf-8")
    headers = _headers(page)

    async def show_page(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    def show(state: State, status: int = 200) -> web.Response:
        return _json({"title": title, "language": language, **_shown(session, state)}, status)

    async def state(_: web.Request) -> web.Response:
        return show(session.state())

    async def answer(request: web.Request) -> web.Response:
        given = await _object(request, {"case", "revision", "answer", "scores"})
        try:
            return show(session.answer(given["case"], given["revision"], given.get("answer"), given.get("scores")))
        except Stale:
            return show(session.state(), 409)

    async def undo(request: web.Request) -> web.Response:
        try:
            return show(session.undo((await _object(request, {"revision"}))["revision"]))
        except Stale:
            return show(session.state(), 409)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await _guarded(request, handler, token)
        response.headers.update(headers)
        return response

    application = web.Application(middlewares=[guard], client_max_size=LARGEST_REQUEST)
    application.router.add_get("/{token}/", show_page)
    application.router.add_get("/{token}/state", state)
    application.router.add_post("/{token}/answer", answer)
    application.router.add_post("/{token}/undo", undo)
    return application


async def _guarded(request: web.Request, handler: Handler, token: str) -> web.StreamResponse:
    """The answer of `handler`, or why there is none."""
    port = request.transport.get_extra_info("sockname")[1] if request.transport else None
    hosts = {f"{name}:{port}" for name in NAMES}
    if request.host not in hosts:
        return _json({"error": "this page is for its own machine only"}, 403)
    if request.headers.get("Origin", f"http://{request.host}") != f"http://{request.host}":
        return _json({"error": "another site has no business here"}, 403)
    if not hmac.compare_digest(request.match_info.get("token", "").encode(), token.encode()):
        return _json({"error": "open the address that the command printed"}, 403)
    try:
        return await handler(request)
    except web.HTTPException as refused:
        return _json({"error": refused.reason}, refused.status)
    except InputError as error:
        return _json({"error": str(error)}, 500)
    except ValueError as error:
        return _json({"error": str(error)}, 400)


async def _object(request: web.Request, allowed: set[str]) -> dict[str, Any]:
    """The JSON object of a request that holds only fields of `allowed`, of the right types. Raises `ValueError`."""
    if request.content_type != "application/json":
        raise ValueError("send JSON")
    data = orjson.loads(await request.read())
    if not isinstance(data, dict) or not data.keys() <= allowed or type(data.get("revision")) is not int:
        raise ValueError(f"send an object with revision and nothing but {', '.join(sorted(allowed))}")
    if "case" in allowed and not isinstance(data.get("case"), str):
        raise ValueError("case: not an id")
    if data.get("answer") not in (None, "good", "bad", "cannot tell") or type(data.get("scores")) not in (dict, _NONE):
        raise ValueError("answer: good, bad or cannot tell; scores: an object")
    return data


_NONE = type(None)


def _shown(session: Session, state: State) -> dict[str, Any]:
    case = state.case and {"id": state.case.id, "query": state.case.query, "response": state.case.response}
    return {
        "annotator": session.annotator,
        "dimensions": [one.model_dump() for one in session.rubric.dimensions],
        "revision": state.revision,
        "done": state.done,
        "total": state.total,
        "can_undo": state.can_undo,
        "case": case,
        "before": state.before and {"answer": state.before.answer, "scores": state.before.scores},
    }


def _json(data: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")


def _headers(page: str) -> dict[str, str]:
    """Let the page run its own style and script, known by their hashes, and talk to its own server: nothing else."""
    own = {kind: _digest(text) for kind, text in _INLINE.findall(page)}
    policy = (
        "default-src 'none'", f"style-src '{own['style']}'", f"script-src '{own['script']}'", "connect-src 'self'",
        "img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    )  # fmt: skip
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
