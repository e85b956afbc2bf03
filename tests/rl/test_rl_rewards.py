"""The composed reward: a failed term makes its row None and never 0, no exception ends a run, the record is whole."""

import asyncio
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling.errors import BudgetSpent, ConfigError, InputError
from kindling.records import Case, Verdict
from kindling.rl.firewall.shadow import ShadowWatch
from kindling.rl.rewards.judging import CachedJudge
from kindling.rl.rewards.quality import JudgeScore, RewardModelScore
from kindling.rl.rewards.reward import Reward
from kindling.rl.rewards.terms import Answer, Gate, Score, Weighted

unit = st.floats(0, 1)


class Fixed:
    """A term with the given values, one an answer in turn; an exception among them is raised."""

    def __init__(self, name, *values):
        self.name = name
        self.values = values
        self.calls = 0

    async def score(self, answers):
        self.calls += 1
        if isinstance(self.values[0], BaseException):
            raise self.values[0]
        values = [self.values[place % len(self.values)] for place in range(len(answers))]
        return [Score(value, "because") for value in values]


class ByText:
    """A judge whose score is the text; "?" is unscored, "!" breaks the contract. Counts what it is asked."""

    name = "by-text"
    template = "t"

    def __init__(self, seconds=0.0):
        self.asked = []
        self.seconds = seconds
        self.most = self.now = 0

    async def judge(self, case, critiques=()):
        self.asked.append((case.query, case.response))
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.seconds)
        self.now -= 1
        if case.response == "!":
            raise RuntimeError("a judge that breaks its contract")
        if case.response == "?":
            return Verdict.none("timed out", self.name, self.template)
        return Verdict.of(float(case.response), "reason", self.name, self.template)


def cached(judge, **options):
    return CachedJudge(lambda: nullcontext(judge), **options)


async def rewards(reward, texts, queries=None, **columns):
    return await reward(prompts=queries or ["q"] * len(texts), completions=texts, completion_ids=[], **columns)


@settings(max_examples=50)
@given(st.tuples(unit, unit), st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)), unit, unit)
async def test_the_reward_is_the_weighted_mean_of_qualities_times_the_gates(values, weights, gate, strength):
    qualities = [Weighted(Fixed(str(n), values[n]), weights[n]) for n in range(2)]
    reward = Reward(qualities, [Gate(Fixed("gate", gate), strength)], Case)
    mean = (values[0] * weights[0] + values[1] * weights[1]) / sum(weights)
    assert await rewards(reward, ["a"]) == [pytest.approx(mean * (1 - strength * (1 - gate)))]


@pytest.mark.parametrize("bad", [None, float("nan"), 1.01, -0.01, float("inf")])
@pytest.mark.parametrize("where", ["quality", "gate"])
async def test_one_value_that_is_none_or_no_share_makes_exactly_its_row_none(bad, where):
    quality, gate = (Fixed(name, 0.5, bad) if name == where else Fixed(name, 0.5) for name in ("quality", "gate"))
    reward = Reward([Weighted(quality)], [Gate(gate)], Case)
    assert await rewards(reward, list("abcd")) == [0.25, None, 0.25, None]
    (batch,) = reward.drain()
    assert [row.why.startswith(f"{where}: ") for row in batch.rows] == [False, True, False, True]
    assert reward.failures.total() == 2


async def test_a_term_that_raises_or_miscounts_fails_the_batch_and_the_next_batch_is_scored_again():
    class Flaky(Fixed):
        async def score(self, answers):
            self.calls += 1
            if self.calls == 1:
                raise OSError("no route")
            return [Score(1.0)] * (len(answers) - (self.calls == 2))

    reward = Reward([Weighted(Fixed("q", 1.0))], [Gate(Flaky("flaky", 1.0))], Case)
    assert await rewards(reward, list("ab")) == [None, None]
    assert await rewards(reward, list("ab")) == [None, None]
    assert await rewards(reward, list("ab")) == [1.0, 1.0]
    assert reward.stopped is None
    assert any("no route" in why for why in reward.failures)


@pytest.mark.parametrize(
    "error", [ConfigError("KEY is not set: export KEY=…"), BudgetSpent("max_calls = 3 is used up")]
)
async def test_what_no_later_call_can_mend_is_put_down_and_nothing_is_asked_again(error):
    broken = Fixed("judge", error)
    reward = Reward([Weighted(broken)], [], Case)
    for _ in range(3):
        assert await rewards(reward, list("ab")) == [None, None]
    assert reward.stopped == str(error)
    assert broken.calls == 1


async def test_a_watch_that_fails_costs_no_reward_but_its_end_of_the_run_is_heard():
    class Broken:
        error: Exception = OSError("no route")

        async def watch(self, step, answers):
            raise self.error

    watch = Broken()
    reward = Reward([Weighted(Fixed("q", 0.5))], [], Case, watches=[watch])
    assert await rewards(reward, ["a"]) == [0.5]
    watch.error = BudgetSpent("max_cost = 1 is used up")
    assert await rewards(reward, ["a"]) == [0.5]
    assert reward.stopped == "max_cost = 1 is used up"


async def test_facts_that_cannot_be_measured_and_a_log_that_cannot_be_written_end_no_run():
    def broken(query, response):
        raise ValueError("no facts")

    assert await rewards(Reward([Weighted(Fixed("q", 1.0))], [], broken), ["a"]) == [None]

    def full(batch):
        raise OSError("disk full")

    assert await rewards(Reward([Weighted(Fixed("q", 1.0))], [], Case, sink=full), ["a"]) == [1.0]


async def test_texts_conversations_and_the_query_column_all_say_what_was_asked_and_answered():
    seen = []

    def case_of(query, response):
        seen.append((query, response))
        return Case(query, response)

    reward = Reward([Weighted(Fixed("q", 1.0))], [], case_of)
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    said = [{"role": "assistant", "content": "a"}]
    await reward(prompts=["q"], completions=["a"])
    await reward(prompts=[chat], completions=[said])
    await reward(prompts=[chat], completions=[said], query=["other"])
    assert seen == [("q", "a"), ("q", "a"), ("other", "a")]


async def test_the_record_has_every_row_with_step_verdict_terms_and_reasons_and_reaches_the_sink():
    kept, metrics = [], {}
    reward = Reward([Weighted(JudgeScore(cached(ByText())))], [Gate(Fixed("gate", 0.5))], Case, sink=kept.append)
    state = SimpleNamespace(global_step=7)
    texts = ["0.8", "?", "0.2"]
    await rewards(reward, texts, trainer_state=state, log_metric=metrics.__setitem__)
    rows = [row.flat() for row in kept[0].rows]
    assert [row["response"] for row in rows] == texts
    assert [row["verdict"] for row in rows] == ["good", "unscored", "bad"]
    assert [row["reward"] for row in rows] == [pytest.approx(0.4), None, pytest.approx(0.1)]
    assert rows[1]["why"] == "judge: timed out"
    assert {row["step"] for row in rows} == {7}
    assert {*rows[0]} >= {"judge", "judge_reason", "gate", "gate_reason", "query"}
    assert metrics["reward_terms/judge"] == pytest.approx(0.5)
    assert metrics["reward_terms/unscored"] == pytest.approx(1 / 3)
    assert reward.drain() == kept
    assert reward.drain() == []


def test_a_reward_needs_a_quality_weights_and_names_of_their_own():
    term = Fixed("a", 1.0)
    for qualities, gates in ([], [Gate(term)]), ([Weighted(term, 0.0)], []), ([Weighted(term)], [Gate(term)]):
        with pytest.raises(ValueError, match="names of their own"):
            Reward(qualities, gates, Case)


async def test_identical_cases_in_flight_share_a_call_and_a_scored_one_is_remembered_an_unscored_one_is_not():
    judge = ByText(0.01)
    reward = Reward([Weighted(JudgeScore(cached(judge)))], [], Case)
    assert await rewards(reward, ["1.0", "?", "1.0", "?", "!"]) == [1.0, None, 1.0, None, None]
    assert len(judge.asked) == 3
    assert await rewards(reward, ["1.0", "?", "!"]) == [1.0, None, None]
    assert judge.asked[3:] == [("q", "?"), ("q", "!")]
    assert await rewards(reward, ["1.0"], ["another query"]) == [1.0]
    assert judge.asked[-1] == ("another query", "1.0")


async def test_all_calls_are_out_at_once_up_to_the_bound():
    for bound, most in ((256, 40), (7, 7)):
        judge = ByText(0.02)
        reward = Reward([Weighted(JudgeScore(cached(judge, in_flight=bound)))], [], Case)
        await rewards(reward, [f"0.{n}" for n in range(10, 50)])
        assert judge.most == most


async def test_a_slow_judge_costs_a_step_one_call_and_no_more():
    judge = ByText(0.5)
    reward = Reward([Weighted(JudgeScore(cached(judge)))], [Gate(Fixed("gate", 1.0))], Case)
    await rewards(reward, [f"0.{n}" for n in range(100, 164)])
    (batch,) = reward.drain()
    assert judge.most == 64
    assert 0.5 <= batch.seconds < 1.0, "less than two calls; how much less is for the bench"


class Opened:
    """A judge that must be entered, used and left on one loop, by one task."""

    def __init__(self, judge, refuse=None):
        self.judge = judge
        self.refuse = refuse
        self.tasks = []

    async def __aenter__(self):
        if self.refuse:
            raise self.refuse
        self.tasks.append(asyncio.current_task())
        return self.judge

    async def __aexit__(self, *_):
        self.tasks.append(asyncio.current_task())


def test_a_judge_is_opened_where_it_is_called_and_closed_by_the_task_that_opened_it_from_another_thread():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    opened = Opened(ByText())
    judge = CachedJudge(lambda: opened)
    judge.close()  # never asked: nothing to close
    verdict = asyncio.run_coroutine_threadsafe(judge.judge(Case("q", "0.7")), loop).result(5)
    assert verdict.score == 0.7
    judge.close()
    assert opened.tasks[0] is opened.tasks[1]
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


async def test_a_judge_that_cannot_be_opened_ends_the_reward_with_its_line():
    judge = CachedJudge(lambda: Opened(ByText(), ConfigError("no server at http://localhost:1: start it")))
    reward = Reward([Weighted(JudgeScore(judge))], [], Case)
    assert await rewards(reward, ["0.5", "0.6"]) == [None, None]
    assert reward.stopped == "no server at http://localhost:1: start it"
    await judge.aclose()


async def test_a_reward_models_score_is_squashed_around_its_references_and_a_nan_is_no_score():
    raw = {"low": -3.0, "a": 9.0, "b": 10.0, "c": 11.0, "high": 1e6, "nan": float("nan")}

    def scorer(pairs):
        return [raw[response] for _, response in pairs]

    term = RewardModelScore.fitted(scorer, [("q", text) for text in "abc"])
    reward = Reward([Weighted(term)], [], Case)
    low, middle, high, nan = await rewards(reward, ["low", "b", "high", "nan"])
    assert 0 <= low < 0.01
    assert middle == 0.5
    assert high == 1.0
    assert nan is None
    with pytest.raises(InputError, match="no different scores"):
        RewardModelScore.fitted(lambda pairs: [1.0] * len(pairs), [("q", "a"), ("q", "b")])


@pytest.mark.parametrize(
    ("every", "stride", "looked"),
    [(5, 1, [0, 5, 10, 15]), (5, 2, [0, 6, 10, 16]), (5, 4, [0, 8, 12, 16]), (2, 4, [0, 4, 8, 12, 16])],
)
async def test_a_shadow_looks_as_often_as_it_should_where_a_batch_serves_several_steps(every, stride, looked):
    watch = ShadowWatch(cached(ByText()), every, stride=stride)
    for step in range(0, 20, stride):
        await watch.watch(step, [Answer("q", "0.5", Case("q", "0.5"), 0)])
    assert [one.step for one in watch.drain()] == looked
