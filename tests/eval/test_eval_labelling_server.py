"""The page's server: who may ask, what is told, and what a bad request or a broken file comes to."""

import logging
from urllib.parse import urlsplit

import aiohttp
import pytest

from kindling.errors import InputError
from kindling.eval.labelling.answers import read_answers
from kindling.eval.labelling.items import read_items
from kindling.eval.labelling.rubric import PLAIN
from kindling.eval.labelling.server import serving
from kindling.eval.labelling.session import Session
from kindling.tables import write_jsonl

HOSTILE = (
    "<script>document.title = 'owned'</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</div></body>{{ 7 * 7 }} ${7*7} %s",
    "\u202etxet sdrawkcab\u200b\x07 \u2028 end",
    "长" * 20_000,
)


@pytest.fixture
def session(tmp_path):
    rows = [{"query": f"问 {text}", "response": text, "source": "gpt-secret", "label": "good"} for text in HOSTILE]
    write_jsonl(tmp_path / "c.jsonl", rows)
    return Session(read_items(tmp_path / "c.jsonl"), tmp_path / "a.jsonl", "anna", PLAIN)


@pytest.fixture
async def address(session):
    async with serving(session, "c.jsonl", "zh") as found:
        yield found


@pytest.fixture
async def client():
    async with aiohttp.ClientSession() as made:
        yield made


async def ask(client, url, body=None, **headers):
    method = client.get if body is None else client.post
    async with method(url, headers=headers, **({} if body is None else {"json": body})) as answer:
        return answer.status, await answer.json(), answer.headers


async def test_texts_come_as_they_are_and_nothing_else_of_the_row(client, address):
    met = []
    for _ in HOSTILE:
        status, now, _ = await ask(client, address + "state")
        assert status == 200
        met.append(now["case"]["response"])
        assert set(now["case"]) == {"id", "query", "response"}
        assert "gpt-secret" not in str(now)
        body = {"case": now["case"]["id"], "revision": now["revision"], "answer": "bad"}
        assert (await ask(client, address + "answer", body))[0] == 200
    assert sorted(met) == sorted(HOSTILE)
    last = (await ask(client, address + "state"))[1]
    assert (last["case"], last["done"], last["total"]) == (None, 5, 5)


async def test_only_who_has_the_token_is_served(client, address, session, caplog):
    caplog.set_level(logging.DEBUG)
    parts = urlsplit(address)
    token = parts.path.strip("/")
    assert len(token) >= 32
    root = f"{parts.scheme}://{parts.netloc}/"
    for path in ("", "state", f"{token[:-1]}/state", f"{token}x/", f"{'é' * 32}/state", "x/answer", "favicon.ico"):
        status, said, _ = await ask(client, root + path)
        assert status == 403
        assert token not in str(said)
    state = (await ask(client, address + "state"))[1]
    body = {"case": state["case"]["id"], "revision": 0, "answer": "good"}
    assert (await ask(client, f"{root}wrong/answer", body))[0] == 403
    assert read_answers(session.path) == ()
    assert token not in caplog.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1.evil.example:{port}", "localhost:1"])
async def test_a_name_that_is_bound_to_the_loopback_address_is_turned_away(client, address, host):
    port = urlsplit(address).port
    assert (await ask(client, address + "state", Host=host.format(port=port)))[0] == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1"])
async def test_another_sites_form_changes_nothing(client, address, session, origin):
    state = (await ask(client, address + "state"))[1]
    body = {"case": state["case"]["id"], "revision": 0, "answer": "good"}
    status, _, _ = await ask(client, address + "answer", body, Origin=origin.format(port=urlsplit(address).port))
    assert status == 403
    assert read_answers(session.path) == ()
    own = address.split("/", 3)
    assert (await ask(client, address + "answer", body, Origin="/".join(own[:3])))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        {}, [], "x", {"revision": 0}, {"case": "x", "revision": "0", "answer": "good"},
        {"case": 1, "revision": 0, "answer": "good"}, {"case": "x", "revision": 0, "answer": "excellent"},
        {"case": "x", "revision": 0, "answer": "undone"}, {"case": "x", "revision": 0},
        {"case": "x", "revision": 0, "scores": {"wit": 3}}, {"case": "x", "revision": 0, "scores": [3]},
        {"case": "x", "revision": 0, "answer": "good", "annotator": "ben"}, {"case": "x", "revision": True},
    ],
)  # fmt: skip
async def test_a_request_that_is_no_answer_is_refused(client, address, session, body):
    status, said, _ = await ask(client, address + "answer", body)
    assert status == 400
    assert said["error"]
    assert read_answers(session.path) == ()


async def test_a_stale_window_is_told_where_it_is(client, address, session):
    state = (await ask(client, address + "state"))[1]
    body = {"case": state["case"]["id"], "revision": 0, "answer": "good"}
    assert (await ask(client, address + "answer", body))[0] == 200
    status, now, _ = await ask(client, address + "answer", {**body, "answer": "bad"})
    assert (status, now["done"], now["revision"]) == (409, 1, 1)
    assert [one.answer for one in read_answers(session.path)] == ["good"]
    status, now, _ = await ask(client, address + "undo", {"revision": 1})
    assert (status, now["case"], now["before"]["answer"]) == (200, state["case"], "good")


async def test_a_broken_file_is_said_and_not_built_upon(client, address, session):
    state = (await ask(client, address + "state"))[1]
    session.path.write_bytes(b"not an answer\n")
    body = {"case": state["case"]["id"], "revision": 0, "answer": "good"}
    status, said, _ = await ask(client, address + "answer", body)
    assert status == 500
    assert "line 1" in said["error"]
    assert session.path.read_bytes() == b"not an answer\n"


async def test_the_page_may_ask_its_own_server_and_nobody_else(client, address):
    async with client.get(address) as answer:
        page, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
    assert "http" not in page.replace("http-equiv", "")
    assert "innerHTML" not in page
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_a_large_request_is_refused(client, address, session):
    body = {"case": "x" * 100_000, "revision": 0, "answer": "good"}
    status, _, _ = await ask(client, address + "answer", body)
    assert status == 413
    assert read_answers(session.path) == ()


async def test_a_port_in_use_is_one_line(address, session):
    port = urlsplit(address).port
    with pytest.raises(InputError, match=f"--port {port}"):
        async with serving(session, "c.jsonl", "zh", port):
            pass
