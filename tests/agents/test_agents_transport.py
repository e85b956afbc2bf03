"""The wire, and the contract with langchain-openai: whatever an endpoint sends, it is an answer or a `Fault`."""

import asyncio
import email.utils
import time
from importlib.metadata import version

import aiohttp
import orjson
import pytest
from aiohttp import web
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from kindling.agents.transport import Completions, Fault, RootClient, proxy_for, retry_after
from tests.scripted_models import said
from tests.scripted_server import Script, ScriptedServer

KEY = "sk-geheim-0123456789"


def _client(session, url, timeout_s=5.0):
    return Completions(session, url, SecretStr(KEY), timeout_s)


async def _post(handler, timeout_s=5.0):
    """What the client makes of a server that answers with `handler`."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as session:
            client = _client(session, f"http://127.0.0.1:{runner.addresses[0][1]}/v1/", timeout_s)
            raw = await client.with_raw_response.create(model="m", messages=said("你好"))
            return raw.parse()
    finally:
        await runner.cleanup()


def _says(body, status=200, **headers):
    async def handler(request):
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        return web.Response(body=data, status=status, content_type="application/json", headers=headers)

    return handler


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": "好"}},
        {"message": {"content": [{"type": "text", "text": "好"}, {"type": "image"}]}, "finish_reason": None},
        {"message": {"content": "好", "refusal": "", "tool_calls": [{"nonsense": 1}]}, "finish_reason": "stop"},
    ],
)
async def test_odd_but_readable_choices_are_read(choice):
    plain = await _post(_says({"choices": [choice], "usage": {"prompt_tokens": "many"}, "model": None}))
    assert plain["choices"][0]["message"]["content"] == "好"
    assert plain["usage"] == {}


@pytest.mark.parametrize("choices", [None, [], {}, "x", [None], [{}], [{"message": None}], [{"text": "old"}]])
async def test_missing_choices_become_an_empty_answer(choices):
    plain = await _post(_says({"choices": choices}))
    assert plain["choices"] == [{"message": {"role": "assistant", "content": ""}, "finish_reason": "no_choices"}]


async def test_a_refusal_is_not_the_answer():
    plain = await _post(
        _says({"choices": [{"message": {"content": None, "refusal": "不行"}, "finish_reason": "stop"}]})
    )
    assert plain["choices"][0]["finish_reason"] == "refusal"


@pytest.mark.parametrize(
    ("body", "status", "transient"),
    [
        (b"", None, True),
        (b"<html>", None, True),
        (b'{"choices": [', None, True),
        (b"[]", None, True),
        (b'{"choices": [{"message": {"content": "\\ud800"}}]}', None, True),
        ({"choices": [{"message": {"content": 5}}]}, None, True),
        ({"error": {"message": "later", "code": 429}}, 429, True),
        ({"error": {"message": "no such model", "code": 404}}, 404, False),
        ({"error": "boom"}, 500, True),
        ({"error": {"code": "x"}}, 500, True),
    ],
)
async def test_a_useless_body_of_status_200_is_a_fault(body, status, transient):
    with pytest.raises(Fault) as raised:
        await _post(_says(body))
    assert (raised.value.status, raised.value.transient) == (status, transient)


@pytest.mark.parametrize(
    ("status", "transient", "congested"),
    [
        *((status, False, False) for status in (400, 401, 403, 404, 413, 422)),
        *((status, True, False) for status in (408, 409, 500, 502)),
        *((status, True, True) for status in (429, 503)),
    ],
)
async def test_which_statuses_deserve_another_try(status, transient, congested):
    with pytest.raises(Fault) as raised:
        await _post(_says({"detail": "no\nway"}, status))
    fault = raised.value
    assert (fault.status, fault.transient, fault.congested, fault.free) == (status, transient, congested, True)
    assert str(fault) == f"HTTP {status}: no way"


async def test_a_redirect_is_not_followed():
    asked = []

    async def elsewhere(request):
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/v1/chat/completions?key=stolen"})

    with pytest.raises(Fault, match="redirects are not followed"):
        await _post(elsewhere)
    assert len(asked) == 1


async def test_a_time_out_is_told_from_a_cut_and_from_a_closed_port():
    async def sleep(request):
        await asyncio.sleep(5)
        return web.Response()

    async def cut(request):
        request.transport.abort()
        return web.Response()

    with pytest.raises(Fault) as slow:
        await _post(sleep, timeout_s=0.1)
    with pytest.raises(Fault) as broken:
        await _post(cut)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Fault) as closed:
            await _client(session, "http://127.0.0.1:9/v1").create(model="m", messages=said("x"))
    assert [error.value.timed_out for error in (slow, broken, closed)] == [True, False, False]
    assert [error.value.free for error in (slow, broken, closed)] == [False, False, True]


async def test_the_key_is_in_no_error_even_if_the_endpoint_quotes_it():
    async with ScriptedServer(Script(key="another")).running() as server, aiohttp.ClientSession() as session:
        client = _client(session, server.url)
        with pytest.raises(Fault) as raised:
            await client.create(model="m", messages=said("x"))
    assert "***" in str(raised.value)
    assert KEY not in f"{raised.value!r} {client!r} {vars(client)!r} {raised.value.__cause__!r}"


def test_retry_after_in_both_forms_and_in_none():
    in_ten = email.utils.formatdate(time.time() + 10, usegmt=True)
    past = email.utils.formatdate(time.time() - 10, usegmt=True)
    assert retry_after("1.5") == 1.5
    assert 8 < retry_after(in_ten) <= 10
    assert retry_after(past) == retry_after("-3") == 0.0
    assert [retry_after(odd) for odd in (None, "", "soon", "nan", "inf", "1e999")] == [None] * 6


def test_proxies_come_from_the_environment_but_not_for_loopback(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert proxy_for("https://api.example/v1") == "http://proxy:3128"
    assert proxy_for("https://inside.example/v1") is None
    assert proxy_for("http://localhost:8000/v1") is proxy_for("http://127.0.0.1:8000/v1") is None


class _Heard(AsyncCallbackHandler):
    def __init__(self):
        self.heard = []

    async def on_chat_model_start(self, serialized, messages, **kwargs):
        self.heard.append(("start", messages[0][0].content))

    async def on_llm_end(self, response, **kwargs):
        self.heard.append(("end", response.generations[0][0].text))


async def test_the_contract_with_langchain_openai():
    """Stock `ChatOpenAI` with the SDK, and ours: the same request, message, usage and callbacks.

    The seam (`async_client`, `with_raw_response.create`) is public but undocumented: a new minor version must pass here
    before its number may be written into this test.
    """
    assert version("langchain-openai").startswith("1.7."), "run this test against the new version, then name it here"
    settings = {"model": "judge", "temperature": 0.5, "max_retries": 0, "api_key": SecretStr("x")}
    body = {"max_tokens": 9, "seed": 3, "extra": {"deep": [1]}}
    async with ScriptedServer(Script(texts=("好", "好"))).running() as server, aiohttp.ClientSession() as session:
        client = _client(session, server.url)
        root = RootClient(client)
        clients = {"async_client": client, "root_async_client": root, "client": root, "root_client": root}
        stock = ChatOpenAI(**settings, base_url=server.url)
        ours = ChatOpenAI(**settings, base_url=server.url, **clients)
        answers, heard = [], []
        for chat in (stock, ours):
            listener = _Heard()
            answers.append(await chat.ainvoke(said("你好"), {"callbacks": [listener]}, extra_body=body))
            heard.append(listener.heard)
        sent = [{name: value for name, value in body.items() if name != "stream"} for body in server.bodies]
        await stock.root_async_client.close()
    assert sent[0] == sent[1]
    assert sent[1] == {"model": "judge", "temperature": 0.5, "messages": said("你好"), **body}
    assert [answer.content for answer in answers] == ["好", "好"]
    assert answers[0].usage_metadata == answers[1].usage_metadata
    for name in ("finish_reason", "model_name", "system_fingerprint"):
        assert answers[0].response_metadata[name] == answers[1].response_metadata[name]
    assert [kind for kind, _ in heard[1]] == ["start", "end"]
    assert answers[1].response_metadata["token_usage"]["completion_tokens"] > 0
