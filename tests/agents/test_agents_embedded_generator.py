"""The embedded generators: the same text in every process, much of it, what was asked, no quality in length."""

import os
import subprocess
import sys
import time

import pytest

from kindling.agents.embedded.cast import embedded_cast
from kindling.agents.embedded.writer import Scene, Writer
from kindling.agents.requests import measure
from kindling.agents.retriever import LexicalRetriever
from kindling.prompts.taskpack import load_pack
from kindling.records import Case, Query

SHORT = ["生日", "开业", "乔迁", "新婚", "中秋", "早安", "高考", "退休", "康复", "晚安"]
PEOPLE = ["妈妈", "老师", "领导", "女儿", "老公", "闺蜜", "朋友", "奶奶", "自己", "同事"]
QUERIES = [f"给{who}的{what}祝福语" for who in PEOPLE for what in SHORT]


@pytest.fixture(scope="module")
def pack():
    return load_pack("greetings")


@pytest.fixture(scope="module")
def cast(pack):
    return embedded_cast(pack, LexicalRetriever([]), 7)


async def texts(generator, queries, indices=range(2)):
    return [(await generator.generate(Query(query), (), index)).text for query in queries for index in indices]


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_the_same_seed_gives_the_same_bytes_in_every_process(hash_seed):
    code = f"""
import asyncio, hashlib
from kindling.agents.embedded.cast import embedded_cast
from kindling.agents.retriever import LexicalRetriever
from kindling.prompts.taskpack import load_pack
from kindling.records import Case, Query
cast = embedded_cast(load_pack("greetings"), LexicalRetriever([]), 7)
async def main():
    out = []
    for query in {QUERIES[:20]!r} + ["祝福语四字", "十条开业贺词", "英文生日祝福"]:
        for generator in cast.generators:
            text = (await generator.generate(Query(query), (), 0)).text
            case = Case(query, text)
            critiques = (await cast.positive.criticise(case), await cast.negative.criticise(case))
            first = await cast.judge.judge(case, critiques)
            out.append(repr((text, critiques, first, await cast.reflector.reflect(case, critiques, first))))
    print(hashlib.sha256("".join(out).encode()).hexdigest())
asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    seen.add(done.stdout.strip())
    assert len(seen) == 1


seen: set[str] = set()


async def test_seed_index_query_and_name_all_count(pack, cast):
    other = embedded_cast(pack, LexicalRetriever([]), 8)
    strong, weak = cast.generators
    assert await texts(strong, QUERIES) == await texts(strong, QUERIES)
    for changed in (await texts(other.generators[0], QUERIES), await texts(weak, QUERIES)):
        same = sum(a == b for a, b in zip(await texts(strong, QUERIES), changed, strict=True))
        assert same < 0.1 * len(changed)


async def test_there_are_thousands_of_distinct_good_texts(cast):
    """Good by the debate's own verdict; drawn, not enumerated, so that the count is what a run would get."""
    good = set()
    index = 0
    while len(good) < 5000:
        assert index < 200, f"only {len(good)} distinct good texts in {index * len(QUERIES)} drawn"
        for query in QUERIES:
            text = (await cast.generators[0].generate(Query(query), (), index)).text
            if (await cast.judge.judge(Case(query, text))).label == "good":
                good.add(text)
        index += 1
    lengths = [len(text) for text in good]
    assert min(lengths) <= 20
    assert max(lengths) >= 90


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20])
def test_set_phrases_have_exactly_the_size_asked(pack, cast, size):
    import random

    from kindling.agents.embedded.grammar import load_grammar
    from kindling.agents.requests import count_characters

    lexicon = cast.judge._examiner.lexicon
    writer = Writer(load_grammar(pack.file("grammar.toml"), lexicon))
    for topic in lexicon.topics:
        text = writer.exact(Scene(topic, None, "peer"), size, random.Random(size))
        assert count_characters(text) == size, (topic, text)


@pytest.mark.parametrize(
    "ask",
    [
        "八个字",
        "四字",
        "四个字成语",
        "12字",
        "十条",
        "三句",
        "简短",
        "20字以内",
        "不超过12字",
        "50字左右",
        "80字以上",
        "100字左右",
    ],
)
async def test_the_strong_generator_delivers_what_can_be_counted(cast, ask):
    strong = cast.generators[0]
    queries = [f"{what}祝福语{ask}" for what in SHORT] + [
        f"祝{who}{what}{ask}" for who in PEOPLE[:4] for what in SHORT[:3]
    ]
    for query in queries:
        for index in range(4):
            text = (await strong.generate(Query(query), (), index)).text
            assert all(fact.met for fact in measure(query, text, cast.brief_chars)), (query, text)


async def test_the_strong_generator_is_better_but_neither_always_nor_never(cast):
    shares = []
    for generator in cast.generators:
        verdicts = [
            await cast.judge.judge(Case(query, (await generator.generate(Query(query), (), index)).text))
            for query in QUERIES
            for index in range(3)
        ]
        shares.append(sum(verdict.label == "good" for verdict in verdicts) / len(verdicts))
    strong, weak = shares
    assert 0.65 <= strong <= 0.9
    assert 0.15 <= weak <= 0.45


async def test_length_tells_neither_the_generator_nor_the_verdict(cast):
    """The area under the curve of length alone, by counting pairs; one half is no information."""
    lengths: dict[str, list[int]] = {"strong": [], "weak": [], "good": [], "bad": []}
    for query in QUERIES * 2:
        for index in (0, 1, 2):
            for name, generator in zip(("strong", "weak"), cast.generators, strict=True):
                text = (await generator.generate(Query(query + "大全" * (index % 2)), (), index)).text
                verdict = await cast.judge.judge(Case(query, text))
                lengths[name].append(len(text))
                lengths[verdict.label].append(len(text))
    assert abs(area(lengths["strong"], lengths["weak"]) - 0.5) <= 0.05
    assert abs(area(lengths["good"], lengths["bad"]) - 0.5) <= 0.1


def area(positive, negative):
    wins = sum((a > b) + (a == b) / 2 for a in positive[::2] for b in negative[::2])
    return wins / (len(positive[::2]) * len(negative[::2]))


async def test_a_row_costs_a_few_milliseconds(cast):
    best = float("inf")
    for attempt in range(3):  # the machine may be busy: the best of three is the cost
        start = time.process_time()
        for query in QUERIES[:50]:
            query = f"{query}{'大全' * attempt}"
            for index in range(4):
                text = (await cast.generators[index % 2].generate(Query(query), (), index)).text
                case = Case(query, text, measure(query, text, cast.brief_chars))
                critiques = (await cast.positive.criticise(case), await cast.negative.criticise(case))
                first = await cast.judge.judge(case, critiques)
                await cast.reflector.reflect(case, critiques, first)
        best = min(best, (time.process_time() - start) / 50)
    assert best < 0.004, f"{best * 1000:.1f} ms a row"


@pytest.mark.parametrize("query", ["x", "？？", "🎂", "a" * 200, "八个字" * 20, "1000个成语", "英文生日祝福八个字三条"])
async def test_no_query_is_too_odd(cast, query):
    for generator in cast.generators:
        assert (await generator.generate(Query(query), (), 0)).text.strip()
