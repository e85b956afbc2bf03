"""Rejection sampling: what becomes of a row, whatever its agents do."""

import asyncio
from dataclasses import replace

import pytest

from kindling.config import load_config
from kindling.errors import BudgetSpent, CallError, ConfigError, Unscored
from kindling.graphs.rejection_sampling import Settings, build, sampler
from kindling.records import Query, Verdict
from tests.graphs.actors import World

QUERY = Query("八个字的话", 5, 2)


def work(world, settings=None, **changes):
    return sampler(build(world.cast(**changes), settings or Settings()))


def labelled(*labels):
    """Make a world where candidate i is good, bad or unscored; texts have the same length."""
    score = {"good": 0.9, "bad": 0.1, "weakly good": 0.55, "weakly bad": 0.45, "lost": 0.0}

    def index(text):
        return int(text.rsplit(":", 1)[1])

    return World(
        write=lambda query, i: f"{query}:{i}",
        score=lambda query, text: score[labels[index(text)]],
        faulty=lambda role, key: Unscored("no JSON") if role == "judge" and labels[index(key[1])] == "lost" else False,
    )


@pytest.mark.parametrize(
    ("labels", "status", "reason"),
    [
        (("good", "bad", "good", "bad"), "accepted", "paired"),
        (("good", "bad", "lost", "lost"), "accepted", "paired"),
        (("good", "good", "good"), "rejected", "all_good"),
        (("bad", "bad"), "rejected", "all_bad"),
        (("weakly good", "weakly bad"), "rejected", "no_margin"),
        (("good", "good", "lost"), "unscored", "too_few_verdicts"),
        (("bad", "lost"), "unscored", "too_few_verdicts"),
        (("weakly good", "weakly bad", "lost"), "unscored", "too_few_verdicts"),
        (("lost", "lost"), "unscored", "too_few_verdicts"),
        (("good",), "rejected", "all_good"),
    ],
)
async def test_status_and_reason_follow_from_the_verdicts(labels, status, reason):
    outcome = await work(labelled(*labels), Settings(candidates=len(labels)))(QUERY)
    assert (outcome.status, outcome.reason) == (status, reason)
    assert outcome.query == QUERY
    assert len(outcome.judgements) == len(labels)
    assert [one.candidate.index for one in outcome.judgements] == list(range(len(labels)))
    assert bool(outcome.pairs) == (status == "accepted")
    assert outcome.detail.count("no JSON") == labels.count("lost"), "every failure says why"


async def test_equal_texts_are_judged_once_share_the_verdict_and_keep_their_records():
    world = World(write=lambda query, i: ("same", "other")[i == 2], score=lambda query, text: 0.9 * (text == "same"))
    outcome = await work(world)(QUERY)
    assert world.calls["judge"] == 2
    assert [one.candidate.source for one in outcome.judgements] == ["strong", "weak", "strong", "weak"]
    assert [one.candidate.text for one in outcome.judgements] == ["same", "same", "other", "same"]
    assert [one.verdict.label for one in outcome.judgements] == ["good", "good", "bad", "good"]
    (pair,) = outcome.pairs
    assert (pair.chosen_index, pair.rejected_index) == (0, 2)


async def test_one_text_only_cannot_pair_with_itself():
    world = World(write=lambda query, i: "same", score=lambda query, text: 0.9)
    outcome = await work(world)(QUERY)
    assert (outcome.status, outcome.reason, outcome.pairs) == ("rejected", "all_good", ())


async def test_candidate_i_is_written_by_generator_i_modulo_their_number():
    outcome = await work(World(), Settings(candidates=5))(QUERY)
    assert [one.candidate.source for one in outcome.judgements] == ["strong", "weak", "strong", "weak", "strong"]


@pytest.mark.parametrize("fault", [CallError("refused"), RuntimeError("a bug"), None])
async def test_a_generator_that_fails_costs_one_candidate_and_says_why(fault):
    world = World(faulty=lambda role, key: fault if role == "generator" and key[1] == 1 else False)
    outcome = await work(world)(QUERY)
    assert [one.candidate.index for one in outcome.judgements] == [0, 2, 3]
    assert "candidate 1 (weak): " in outcome.detail
    assert str(fault or "TypeError") in outcome.detail


async def test_a_row_without_candidates_has_failed():
    world = World(faulty=lambda role, key: role == "generator" and CallError(f"try {key[1]}"))
    outcome = await work(world)(QUERY)
    assert (outcome.status, outcome.reason, outcome.judgements) == ("failed", "no_candidates", ())
    assert all(f"candidate {i} " in outcome.detail and f"try {i}" in outcome.detail for i in range(4))
    assert set(world.calls) == {"generator"}


@pytest.mark.parametrize("show_to", [(), ("generator",), ("positive", "negative"), ("generator", "negative")])
async def test_examples_go_to_whom_the_configuration_says(show_to):
    world = World()
    outcome = await work(world, Settings(show_to=show_to))(QUERY)
    assert outcome.examples == world.examples
    shown = {role for role, cases in world.cases.items() if any(case.examples for case in cases)}
    shown |= {"generator"} if any(world.seen) else set()
    assert shown == set(show_to)


async def test_candidates_are_written_and_debated_at_the_same_time():
    """Every call waits until its role is called for all four candidates; one after the other would wait for ever."""

    class Together(World):
        async def call(self, role, *key):
            await together[role].wait()
            return await super().call(role, *key)

    roles = ("generator", "positive", "negative", "judge", "reflector")
    together = {role: asyncio.Barrier(4) for role in roles}
    world = Together()
    async with asyncio.timeout(5):
        await work(world)(QUERY)
    assert world.calls == dict.fromkeys(roles, 4)


@pytest.mark.parametrize("role", ["generator", "positive", "negative", "judge", "reflector"])
async def test_a_spent_budget_ends_the_row_after_what_is_in_flight(role):
    """The limit is met at one candidate; no other call is cut short, and no debate begun that cannot be paired."""
    world = World(delay=0.005)
    met_at = (1, world.write(QUERY.text, 1))
    world.faulty = lambda who, key: who == role and key[1] in met_at and BudgetSpent("max_calls = 7 is used up")
    with pytest.raises(BudgetSpent, match="max_calls = 7"):
        await work(world)(QUERY)
    assert not world.cancelled
    assert world.calls["judge"] == {"generator": 0, "positive": 3, "negative": 3}.get(role, 4)


async def test_cancellation_reaches_every_call():
    world = World(delay=600)
    task = asyncio.create_task(work(world)(QUERY))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.cancelled == world.calls == {"generator": 4}


async def test_a_fault_in_any_fifth_call_never_becomes_a_label():
    """Every kind of fault in 20 % of all calls: rows add up, and what was judged was judged as without the faults."""
    outcomes = []
    world = World(fault_rate=0.2)
    for row in range(120):
        outcomes.append(await work(world)(Query(f"query {row}", row)))
    assert {outcome.status for outcome in outcomes} == {"accepted", "rejected", "unscored"}
    scored = [(outcome.query, one) for outcome in outcomes for one in outcome.judgements if one.verdict.label]
    lost = [one for outcome in outcomes for one in outcome.judgements if one.verdict.label is None]
    assert len(scored) > 100
    assert len(lost) > 100
    for query, one in scored:
        assert one.verdict == world.oracle(query.text, one.candidate.text)
        assert len(one.critiques) == 2
    for outcome in outcomes:
        labels = {one.candidate.index: one.verdict.label for one in outcome.judgements}
        for pair in outcome.pairs:
            assert (labels[pair.chosen_index], labels[pair.rejected_index]) == ("good", "bad")
        if outcome.status == "rejected":
            assert None not in labels.values()
        written = len(outcome.judgements) + outcome.detail.count("candidate") - sum(v is None for v in labels.values())
        assert written == 4, "each candidate is judged, or named with the reason why not"


async def test_json_from_studio_is_taken_and_the_settings_come_from_the_configuration():
    config = load_config(overrides=("curate.candidates=2", "curate.pairing=all", "curate.margin=0.5"))
    settings = Settings.of(config, seed=9)
    assert settings == Settings(2, "all", 0.5, 9, ("generator",))
    result = await build(World().cast(), settings).ainvoke({"query": {"text": "hello"}})
    assert result["outcome"].query == Query("hello")
    assert len(result["outcome"].judgements) == 2


def test_a_cast_without_generators_is_refused():
    with pytest.raises(ConfigError, match="--source"):
        build(World().cast(generators=()))


async def test_judgements_hold_the_whole_debate():
    outcome = await work(World())(QUERY)
    for one in outcome.judgements:
        assert one.first is not None
        assert {critique.side for critique in one.critiques} == {"merits", "flaws"}
        assert one.facts, "the query asks for eight characters"
        assert isinstance(replace(one).verdict, Verdict)
