"""The game: which branch a round takes, what reaches the gate, what failures do, and how a game goes on."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from kindling.errors import BudgetSpent, CallError, Unscored
from kindling.game import Standing
from kindling.graphs.refinement import Material, Settings, Stopped, build, play
from kindling.records import load
from tests.graphs.gamers import START, TACTICS, CountingGate, Table, cases

QUERIES = tuple(f"ask {number}" for number in range(8))
MATERIAL = Material(QUERIES, cases(20), cases(40), tuple(range(40)))


async def played(table: Table, keeper: CountingGate | None = None, start: Standing | None = None, **settings: Any):
    chosen = Settings(**{"rounds": 3, "batch": 4, **settings})
    rounds: list[Standing] = []
    graph = build(table.players(), keeper or CountingGate(), MATERIAL, chosen, rounds.append)
    last = await play(graph, start or Standing(START, TACTICS), chosen)
    assert rounds[-1:] == [last][: len(rounds)]
    return last


async def test_a_fooled_judge_learns_from_the_confession_and_improves():
    table, gate = Table(), CountingGate()
    last = await played(table, gate, batch=20)
    first = last.rounds[0]
    # the judge is blind to 1, on which every forgery ends: all of them pass
    assert (first.forged, first.caught, len(first.fooled)) == (8, 0, 8)
    confessions = {lesson.why for lesson in table.lessons[0] if lesson.response.startswith("forged")}
    assert confessions == {"flawed by tactic 0"}
    assert first.accepted
    assert first.principles == START[1:]
    assert last.principles == ("sees all",)
    assert [one.accepted for one in last.rounds] == [True, True, True]


async def test_caught_forgeries_sharpen_the_tactics_and_teach_the_judge_nothing():
    table = Table(forge=lambda query, tactics, index: f"{query} {tactics[0]} 3")
    last = await played(table, reflect=False)
    assert all(one.caught == 4 and not one.fooled and not one.proposals for one in last.rounds)
    assert last.rounds[0].tactics == ("tactic 4",)
    assert "optimizer" not in table.calls
    assert "explainer" not in table.calls
    assert table.calls["tactician"] == len(last.rounds)


async def test_errors_on_labelled_cases_are_explained_and_carry_both_labels():
    table = Table(forge=lambda query, tactics, index: "3")
    await played(table, rounds=1, batch=20)
    lessons = table.lessons[0]
    assert len(lessons) == 6, "of 20 cases, those that end in 0, 1 and 2"
    assert {(lesson.truth, lesson.said) for lesson in lessons} == {("good", "bad"), ("bad", "good")}
    assert all(lesson.why == f"it is {lesson.truth}" and lesson.reason for lesson in lessons)


async def test_without_reflection_no_labelled_case_is_judged_outside_the_gate():
    table = Table()
    last = await played(table, rounds=1, reflect=False)
    assert last.rounds[0].examined == 0
    assert last.rounds[0].asked["judge"] == 4 + 2 * (40 + 4)


async def test_without_the_gate_everything_well_formed_is_accepted_and_nothing_measured():
    table = Table(rewrite=lambda rules, lessons: (*rules, f"blind {len(rules)}"))
    gate = CountingGate()
    last = await played(table, gate, gate=False)
    assert all(one.accepted for one in last.rounds)
    assert not gate.shown
    refusing = await played(Table(), CountingGate(refuses=("schema",)), gate=False)
    assert refusing.principles == START


async def test_each_lesson_makes_its_own_proposal_per_item():
    table, gate = Table(), CountingGate()
    last = await played(table, gate, rounds=1, per_item=True)
    first = last.rounds[0]
    assert [proposal.lessons for proposal in first.proposals] == [1] * len(table.lessons)
    assert len(first.proposals) == len(first.fooled) + first.errors > 1
    assert gate.shown[0].looks == 8


async def test_the_gate_sees_validation_cases_and_every_forgery_that_ever_fooled():
    table = Table(rewrite=lambda rules, lessons: (*rules, "worse", "blind 5"))
    gate = CountingGate()
    last = await played(table, gate)
    assert [len(shown.attacks_before) for shown in gate.shown] == [4, 8, 12]
    assert all(len(shown.labels) == len(shown.before) == len(shown.after) == 40 for shown in gate.shown)
    assert all(verdict.label == "good" for verdict in gate.shown[-1].attacks_before)
    assert len(last.hard_negatives) == 12
    assert last.principles == START
    assert last.stale == 3
    assert all(not one.accepted and one.proposals[0].rules for one in last.rounds), "what was refused is kept"


async def test_training_cases_never_reach_the_gate_nor_validation_cases_a_lesson():
    material = replace(MATERIAL, validation=tuple(replace(one, query=f"held {one.query}") for one in cases(40)))
    table, gate = Table(), CountingGate()
    settings = Settings(rounds=2, batch=20)
    await play(build(table.players(), gate, material, settings), Standing(START, TACTICS), settings)
    assert not any(lesson.query.startswith("held") for lessons in table.lessons for lesson in lessons)


async def test_the_game_ends_when_nothing_is_accepted_any_more():
    last = await played(Table(rewrite=lambda rules, lessons: rules), rounds=10, patience=2)
    assert len(last.rounds) == 2
    assert all(one.proposals[0].decision.refusals == ("unchanged",) for one in last.rounds)


@pytest.mark.parametrize("role", ["forger", "judge", "explainer", "optimizer", "tactician"])
@pytest.mark.parametrize("fault", [CallError("429"), Unscored("no JSON"), RuntimeError("a bug")])
async def test_whoever_fails_the_round_is_finished_and_says_so(role: str, fault: Exception):
    table = Table(faulty=lambda who, key: fault if who == role else False)
    if role == "tactician":
        table.forge = lambda query, tactics, index: "3"
    last = await played(table, rounds=2)
    assert len(last.rounds) == 2
    assert all(one.faults or one.unscored or one.undecided for one in last.rounds)
    first = last.rounds[0]
    if role == "forger":
        assert (first.forged, first.unforged) == (0, 4)
    if role == "judge":
        assert (first.undecided, first.unscored, first.errors, first.fooled, first.caught) == (4, 4, 0, (), 0)
    if role == "optimizer":
        assert first.proposals[0].decision.refusals == ("unusable",)
        assert not first.proposals[0].rules
    if role == "tactician":
        assert first.tactics == TACTICS


async def test_a_forgery_without_a_verdict_is_neither_caught_nor_a_hard_negative():
    def faulty(role: str, key: tuple[Any, ...]) -> Any:
        return CallError("timeout") if role == "judge" and key[1] == "ask 0" else False

    last = await played(Table(faulty=faulty), rounds=1, batch=8)
    first = last.rounds[0]
    assert (first.undecided, len(first.fooled), first.caught) == (1, 7, 0)
    assert "ask 0" not in {one.query for one in last.hard_negatives}


async def test_tactics_of_bad_form_leave_the_old_ones():
    table = Table(forge=lambda query, tactics, index: "3")
    last = await played(table, CountingGate(refuses=("schema",)), rounds=1)
    assert last.tactics == TACTICS
    assert "cannot be used: schema" in last.rounds[0].faults[0]


class Killed(BaseException):
    """Stands for `kill -9`: nothing may catch it."""


async def _until_done(make: Any, table: Table) -> Standing:
    """Play, and after every kill play on from the last standing that reached the disk."""
    disk = orjson.dumps(Standing(START, TACTICS))
    settings = Settings(rounds=3, batch=4)

    def on_round(standing: Standing) -> None:
        nonlocal disk
        disk = orjson.dumps(standing)

    for _ in range(60):
        standing = load(Standing, orjson.loads(disk))
        graph = build(table.players(), CountingGate(), MATERIAL, settings, on_round)
        try:
            return await play(graph, standing, settings)
        except make:
            continue
    raise AssertionError("does not end")


@pytest.mark.parametrize("role", ["forger", "judge", "explainer", "optimizer", "tactician"])
async def test_killed_at_any_role_the_game_has_the_same_history_and_pays_nothing_twice(role: str):
    forge = lambda query, tactics, index: f"forged for {query}, {index}, {1 if index % 2 else 3}"  # noqa: E731
    whole = Table(forge=forge)
    expected = await _until_done(Killed, whole)
    assert sum(one.caught for one in expected.rounds)
    assert any(one.fooled for one in expected.rounds)
    asked = 0

    def kill(who: str) -> None:
        nonlocal asked
        asked += who == role
        if who == role and asked in (1, 4, 9, 30):
            raise Killed

    table = Table(forge=forge, on_call=kill)
    assert await _until_done(Killed, table) == expected
    assert asked
    assert table.calls == whole.calls


async def test_a_budget_ends_the_game_between_answers_and_a_larger_one_goes_on():
    expected = await played(Table())
    total = len((await _paid()).paid)
    for budget in range(0, total, 7):
        table = Table(budget=budget)
        disk = Standing(START, TACTICS)
        with pytest.raises(BudgetSpent):
            await played(table, start=disk)
        table.budget = None
        assert await played(table, start=disk) == expected
        assert len(table.paid) == total == table.calls.total()


async def _paid() -> Table:
    table = Table()
    await played(table)
    return table


async def test_a_stop_lets_the_node_at_work_finish_and_starts_no_other():
    stop = asyncio.Event()
    table = Table(on_call=lambda role: stop.set() if role == "judge" else None)
    settings = Settings(rounds=3, batch=4)
    graph = build(table.players(), CountingGate(), MATERIAL, settings, stop=stop)
    with pytest.raises(Stopped):
        await play(graph, Standing(START, TACTICS), settings)
    assert dict(table.calls) == {"forger": 4, "judge": 4}


async def test_a_finished_game_is_not_played_on():
    done = await played(Table())
    table = Table()
    assert await played(table, start=done) == done
    assert not table.calls


async def test_every_query_and_case_is_used_before_any_comes_again():
    table = Table(forge=lambda query, tactics, index: f"{query} 3")
    seen: list[str] = []
    table.on_call = lambda role: None
    players = table.players()
    settings = Settings(rounds=2, batch=4, patience=9)
    original = players.forger.forge

    async def forge(query: Any, tactics: Any, index: int) -> Any:
        seen.append(query.text)
        return await original(query, tactics, index)

    players.forger.forge = forge  # type: ignore[method-assign]
    await play(build(players, CountingGate(), MATERIAL, settings), Standing(START, TACTICS), settings)
    assert sorted(seen) == sorted(QUERIES)


async def test_the_seed_decides_the_order():
    orders = []
    for seed in (0, 0, 1):
        table = Table(forge=lambda query, tactics, index: f"{query} 1")
        last = await played(table, seed=seed, rounds=1)
        orders.append([one.query for one in last.rounds[0].fooled])
    assert orders[0] == orders[1] != orders[2]


async def test_the_standing_survives_the_disk():
    last = await played(Table())
    assert load(Standing, orjson.loads(orjson.dumps(last))) == last
