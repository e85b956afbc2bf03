"""`kindling serve` as a process: what it refuses before it listens, what it pays, and how it ends."""

import json
import os
import re
import signal
import urllib.request
from pathlib import Path

import orjson
import pytest

from kindling.tables import write_jsonl
from tests.cli.running import Started, project, rows_of, serve

DOCS = Path(__file__).parents[2] / "docs/serve.md"
TOKEN = "a-token-that-nobody-guesses"
TEXTS = ["清风徐来,山路转弯。", "灯火可亲,茶香渐浓。", "清风徐来,山路转弯。", "归鸟成行。"]
ITEMS = [{"query": "给老师的祝福", "response": text} for text in TEXTS]


class Server:
    """A `kindling serve` in a process of its own."""

    def __init__(self, folder, *arguments, **options):
        self.started = Started("serve", "--port", 0, "--json", *arguments, cwd=folder, **options)
        printed = folder / f".{id(self.started)}.out"
        self.started.wait_for(lambda: printed.exists() and printed.read_text(encoding="utf-8").endswith("}\n"))
        self.card = orjson.loads(printed.read_bytes())
        self.url = self.card["url"]

    def ask(self, path, body=None, token=None):
        """The JSON that comes back."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(self.url + path, data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def judge(self, items=ITEMS):
        return self.ask("/judge", {"items": items})["items"]

    def end(self, number=signal.SIGINT):
        self.started.send(number)
        return self.started.finish()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_embedded_judge_over_http_says_what_it_says_in_a_file(kindling, tmp_path, number):
    write_jsonl(tmp_path / "in.jsonl", ITEMS)
    assert kindling("judge", "in.jsonl", "--out", "out.jsonl", "--judge", "embedded").status == 0
    wanted = [{name: row[name] for name in ("verdict", "score", "reason")} for row in rows_of(tmp_path / "out.jsonl")]
    server = Server(tmp_path, "--judge", "embedded", "--uncertified")
    assert server.judge() == wanted
    health = server.ask("/health")
    assert (health["judge"], health["certificate"], health["status"]) == ("embedded", {"state": "none"}, "ok")
    assert health["counts"] == {"items": 4, "unscored": 0, "late": 0, "judged": 3}
    done = server.end(number)
    assert done.status == 0
    assert "4 items, 3 judged, 0 unscored, 0 calls" in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.glob("*.sqlite")), "nobody was paid"


def test_paid_answers_outlive_the_server(tmp_path):
    with serve() as endpoint:
        project(tmp_path, endpoint)
        for calls in (12, 12):  # the second server pays for nothing
            server = Server(tmp_path, "--judge", "debate", "--uncertified")
            verdicts = server.judge()
            assert all(item["score"] is not None for item in verdicts)
            assert endpoint.stats()["requests"] == calls
            assert server.end().status == 0
        assert endpoint.stats()["repeated"] == 0
    assert (tmp_path / "serve.ledger.sqlite").exists()


def test_failed_judgements_are_null_and_openrlhf_is_told_503(tmp_path):
    with serve(faults={"refusal": 1.0}) as endpoint:
        project(tmp_path, endpoint, "retries = 0")
        server = Server(tmp_path, "--judge", "llm", "--uncertified", "--ledger", "paid.sqlite")
        assert {(item["verdict"], item["score"]) for item in server.judge()} == {("unscored", None)}
        body = {"query": ["写一句清风"], "prompts": ["写一句"], "labels": ["写一句"]}
        with pytest.raises(urllib.error.HTTPError) as refused:
            server.ask("/reward", body)
        with refused.value as answer:
            assert answer.code == 503
            assert "1 of 1 unscored" in json.load(answer)["error"]
        assert "3 judged" not in server.end().out


def test_a_spent_budget_is_told_and_not_a_verdict(tmp_path):
    with serve() as endpoint:
        project(tmp_path, endpoint)
        server = Server(tmp_path, "--judge", "llm", "--uncertified", "--max-calls", 1)
        assert server.judge(ITEMS[:1])[0]["score"] is not None
        with pytest.raises(urllib.error.HTTPError) as refused:
            server.judge()
        with refused.value as answer:
            assert (answer.code, json.load(answer)["error"]) == (503, "max_calls = 1 is used up")
        assert server.ask("/health")["status"] == "stopped"
        assert endpoint.stats()["requests"] == 1
        assert server.end().status == 0


def export_token():
    """Put the token into the environment of a process that has just been forked."""
    os.environ["MY_TOKEN"] = TOKEN


def test_the_token_is_in_no_output(tmp_path):
    arguments = ("--judge", "embedded", "--uncertified", "--host", "0.0.0.0", "--token-env", "MY_TOKEN")
    server = Server(tmp_path, *arguments, first=export_token)
    server.url = server.url.replace("0.0.0.0", "127.0.0.1")
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.judge()
    refused.value.close()
    assert refused.value.code == 401
    assert server.ask("/health", token=TOKEN)["status"] == "ok"
    done = server.end()
    assert (done.status, TOKEN in done.out + done.err) == (0, False)


def test_a_second_ctrl_c_gives_up_what_is_asked(tmp_path):
    with serve(latency_s=4.0) as endpoint:
        project(tmp_path, endpoint)
        server = Server(tmp_path, "--judge", "llm", "--uncertified")
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(
                urllib.request.Request(
                    f"{server.url}/judge", json.dumps({"items": ITEMS}).encode(), {"Content-Type": "application/json"}
                ),
                timeout=1,
            )
        server.started.send(signal.SIGINT)
        printed = tmp_path / f".{id(server.started)}.err"
        server.started.wait_for(lambda: "Ctrl-C again" in printed.read_text(encoding="utf-8"))
        done = server.end()
    assert done.status == 130
    assert "gave up what was asked" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--judge", "embedded"], ["no certificate", "kindling certify --judge embedded", "--uncertified"]),
        (["--judge", "embedded", "--certificate", "none.json"], ["none.json", "no certificate"]),
        (["--judge", "embedded", "--uncertified", "--host", "0.0.0.0"], ["0.0.0.0", "--token-env"]),
        (["--judge", "embedded", "--uncertified", "--token-env", "NOT_THERE"], ["export NOT_THERE="]),
        (["--judge", "embedded", "--uncertified", "--token-env", "SPACED"], ["SPACED holds spaces"]),
        (["--judge", "wizard", "--uncertified"], ["unknown judge 'wizard'"]),
        (["--judge", "llm", "--uncertified"], ["--judge llm", "roles.judge"]),
        (["--judge", "embedded", "--uncertified", "--host", "192.0.2.1", "--token-env", "GOOD"], ["cannot listen"]),
        (["--judge", "embedded", "--uncertified", "--ledger", "no/where.sqlite"], ["no: no such folder"]),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(kindling, monkeypatch, arguments, words):
    monkeypatch.setenv("SPACED", f"{TOKEN} with spaces")
    monkeypatch.setenv("GOOD", TOKEN)
    done = kindling("serve", *arguments)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert all(word in done.err for word in words), done.err
    assert TOKEN not in done.err


@pytest.fixture
def certificate(kindling, tmp_path):
    """A certificate of the embedded judge on a few cases, as a function of what is changed in it."""
    golden = (Path(__file__).parents[2] / "prompts/greetings/golden.jsonl").read_text(encoding="utf-8")
    (tmp_path / "cases.jsonl").write_text("".join(golden.splitlines(keepends=True)[:24]), encoding="utf-8")
    few = [f"certify.{name}=1" for name in ("repeats", "repeat_cases", "attack_cases")]
    sets = [word for setting in few for word in ("--set", setting)]
    done = kindling("certify", "--judge", "embedded", "--labelled", "cases.jsonl", "--out", "made.json", *sets)
    assert done.status in (0, 1), done.err
    made = orjson.loads((tmp_path / "made.json").read_bytes())

    def changed(**values):
        (tmp_path / "cert.json").write_bytes(orjson.dumps(made | values))
        return made["judge"]

    return changed


def test_a_certificate_must_speak_for_the_judge_that_is_served(kindling, tmp_path, certificate):
    command = ("--judge", "embedded", "--certificate", "cert.json")
    card = certificate(passed=False)
    done = kindling("serve", *command)
    assert (done.status, "cert.json: it failed" in done.err, done.err.count("\n")) == (2, True, 1)
    certificate(passed=True, judge=card | {"template": "beef"})
    done = kindling("serve", *command)
    assert (done.status, "it was made for template 'beef'" in done.err) == (2, True)
    server = Server(tmp_path, *command, "--uncertified")
    assert server.ask("/health")["certificate"]["state"] == "does not hold"
    assert server.end().status == 0
    certificate(passed=True)
    server = Server(tmp_path, *command)
    assert server.card["certificate"]["state"] == server.ask("/health")["certificate"]["state"] == "holds"
    assert server.end().status == 0


def test_the_reward_function_of_the_page_is_one_for_trl(tmp_path):
    """Called as TRL calls a reward function: by keywords, with texts or conversations and the dataset's columns."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    with serve(faults={"refusal": 0.5}) as endpoint:
        project(tmp_path, endpoint, "retries = 0")
        server = Server(tmp_path, "--judge", "llm", "--uncertified")
        there = {}
        exec(code.replace("http://127.0.0.1:8000", server.url), there)
        texts = [f"清风徐来{number}。" for number in range(12)]
        plain = there["judge_reward"](
            prompts=["写一句"] * 12, completions=texts, completion_ids=[[1]] * 12, query=["给老师的祝福"] * 12
        )
        chats = there["judge_reward"](
            prompts=[[{"role": "user", "content": "给老师的祝福"}]] * 12,
            completions=[[{"role": "assistant", "content": text}] for text in texts],
            completion_ids=[[1]] * 12,
        )
        assert server.end().status == 0
    assert {type(score) for score in plain} == {float, type(None)}
    scored = [(one, other) for one, other in zip(plain, chats, strict=True) if one is not None]
    assert all(one == other for one, other in scored)
