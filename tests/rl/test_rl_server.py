"""The reward server over real sockets.

What is not judged is never a number, what is known is not judged again, and nobody gets in who may not.
"""

import asyncio
import json
from contextlib import nullcontext

import aiohttp
import pytest
from yarl import URL

from kindling.errors import BudgetSpent, ConfigError, InputError
from kindling.records import Case
from kindling.rl.rewards.judging import CachedJudge
from kindling.rl.serving import openrlhf
from kindling.rl.serving.app import is_loopback, listening
from tests.rl.serving import Limits, ScriptedJudge, served, service

TOKEN = "a-token-that-nobody-guesses"
CHATML = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
LLAMA = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
GEMMA = "<bos><start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n"


async def ask(url, path, body, **options):
    """Status and JSON of a POST, sent as aiohttp's clients send JSON."""
    async with aiohttp.ClientSession() as session, session.post(f"{url}{path}", json=body, **options) as answer:
        return answer.status, await answer.json()


async def judge_of(url, *texts, query="写一句"):
    status, body = await ask(url, "/judge", {"items": [{"query": query, "response": text} for text in texts]})
    assert status == 200, body
    return body["items"]


async def health(url, **options):
    async with aiohttp.ClientSession() as session, session.get(f"{url}/health", **options) as answer:
        return await answer.json()


async def test_each_item_gets_its_own_verdict_and_what_failed_gets_none():
    judge = ScriptedJudge()
    judge.failing["坏了"] = 9
    async with served(judge) as url:
        good, failed, bad, empty = await judge_of(url, "好好", "坏了", "不怎么样", "")
    assert good == {"verdict": "good", "score": 1.0, "reason": "100% of it is good"}
    assert failed == {"verdict": "unscored", "score": None, "reason": "the model refused"}
    assert (bad["verdict"], bad["score"]) == ("bad", 0.0)
    assert empty["score"] == 0.0, "an empty text is what the policy wrote, and no failure of the judge"


async def test_a_judge_that_breaks_its_contract_gives_unscored_items_and_no_500():
    class Broken(ScriptedJudge):
        async def judge(self, case, critiques=()):
            raise ZeroDivisionError("not mine")

    async with served(Broken()) as url:
        (item,) = await judge_of(url, "好")
    assert item == {"verdict": "unscored", "score": None, "reason": "ZeroDivisionError: not mine"}


async def test_equal_items_are_judged_once_whoever_asks_and_failures_again():
    async def slowly(_):
        await asyncio.sleep(0.05)

    judge = ScriptedJudge(slowly)
    judge.failing["坏"] = 1
    async with served(judge) as url:
        answers = await asyncio.gather(*(judge_of(url, "好", "好", "坏") for _ in range(5)))
        assert len({json.dumps(one[0]) for one in answers} | {json.dumps(one[1]) for one in answers}) == 1
        assert judge.asked["写一句", "好"] == 1
        assert answers[0][2]["score"] is None
        assert (await judge_of(url, "好", "坏"))[1]["score"] == 0.0
        counts = (await health(url))["counts"]
    assert (judge.asked["写一句", "好"], judge.asked["写一句", "坏"]) == (1, 2)
    assert counts == {"items": 17, "unscored": 5, "late": 0, "judged": 3}


async def test_what_is_late_is_unscored_and_found_by_those_who_ask_again():
    go_on = asyncio.Event()
    judge = ScriptedJudge(lambda case: go_on.wait() if case.response == "好慢" else asyncio.sleep(0))
    async with served(judge, limits=Limits(seconds=0.2)) as url:
        late, there = await judge_of(url, "好慢", "好")
        assert (late["score"], there["score"]) == (None, 1.0)
        assert "ask again" in late["reason"]
        go_on.set()
        (now,) = await judge_of(url, "好慢")
    assert now["score"] == 0.5
    assert judge.asked["写一句", "好慢"] == 1


async def test_a_client_that_leaves_takes_no_verdict_from_the_others():
    go_on = asyncio.Event()
    judge = ScriptedJudge(lambda _: go_on.wait())
    async with served(judge) as url:
        with pytest.raises(asyncio.TimeoutError):
            await ask(
                url,
                "/judge",
                {"items": [{"query": "写", "response": "好"}]},
                timeout=aiohttp.ClientTimeout(total=0.2),
            )
        waiting = asyncio.create_task(judge_of(url, "好", query="写"))
        await asyncio.sleep(0.1)
        go_on.set()
        assert (await waiting)[0]["score"] == 1.0
    assert judge.asked["写", "好"] == 1


async def test_a_spent_budget_is_503_for_everything_that_would_need_the_judge():
    class Poor(ScriptedJudge):
        async def judge(self, case, critiques=()):
            if case.response == "好":
                return await super().judge(case)
            raise BudgetSpent("max_calls = 1 is used up")

    async with served(Poor()) as url:
        assert (await judge_of(url, "好"))[0]["score"] == 1.0
        status, body = await ask(url, "/judge", {"items": [{"query": "写一句", "response": "贵"}]})
        assert (status, body) == (503, {"error": "max_calls = 1 is used up"})
        assert (await judge_of(url, "好"))[0]["score"] == 1.0, "what is known stays known"
        assert (await health(url))["stopped"] == "max_calls = 1 is used up"


async def test_a_request_at_work_is_answered_before_the_server_is_gone():
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_):
        asked.set()
        await go_on.wait()

    async with served(ScriptedJudge(wait)) as url:
        waiting = asyncio.create_task(judge_of(url, "好"))
        await asyncio.wait_for(asked.wait(), 5)
        asyncio.get_running_loop().call_later(0.2, go_on.set)
    assert (await waiting)[0]["score"] == 1.0
    with pytest.raises(aiohttp.ClientConnectionError):
        await judge_of(url, "好")


async def test_the_memory_is_bounded_where_it_must_be():
    judge = ScriptedJudge()
    cached = CachedJudge(lambda: nullcontext(judge), remember=2)
    for text in ("一", "二", "三", "二", "三", "一"):
        await cached.judge(Case("写", text))
    await cached.aclose()
    assert [judge.asked["写", text] for text in ("一", "二", "三")] == [2, 1, 1]


# who may ask, and what


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, "body: Items"),
        (b'{"items": 3}', 400, "items"),
        (b'{"items": [{"query": "a"}]}', 400, "items.0.response: Field required"),
        (b'{"items": [{"query": "a", "response": null}]}', 400, "items.0.response"),
        (b'{"items": [{"query": "a", "response": "b", "score": 1}]}', 400, "items.0.score"),
        (json.dumps({"items": [{"query": "a", "response": "b"}] * 5}).encode(), 413, "5 items; at most 4"),
        (json.dumps({"items": [{"query": "a", "response": "b" * 2000}]}).encode(), 413, "1000"),
    ],
)
async def test_a_request_that_cannot_be_read_is_refused_in_one_line(body, status, words):
    judge = ScriptedJudge()
    async with served(judge, limits=Limits(items=4, body=1000)) as url:
        headers = {"Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/judge", data=body, headers=headers) as answer,
        ):
            said = await answer.json()
    assert answer.status == status
    assert list(said) == ["error"]
    assert words in said["error"]
    assert "\n" not in said["error"]
    assert not judge.asked


async def test_no_web_page_reaches_a_server_without_a_token():
    judge = ScriptedJudge()
    body = {"items": [{"query": "写", "response": "好"}]}
    async with served(judge) as url:
        status, said = await ask(url, "/judge", body, headers={"Host": "evil.example:80"})
        assert (status, "own machine" in said["error"]) == (403, True)
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{url}/judge", data=json.dumps(body)) as answer:  # text/plain
                assert answer.status == 415
            async with session.options(f"{url}/judge") as answer:
                assert answer.status == 405
                assert "Access-Control-Allow-Origin" not in answer.headers
            async with session.get(f"{url}/nothing") as answer:
                assert (answer.status, list(await answer.json())) == (404, ["error"])
        port = URL(url).port
        for name in (f"localhost:{port}", f"[::1]:{port}", "127.0.0.1"):
            assert (await ask(url, "/judge", body, headers={"Host": name}))[0] == 200
    assert judge.asked.total() == 1


async def test_with_a_token_every_route_wants_it_and_none_tells_it():
    body = {"items": [{"query": "写", "response": "好"}]}
    judge = ScriptedJudge()
    async with served(judge, token=TOKEN) as url:
        for headers in (
            {},
            {"Authorization": "Bearer"},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": "Basic !"},
        ):
            status, said = await ask(url, "/judge", body, headers=headers)
            assert (status, TOKEN in json.dumps(said)) == (401, False)
            assert "counts" not in await health(url, headers=headers)
        assert not judge.asked
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await ask(url, "/judge", body, headers=bearer | {"Host": "judge.example"}))[0] == 200
        assert TOKEN not in json.dumps(await health(url, headers=bearer))
        # the only place that OpenRLHF has for a token
        with_password = url.replace("http://", f"http://kindling:{TOKEN}@")
        assert (await ask(with_password, "/judge", body))[0] == 200


async def test_nothing_of_a_request_is_logged(caplog):
    caplog.set_level("DEBUG")
    async with served(ScriptedJudge(), token=TOKEN) as url:
        await ask(
            url,
            "/judge",
            {"items": [{"query": "秘密", "response": "好"}]},
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        await ask(url, "/judge", {"items": "秘密"}, headers={"Authorization": f"Basic {TOKEN}"})
    assert not [line for line in caplog.messages if TOKEN in line or "秘密" in line]


async def test_a_port_that_is_taken_is_said_to_be():
    async with served(ScriptedJudge()) as url:
        with pytest.raises(ConfigError, match=f"--port {URL(url).port}: cannot listen"):
            async with listening(service(ScriptedJudge()).app(), "127.0.0.1", URL(url).port, 1):
                pass


@pytest.mark.parametrize(
    ("host", "so"),
    [
        *((name, True) for name in ("127.0.0.1", "127.8.8.8", "::1", "LOCALHOST")),
        *((name, False) for name in ("0.0.0.0", "::", "192.168.1.2", "localhost.example.com", "127.0.0.1.x.com", "")),
    ],
)
def test_loopback_is_what_no_other_machine_reaches(host, so):
    assert is_loopback(host) is so


# OpenRLHF


async def remote_reward(url, queries, prompts, labels, tries=5):
    """Ask as OpenRLHF 0.11 asks: one JSON object of three lists, again after every error, an answer or none."""
    for _ in range(tries):
        status, body = await ask(url, "/reward", {"query": queries, "prompts": prompts, "labels": labels})
        if status < 400:
            return body
        await asyncio.sleep(0.01)
    return None


async def test_openrlhf_gets_a_number_for_each_sample():
    judge = ScriptedJudge()
    prompt = CHATML.format("写一句")
    async with served(judge) as url:
        one = await remote_reward(url, [f"{prompt}好好<|im_end|>\n"], [prompt], ["写一句"])
        two = await remote_reward(url, [f"{prompt}好<|im_end|>", f"{prompt}不好"], [prompt] * 2, ["写一句", "写一句"])
    assert one == {"rewards": [1.0], "scores": [1.0], "extra_logs": {"judged_good": [1.0]}}
    assert two == {"rewards": [1.0, 0.5], "scores": [1.0, 0.5], "extra_logs": {"judged_good": [1.0, 0.0]}}
    assert set(judge.asked) == {("写一句", "好好"), ("写一句", "好"), ("写一句", "不好")}


async def test_what_openrlhf_puts_on_the_wire_is_understood():
    """The body is what aiohttp makes of `json=`: json.dumps with its defaults, so that Chinese comes escaped."""
    judge = ScriptedJudge()
    prompt = CHATML.format("写一句🎉")
    wire = json.dumps({"query": [f"{prompt}好🎉<|im_end|>"], "prompts": [prompt], "labels": [""]}).encode()
    assert wire.isascii()
    async with served(judge) as url, aiohttp.ClientSession() as session:
        headers = {"Content-Type": "application/json", "Accept": "*/*"}
        async with session.post(f"{url}/reward", data=wire, headers=headers) as answer:
            assert (await answer.json())["rewards"] == [0.5]
    assert set(judge.asked) == {("写一句🎉", "好🎉")}


async def test_an_unscored_sample_gives_openrlhf_no_number_and_heals_when_asked_again():
    judge = ScriptedJudge()
    prompt = CHATML.format("写一句")
    sent = ([f"{prompt}好<|im_end|>", f"{prompt}坏<|im_end|>"], [prompt] * 2, ["写一句"] * 2)
    judge.failing["坏"] = 99
    async with served(judge) as url:
        status, body = await ask(url, "/reward", {"query": sent[0], "prompts": sent[1], "labels": sent[2]})
        assert (status, list(body)) == (503, ["error"])
        assert "1 of 2 unscored" in body["error"]
        assert "the model refused" in body["error"]
        assert await remote_reward(url, *sent) is None
        judge.failing["坏"] = 2
        assert (await remote_reward(url, *sent))["rewards"] == [1.0, 0.0]
    assert judge.asked["写一句", "好"] == 1


@pytest.mark.parametrize("template", [CHATML, LLAMA, GEMMA, "{}"])
@pytest.mark.parametrize("labels", [None, [""], [None], [7]])
def test_without_a_label_the_query_is_the_last_user_turn(template, labels):
    prompt = template.format("给老师\n写一句")
    body = {"query": [f"{prompt}好"], "prompts": [prompt], **({} if labels is None else {"labels": labels})}
    assert openrlhf.read(body) == [("给老师\n写一句", "好")]


def test_of_a_long_chat_the_last_user_turn_is_judged_by():
    before = f"<|im_start|>system\n守则<|im_end|>\n{CHATML.format('先')}嗯<|im_end|>\n"
    prompt = f"{before}{CHATML.format('后')}"
    assert openrlhf.read({"query": [f"{prompt}好"], "prompts": [prompt]}) == [("后", "好")]


@pytest.mark.parametrize(
    ("after", "response"),
    [
        ("好<|im_end|>\n", "好"),
        ("好<|im_end|><|endoftext|><|endoftext|>", "好"),
        (" 好 \n</s>", "好"),
        ("好", "好"),
        ("", ""),
        ("<|im_end|>", ""),
        ("好<|im_end|>又好", "好<|im_end|>又好"),
        (f"{CHATML.format('写')}好好好<|im_end|>", f"{CHATML.format('写')}好好好"),
        ("好<|custom_end|>", "好"),
    ],
)
def test_the_response_is_what_follows_the_prompt(after, response):
    """A text that repeats its own prompt is judged whole: it may not choose where it begins."""
    prompt = CHATML.format("写")
    for lead in ("", "<s>", "<|begin_of_text|>\n"):
        body = {"query": [f"{lead}{prompt}{after}"], "prompts": [prompt], "labels": ["写"]}
        assert openrlhf.read(body, (*openrlhf.ENDS, "<|custom_end|>")) == [("写", response)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"query": ["x"]}, "prompts: Field required"),
        ({"query": "x", "prompts": ["x"]}, "query"),
        ({"query": ["ab", "ab"], "prompts": ["a"]}, "2 query, 1 prompts"),
        ({"query": ["ab"], "prompts": ["a"], "labels": ["a", "b"]}, "2 labels"),
        (
            {"query": ["另一段话，里面有写一句"], "prompts": ["写一句"], "labels": ["写"]},
            "does not begin with its prompt",
        ),
        ({"query": ["ab"], "prompts": [""], "labels": ["写"]}, "does not begin with its prompt"),
        ({"query": ["<|mine|>写<|mine|>好"], "prompts": ["<|mine|>写<|mine|>"]}, "label_key"),
    ],
)
def test_what_cannot_be_cut_is_refused_and_says_what_to_do(body, words):
    with pytest.raises(InputError, match="body") as refusal:
        openrlhf.read(body)
    assert words in str(refusal.value)
