"""The comparer: both orders are asked, a place is no preference, and half an answer is none."""

import orjson
import pytest

from kindling.agents.comparer import LLMComparer, Preference
from kindling.prompts.taskpack import load_pack
from kindling.records import Case, Fact
from tests.scripted_models import scripted_models
from tests.scripted_server import Script, ScriptedServer

ONE = Case("送给朋友", "灯亮着，路不远。", (Fact("length", "不超过20个字", "6个字", met=True),))
OTHER = Case("送给朋友", "万事如意。")


def place_of(text, prompt):
    """Whether `text` stands first or second in a prompt."""
    return "first" if text in prompt.split("<<<第一条")[1].split(">>>")[0] else "second"


async def compare(tmp_path, answer, **script):
    """What the comparer says where the model gives `answer` (of the prompt); and the prompts that it was given."""
    seen = []

    def judge(prompt):
        seen.append(prompt)
        said = answer(prompt)
        return said if said.startswith("{") else orjson.dumps({"reason": "看得见", "better": said}).decode()

    async with (
        ScriptedServer(Script(answers={"judge": judge}, **script)).running() as server,
        scripted_models(server, tmp_path / "ledger.sqlite") as play,
    ):
        comparer = LLMComparer(play.judge, load_pack("greetings").prompt("comparer"))
        return await comparer.compare(ONE, OTHER), seen


@pytest.mark.parametrize(("text", "better"), [(ONE.response, "one"), (OTHER.response, "other")])
async def test_a_text_that_is_preferred_in_both_orders_is_better(tmp_path, text, better):
    found, seen = await compare(tmp_path, lambda prompt: place_of(text, prompt))
    assert (found.better, found.turned, found.unscored, found.reason) == (better, False, None, "看得见")
    assert {place_of(ONE.response, prompt) for prompt in seen} == {"first", "second"}


@pytest.mark.parametrize("place", ["first", "second"])
async def test_a_place_that_is_preferred_is_a_tie_that_turned(tmp_path, place):
    found, _ = await compare(tmp_path, lambda _: place)
    assert (found.better, found.turned) == ("tie", True)


async def test_a_tie_in_one_order_is_a_tie(tmp_path):
    found, _ = await compare(tmp_path, lambda prompt: "first" if place_of(ONE.response, prompt) == "first" else "tie")
    assert (found.better, found.turned) == ("tie", False)


@pytest.mark.parametrize("wrong", ['{"reason": "x", "better": "one"}', '{"better": "first"}', "{"])
async def test_an_answer_in_one_order_alone_is_no_preference(tmp_path, wrong):
    found, _ = await compare(tmp_path, lambda prompt: "first" if place_of(ONE.response, prompt) == "first" else wrong)
    assert (found.better, found.ahead, found.turned) == (None, "one", False)
    assert found.unscored.startswith("malformed answer")


async def test_facts_stand_with_the_text_that_they_were_measured_on(tmp_path):
    _, seen = await compare(tmp_path, lambda _: "tie")
    for prompt in seen:
        first, second = prompt.split("第二条回复：")
        assert ("6个字" in first, "6个字" in second) == (
            place_of(ONE.response, prompt) == "first", place_of(ONE.response, prompt) == "second",
        )  # fmt: skip


def test_nothing_is_better_where_an_order_has_no_answer():
    assert Preference("one", None, "", "x").better is None
    assert Preference(None, None, "", "x").better is None
    assert Preference("other", "other", "").better == "other"
