"""The whole game offline on the golden set: from vague principles the judge agrees more, from shuffled labels never."""

import asyncio
import random
from dataclasses import replace

import pytest
from sklearn.metrics import cohen_kappa_score

from kindling.agents.embedded.debate import heeded
from kindling.agents.embedded.game import embedded_players
from kindling.agents.requests import measure
from kindling.eval.gate import StatisticalGate
from kindling.eval.labelled import read_labelled
from kindling.eval.splits import groups, split
from kindling.game import Standing
from kindling.graphs.refinement import Material, Settings, build, play
from kindling.prompts.taskpack import load_pack
from kindling.records import Case

PACK = load_pack("greetings")
GOLDEN = read_labelled(PACK.file("golden.jsonl"))
QUERIES = tuple(line for line in PACK.file("queries.txt").read_text(encoding="utf-8").split("\n") if line)
PLAYERS = embedded_players(PACK)


async def refine(cases, seed) -> Standing:
    settings, parts = Settings(seed=seed), split(cases, seed)
    material = Material(QUERIES, parts.train, parts.validation, groups(parts.validation))
    start = Standing(PACK.rules("principles_weak.j2"), PACK.rules("tactics.j2"))
    return await play(build(PLAYERS, StatisticalGate(), material, settings), start, settings)


async def kappa(rules, cases) -> float:
    judge, brief = PLAYERS.judge_for(rules), PLAYERS.brief_chars
    facts = (measure(one.query, one.response, brief) for one in cases)
    judged = (judge.judge(Case(one.query, one.response, seen)) for one, seen in zip(cases, facts, strict=True))
    said = [verdict.label for verdict in await asyncio.gather(*judged)]
    return float(cohen_kappa_score([one.label for one in cases], said))


def accepted(standing) -> int:
    return sum(one.decision.accepted for played in standing.rounds for one in played.proposals)


@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_on_cases_that_nobody_learned_from_the_last_judge_agrees_more_than_the_first(seed):
    standing = await refine(GOLDEN, seed)
    test = split(GOLDEN, seed).test
    assert await kappa(standing.principles, test) >= await kappa(standing.first_principles, test) + 0.15
    assert 1 <= accepted(standing) <= sum(len(played.proposals) for played in standing.rounds)
    lexicon = PLAYERS.optimizer._lexicon
    assert heeded(standing.first_principles, lexicon) < heeded(standing.principles, lexicon)


@pytest.mark.parametrize("seed", range(4))
async def test_from_shuffled_labels_nothing_is_accepted(seed):
    labels = [one.label for one in GOLDEN]
    random.Random(seed).shuffle(labels)
    standing = await refine([replace(one, label=label) for one, label in zip(GOLDEN, labels, strict=True)], seed)
    assert any(played.proposals for played in standing.rounds)
    assert accepted(standing) == 0
