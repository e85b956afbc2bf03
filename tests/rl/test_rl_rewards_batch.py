"""What a reward takes from the whole batch: lines that answer everybody, and what length explains of a quality."""

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from math import log
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling.agents.requests import measure
from kindling.records import Case
from kindling.rl.rewards.commonplace import Commonplace
from kindling.rl.rewards.length_control import HOLD, MOST, LengthControl, Lengths, Rated, log_ratio
from kindling.rl.rewards.reward import Reward
from kindling.rl.rewards.terms import Answer, Gate, Score, Weighted

GENERIC = "好事会找到你"
rated = st.builds(
    Rated, st.sampled_from("abc"), st.integers(1, 200), st.integers(0, 100).map(lambda cents: cents / 100), st.none()
)


class Lengthy:
    """Likes long texts: a quality of 1 % a character; one that says "?" cannot be scored."""

    name = "lengthy"

    async def score(self, answers):
        return [Score(None if answer.response == "?" else min(1.0, len(answer.response) / 100)) for answer in answers]


async def rewards(reward, said):
    queries, texts = zip(*said, strict=True)
    return await reward(prompts=queries, completions=texts)


def batch(*groups):
    """Answers to as many queries as there are groups of texts."""
    everything = [(str(place), text) for place, texts in enumerate(groups) for text in texts]
    return [
        Answer(query, text, Case(query, text), int(query), tuple(one for one in everything if one[0] != query))
        for query, text in everything
    ]


async def values(term, *groups):
    return [score.value for score in await term.score(batch(*groups))]


async def test_a_line_that_answers_every_query_costs_each_text_that_has_it_and_no_other():
    others = ["灯火等你回家", "窗前的茶还热着", "纸船漂过小河", "山路上有人提灯"]
    found = await values(Commonplace([], queries=2), *([f"{GENERIC}，{own}", own] for own in others))
    assert [value < 1 for value in found] == [True, False] * len(others)


async def test_what_one_query_calls_for_is_no_commonplace_however_often_it_is_said():
    assert (
        await values(Commonplace([], queries=2), ["生日快乐！"] * 8, ["新婚快乐，白头偕老"], ["一路顺风"]) == [1.0] * 10
    )


async def test_what_good_texts_say_as_often_is_normal():
    groups = [[f"{GENERIC}，{number}" for number in "一二三"] for _ in range(3)]
    assert max(await values(Commonplace([], queries=2), *groups)) < 0.1
    known = [("q", text) for text in ("别的话", *groups[0])]
    assert await values(Commonplace(known, queries=2), *groups) == [1.0] * 9


@pytest.mark.parametrize("groups", [1, 2, 4])
async def test_few_queries_have_no_commonplaces(groups):
    assert await values(Commonplace([]), *[[GENERIC] * 4] * groups) == [1.0] * 4 * groups
    assert max(await values(Commonplace([]), *[[GENERIC] * 4] * 5)) < 1


async def test_the_more_answers_share_a_line_the_less_each_is_worth():
    def groups(sharing):
        return [[GENERIC if place < sharing else f"第{place}句各不相同的{place}话"] for place in range(10)]

    worth = [(await values(Commonplace([], queries=2), *groups(sharing)))[0] for sharing in (1, 2, 4, 6)]
    assert worth == sorted(worth, reverse=True)
    assert worth[0] == 1
    assert worth[-1] == 0


@settings(max_examples=100)
@given(st.lists(rated, min_size=2, max_size=30))
def test_after_control_length_explains_nothing_of_the_advantages(answers):
    control = LengthControl(answers)
    rest, lengths, advantages = [], [], []
    for query in sorted({one.query for one in answers}):
        group = [one for one in answers if one.query == query]
        spread = np.std([one.reward for one in group])
        if len({one.reward for one in group}) > 1:
            size = np.array([one.length for one in group])
            lengths += list(size - size.mean())
            for values, to in (([one.reward for one in group], advantages), (map(control, group), rest)):
                values = np.array(list(values))
                to += list((values - values.mean()) / spread)
        else:
            assert [control(one) for one in group] == [one.reward for one in group]
    assert np.dot(lengths, rest) == pytest.approx(0, abs=1e-6)
    if np.any(lengths):
        assert control.slope == pytest.approx(np.dot(lengths, advantages) / np.dot(lengths, lengths), abs=1e-9)


@settings(max_examples=100)
@given(st.lists(rated, min_size=2, max_size=30), st.floats(0.3, 3) | st.floats(0.9, 1.1))
def test_texts_that_have_drifted_are_led_back_to_the_lengths_before_training(answers, grown):
    usual = 50.0
    answers = [one._replace(usual=usual) for one in answers]
    before = log_ratio((one.length, usual) for one in answers) - log(grown)
    control = LengthControl(answers, before=before)
    assert control.drift == pytest.approx(log(grown))
    groups = [[one for one in answers if one.query == query] for query in {one.query for one in answers}]
    advantages, lengths = [], []
    for group in groups:
        if len({one.reward for one in group}) > 1:
            values = np.array([control(one) for one in group])
            advantages += list((values - values.mean()) / np.std([one.reward for one in group]))
            lengths += list(np.array([one.length for one in group]) - fmean(one.length for one in group))
    if np.any(lengths):
        each = np.dot(lengths, advantages) / np.dot(lengths, lengths) * np.sqrt(np.mean(np.square(lengths)))
        assert each == pytest.approx(-max(-MOST, min(MOST, HOLD * log(grown))), abs=1e-6)


def test_what_is_held_is_the_mean_length():
    """(4 + 96) / 2 and (50 + 50) / 2 are both 50 characters, so neither is a drift from the other."""
    assert log_ratio([(4, 25.0), (96, 25.0)]) == pytest.approx(log(2))
    assert log_ratio([(50, 25.0), (50, 25.0)]) == pytest.approx(log(2))
    assert log_ratio([(30, 20.0), (60, 40.0), (7, None)]) == pytest.approx(log(1.5))
    assert log_ratio([(7, None)]) is None


def test_nothing_is_led_anywhere_where_nothing_is_known_of_usual_lengths():
    answers = [Rated("a", 10, 0.2), Rated("a", 90, 0.2), Rated("a", 50, 0.9)]
    known = [one._replace(usual=20.0) for one in answers]
    free = [LengthControl(answers)(one) for one in answers]
    assert [LengthControl(answers, before=-3.0)(one) for one in answers] == free
    assert [LengthControl(known)(one) for one in known] == free
    assert [LengthControl(known, 0.0, before=-3.0)(one) for one in known] == [one.reward for one in known]


async def test_a_reward_asks_for_the_usual_length_of_each_query():
    said = [(query, "长" * size) for query in "ab" for size in (10, 20, 30)]

    async def usual(query):
        return {"a": 20.0, "b": None}[query]

    before = log_ratio([(10, 20.0), (20, 20.0), (30, 20.0)])
    same, longer = [
        await rewards(Reward([Weighted(Lengthy())], [], Case, lengths=Lengths(1.0, usual, ratio)), said)
        for ratio in (before, before - 0.1)
    ]
    assert same == pytest.approx([0.2] * 6)
    assert longer[0] > longer[1] > longer[2]
    assert longer[3:] == pytest.approx(longer[:3])


async def test_a_usual_length_that_cannot_be_found_out_costs_no_reward():
    async def broken(query):
        raise ValueError("no band")

    said = [("a", "长" * size) for size in (10, 20, 30)]
    assert await rewards(Reward([Weighted(Lengthy())], [], Case, lengths=Lengths(1.0, broken, -3.0)), said) == (
        pytest.approx([0.2] * 3)
    )


def test_answers_that_are_equally_bad_are_not_told_apart_by_their_lengths():
    hopeless = [Rated("hopeless", length, 0.0) for length in (10, 20, 60)]
    control = LengthControl([*hopeless, Rated("a", 10, 0.1), Rated("a", 50, 0.9)])
    assert control.slope > 0
    assert [control(one) for one in hopeless] == [0.0, 0.0, 0.0]


def test_equal_lengths_leave_every_quality_as_it_is():
    answers = [Rated(query, 20, quality) for query, quality in (("a", 0.1), ("a", 0.9), ("b", 0.3))]
    assert [LengthControl(answers)(one) for one in answers] == [0.1, 0.9, 0.3]


async def test_a_judge_that_counts_characters_rewards_all_alike():
    said = [(query, "长" * size) for query, sizes in (("a", (10, 20, 30)), ("b", (15, 25, 35))) for size in sizes]
    free = await rewards(Reward([Weighted(Lengthy())], [], Case), said)
    assert free == pytest.approx([0.1, 0.2, 0.3, 0.15, 0.25, 0.35])
    assert await rewards(Reward([Weighted(Lengthy())], [], Case, lengths=Lengths(1.0)), said) == pytest.approx(
        [0.2] * 3 + [0.25] * 3
    )
    half = await rewards(Reward([Weighted(Lengthy())], [], Case, lengths=Lengths(0.5)), said)
    assert half == pytest.approx([0.15, 0.2, 0.25, 0.2, 0.25, 0.3])


async def test_where_a_size_was_asked_for_length_is_no_matter_of_control():
    said = [
        ("祝福语，正好三个字", "长" * 30),
        ("祝福语，正好三个字", "长" * 10),
        ("祝福", "长" * 40),
        ("祝福", "长" * 20),
    ]

    def case_of(query, response):
        return Case(query, response, measure(query, response, 36))

    found = await rewards(Reward([Weighted(Lengthy())], [], case_of, lengths=Lengths(1.0)), said)
    assert found == pytest.approx([0.3, 0.1, 0.3, 0.3])


async def test_a_text_that_could_not_be_scored_has_no_part_in_what_length_explains():
    said = [("a", "长" * 10), ("a", "长" * 30), ("a", "?")]
    assert await rewards(Reward([Weighted(Lengthy())], [], Case, lengths=Lengths(1.0)), said) == [
        pytest.approx(0.2), pytest.approx(0.2), None,
    ]  # fmt: skip


def test_two_processes_reward_their_halves_of_a_batch_as_one_would():
    said = [(query, f"{GENERIC}{'长' * (size + place)}") for place, query in enumerate("abcd") for size in (3, 9)]
    terms = [Weighted(Lengthy())], [Gate(Commonplace([], queries=2), 0.5)], Case
    whole = asyncio.run(rewards(Reward(*terms, lengths=Lengths(1.0)), said))
    meet = threading.Barrier(2, timeout=10)
    heard = [[], []]

    def process(rank):
        def gather(mine):
            heard[rank] = mine
            meet.wait()
            everything = [*heard[0], *heard[1]]
            meet.wait()
            return everything

        return asyncio.run(rewards(Reward(*terms, gather=gather, lengths=Lengths(1.0)), (said[:4], said[4:])[rank]))

    with ThreadPoolExecutor(2) as pool:
        assert [value for half in pool.map(process, range(2)) for value in half] == pytest.approx(whole)
    assert len(set(whole)) > 1


async def test_every_batch_is_gathered_as_often_whatever_fails():
    calls = Counter()

    def gather(mine):
        calls["gathered"] += 1
        return mine

    def broken(query, response):
        raise ValueError("no case")

    assert await rewards(Reward([Weighted(Lengthy())], [], broken, gather=gather), [("a", "b")]) == [None]
    stopped = Reward([Weighted(Lengthy())], [], Case, gather=gather)
    stopped.stopped = "no key"
    assert await rewards(stopped, [("a", "b")]) == [None]
    assert calls["gathered"] == 4
