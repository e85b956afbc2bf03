"""The LLM cast against a real vLLM: what it promises is used, what it refuses is understood, nothing is asked twice.

The model is random, so its answers are noise under a grammar: many run into max_tokens, some are no JSON. That is the
point: noise may become a verdict only where the server stored a whole, readable answer that says just that.

Where noise must end, or must not, one token is biased: the quotation mark (strings) or the end of turn (texts). That
goes through `extra`, as a user's own request fields do. All calls of a sample share a seed, and to a model this poor
one prompt is like another: so a run of noise is mostly one answer, and the bias decides which.
"""

import asyncio
import json
import math
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import asynccontextmanager

import orjson
import pytest

from kindling.agents.budget import Budget
from kindling.agents.judge import Decision, LLMJudge
from kindling.agents.ledger import Ledger
from kindling.agents.models import open_models, request_seed
from kindling.agents.structured import ask
from kindling.config import GENERATORS, ROLES, Config
from kindling.errors import CallError, ConfigError, Unscored
from kindling.records import Case, Outcome, load
from tests.real_vllm.server import MAX_MODEL_LEN, MODEL, serving

pytestmark = pytest.mark.vllm

QUERIES = "祝妈妈生日快乐\n祝老师教师节快乐，10字以内\n给朋友的新年祝福\n八个字的结婚祝福\n"
END_OF_TURN = "<|im_end|>"
SAID = [{"role": "user", "content": "good or bad?"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("vllm")) as running:
        yield running


@asynccontextmanager
async def judging(server, ledger, *, seed=0, structured="auto", **role):
    """The judge's model on the server, and the models it belongs to."""
    section = {"endpoint": "vllm", "model": MODEL, "temperature": 1.0, "max_tokens": 200, **role}
    endpoint = {"base_url": server.url, "timeout_s": 120, "structured": structured}
    config = Config.model_validate({"endpoints": {"vllm": endpoint}, "roles": {"judge": section}})
    store = Ledger(ledger)
    try:
        async with asyncio.timeout(120), open_models(config, store, Budget(config.budget), seed) as models:
            yield models.role("judge"), models
    finally:
        store.close()


async def test_a_schema_gives_decisions_and_what_is_cut_off_gives_none(server, tmp_path):
    async with judging(server, tmp_path / "l.sqlite") as (model, models):
        asked = [ask(model, SAID, Decision, sample=sample) for sample in range(24)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        notes = models.stats().notes
    decided = [result for result in results if isinstance(result, Decision)]
    failed = [result for result in results if isinstance(result, Unscored)]
    assert len(decided) + len(failed) == 24
    assert decided
    assert any("max_tokens" in str(error) for error in failed)
    assert notes == (), "vLLM understands json_schema, max_tokens and seed as they are sent first"


async def test_without_a_schema_noise_is_unscored_after_its_repair_turns(server, tmp_path):
    brief = {"logit_bias": {str(server.token(END_OF_TURN)): 4}}
    async with judging(server, tmp_path / "l.sqlite", structured="text", extra=brief) as (model, models):
        for sample in range(4):
            with pytest.raises(Unscored, match=r"malformed|truncated|empty"):
                await ask(model, SAID, Decision, sample=sample)
        assert 4 <= models.stats().roles[0].requests <= 12


class Prompt:
    """Shows the response alone."""

    hash = "feed"

    def render(self, **variables):
        """One user message."""
        return [{"role": "user", "content": variables["response"]}]


def returned(server, text, extra):
    """The probabilities of "g" and "b" where the verdict on `text` begins, asked of the server without our client.

    A token of this model is a byte, so the place is counted from the end of the answer.
    """
    form = {"name": "Decision", "strict": True, "schema": Decision.model_json_schema()}
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": text}],
        "temperature": 1.0,
        "max_tokens": 200,
        "seed": request_seed(0, 0),
        "logprobs": True,
        "top_logprobs": 5,
        "response_format": {"type": "json_schema", "json_schema": form},
        **extra,
    }
    request = urllib.request.Request(f"{server.url}/chat/completions", json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=120) as answer:
        choice = json.loads(answer.read())["choices"][0]
    assert choice["finish_reason"] == "stop"
    value = choice["message"]["content"].rpartition('"verdict"')[2].partition('"')[2]
    tokens = choice["logprobs"]["content"]
    if tokens[-1]["token"] in (END_OF_TURN, ""):
        tokens = tokens[:-1]
    listed = {one["token"]: math.exp(one["logprob"]) for one in tokens[-len(value.encode())]["top_logprobs"]}
    return listed["g"], listed["b"]


async def test_a_graded_verdict_is_the_probability_among_the_alternatives_and_the_ledger_repeats_it(server, tmp_path):
    brief = {"logit_bias": {str(server.token('"')): 4}}
    cases = [Case("?", "x" * length) for length in range(1, 9)]
    verdicts, asked = [], [server.requests()]
    for _ in range(2):
        async with judging(server, tmp_path / "l.sqlite", extra=brief, graded="logprobs") as (model, models):
            judge = LLMJudge(model, Prompt())
            verdicts.append(await asyncio.gather(*(judge.judge(case) for case in cases)))
            asked.append(server.requests())
            assert models.stats().notes == ()
    assert verdicts[0] == verdicts[1]
    assert asked[0] + len(cases) == asked[1] == asked[2]
    scored = [(case, verdict) for case, verdict in zip(cases, verdicts[0], strict=True) if verdict.unscored is None]
    assert scored
    for case, verdict in scored:
        good, bad = returned(server, case.response, brief)
        assert 0 < verdict.score < 1
        assert verdict.score == pytest.approx(good / (good + bad), rel=1e-3)
        assert verdict.label == ("good" if good > bad else "bad")


async def test_log_probabilities_are_given_only_when_they_are_asked_for(server, tmp_path):
    async with judging(server, tmp_path / "a.sqlite", max_tokens=12) as (model, _):
        assert (await model.complete(SAID)).logprobs is None
        assert (await model.complete(SAID, choice="verdict")).logprobs == {"problem": "the answer cannot be read"}


async def test_the_same_seed_gives_the_same_answer_and_another_seed_or_sample_another(server, tmp_path):
    texts = []
    for number, (seed, sample) in enumerate([(0, 0), (0, 0), (1, 0), (0, 1)]):
        async with judging(server, tmp_path / f"{number}.sqlite", seed=seed, max_tokens=40) as (model, _):
            texts.append((await model.complete(SAID, sample=sample)).text)
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


@pytest.mark.parametrize(
    ("role", "text", "says"),
    [
        ({}, "x" * (MAX_MODEL_LEN + 1), "maximum context length"),
        ({"max_tokens": MAX_MODEL_LEN + 1}, "x", "max_tokens"),
        ({"max_tokens": MAX_MODEL_LEN}, "x", "maximum context length"),
        ({"extra": {"top_k": -5}}, "x", "top_k"),
    ],
    ids=["long prompt", "max_tokens beyond the context", "both together", "bad field"],
)
async def test_a_refusal_that_no_retry_can_mend_is_one_request_and_no_lesson(server, tmp_path, role, text, says):
    """Not even with a schema, where a refusal might be taken for one of the schema."""
    async with judging(server, tmp_path / "l.sqlite", **role) as (model, models):
        with pytest.raises(CallError, match=rf"HTTP 400: .*{says}"):
            await model.complete([{"role": "user", "content": text}], schema=Decision)
        assert models.stats().roles[0].requests == 1
        assert models.stats().notes == ()


async def test_an_unknown_model_is_the_users_to_mend(server, tmp_path):
    async with judging(server, tmp_path / "l.sqlite", model="nosuch") as (model, _):
        with pytest.raises(ConfigError, match=r"vllm/nosuch: HTTP 404: .*nosuch.* does not exist"):
            await model.complete(SAID)


def curate(folder, *arguments):
    """`kindling curate` in `folder`, as a user runs it: exit status, stdout, stderr."""
    command = [sys.executable, "-m", "kindling", "curate", "queries.txt", "--out", "run", *arguments]
    done = subprocess.run(command, cwd=folder, timeout=180, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def project(folder, server, roles, token, bias):
    """A folder with queries and a kindling.toml that casts `roles` on the server; `token` has a token for each role."""
    (folder / "queries.txt").write_text(QUERIES, encoding="utf-8")
    lines = ["[endpoints.vllm]", f'base_url = "{server.url}"', "timeout_s = 120"]
    for role in roles:
        lines += [f"[roles.{role}]", 'endpoint = "vllm"', f'model = "{MODEL}"', "temperature = 1.0", "max_tokens = 200"]
        # a label is to be what an answer says, not what it makes probable
        lines += ['graded = "votes"'] * (role == "judge")
        lines += [f"extra = {{ logit_bias = {{ {server.token(token[role])} = {bias} }} }}"]
    (folder / "kindling.toml").write_text("\n".join(lines), encoding="utf-8")


def judgements(run):
    rows = [orjson.loads(line) for line in (run / "records.jsonl").read_bytes().splitlines()]
    return [one for row in rows for one in load(Outcome, row).judgements]


def whole_decisions(run):
    """Every (reason, verdict) of a stored answer that ended by itself and is JSON to a reader that is not ours."""
    with sqlite3.connect(f"file:{run / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
        answers = [json.loads(answer) for (answer,) in ledger.execute("SELECT answer FROM calls")]
    found = set()
    for answer in answers:
        if answer["finish_reason"] == "stop":
            try:
                data = json.loads(answer["text"])
            except json.JSONDecodeError:
                continue
            if isinstance(data, dict) and "verdict" in data:
                found.add((data["reason"], data["verdict"]))
    return found


@pytest.mark.parametrize(("bias", "labelled"), [(4, True), (-4, False)], ids=["strings end", "strings never end"])
def test_a_judge_of_noise_labels_only_what_its_answers_say(server, tmp_path, bias, labelled):
    project(tmp_path, server, ["judge"], {"judge": '"'}, bias)
    noise = ("--set", "roles.judge.votes=3", "--candidates", "3", "--json")
    status, out, error = curate(tmp_path, "--source", "embedded", "--judge", "llm", *noise)
    assert status == 0, error
    verdicts = [one.verdict for one in judgements(tmp_path / "run")]
    scored = [verdict for verdict in verdicts if verdict.unscored is None]
    assert len(verdicts) >= 6
    assert bool(scored) == labelled
    assert {(verdict.reason, verdict.label) for verdict in scored} <= whole_decisions(tmp_path / "run")
    assert all("max_tokens" in verdict.unscored for verdict in verdicts if not labelled)
    report = json.loads(out)
    assert report["verdicts"].get("unscored", 0) == len(verdicts) - len(scored)
    assert report["calls"] >= 3 * len(verdicts)


def test_a_whole_cast_of_models_works_and_a_resumed_run_asks_nothing(server, tmp_path):
    brief = dict.fromkeys(ROLES, '"') | dict.fromkeys(GENERATORS, END_OF_TURN)
    project(tmp_path, server, ROLES, brief, bias=4)
    before = server.requests()
    status, out, error = curate(tmp_path, "--candidates", "3", "--json")
    assert status == 0, error
    report = json.loads(out)
    assert sum(report["rows"].values()) == 4
    assert server.requests() - before == sum(role["requests"] for role in report["this_process"]["roles"]) > 0
    debated = [one for one in judgements(tmp_path / "run") if one.first is not None]
    assert debated, "no debate reached its judge"
    decisions = whole_decisions(tmp_path / "run")
    for one in debated:
        for verdict in (one.first, one.verdict):
            assert verdict.unscored or (verdict.reason, verdict.label) in decisions

    files = {name: (tmp_path / "run" / name).read_bytes() for name in ("records.jsonl", "pairs.jsonl", "sft.jsonl")}
    asked = server.requests()
    # once as it stands, once with nothing left but the ledger
    for lost in ((), ("journal.jsonl", *files)):
        for name in lost:
            (tmp_path / "run" / name).unlink()
        status, _, error = curate(tmp_path, "--candidates", "3", "--json", "--resume")
        assert status == 0, error
        assert server.requests() == asked
        assert {name: (tmp_path / "run" / name).read_bytes() for name in files} == files


def test_curate_with_an_unknown_model_says_so_in_one_line(server, tmp_path):
    project(tmp_path, server, ["judge"], {"judge": '"'}, bias=4)
    status, out, error = curate(tmp_path, "--judge", "llm", "--json", "--set", "roles.judge.model=nosuch")
    assert (status, out) == (2, "")
    assert len(error.splitlines()) == 1
    assert "nosuch" in error
    assert "does not exist" in error
