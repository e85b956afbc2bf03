"""A split keeps copies together, labels balanced, and does not look at the order of rows."""

import random
import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling.errors import InputError
from kindling.eval.splits import FEWEST, groups, split
from kindling.records import LabelledCase

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def words(seed, many=8):
    """Text of its own: unlike any other seed's."""
    draw = random.Random(seed)
    return " ".join("".join(draw.choices(LETTERS, k=7)) for _ in range(many))


def pairs(count, **more):
    """`count` queries, each with a good and a bad response."""
    return [
        LabelledCase(words(f"q{n}"), words(f"{label}{n}"), label, **more)
        for n in range(count)
        for label in ("good", "bad")
    ]


def balance(part):
    return Counter(case.label for case in part)


def test_queries_stay_whole_and_shares_and_labels_are_kept():
    """200 queries of one good and one bad case: 80, 70 and 50 of them, and as many good as bad in each."""
    parts = split(pairs(200), seed=0)
    assert [balance(part) for part in (parts.train, parts.validation, parts.test)] == [
        {"good": n, "bad": n} for n in (80, 70, 50)
    ]
    queries = [{case.query for case in part} for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, queries)) == len(set.union(*queries)) == 200


def test_rare_good_cases_are_spread_too():
    """One good case in ten, each case under a query of its own."""
    cases = [LabelledCase(words(f"q{n}"), words(f"r{n}"), "bad" if n % 10 else "good") for n in range(400)]
    parts = split(cases, seed=1)
    assert [balance(part)["good"] for part in (parts.train, parts.validation, parts.test)] == [16, 14, 10]
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [160, 140, 100]


def test_near_copies_of_queries_and_of_responses_link_groups_through_others():
    """Of four cases, two share a query (but for its case), the next two nearly a response, the last two a query."""
    text, query = words("text", 12), words("query", 12)
    cases = [
        LabelledCase("Some Query, here", words("1"), "good"),
        LabelledCase("some query here!", text, "bad"),
        LabelledCase(query, text + "s", "good"),
        LabelledCase(query + "s", words("2"), "bad"),
        LabelledCase(words("3"), words("4"), "bad"),
    ]
    assert groups(cases) == (0, 0, 0, 0, 1)
    assert groups(cases[::-1]) == (0, 1, 1, 1, 1)
    assert groups([cases[0], cases[2]]) == (0, 1)


def test_texts_without_letters_are_no_copies_of_each_other():
    signs = [LabelledCase(words(str(n)), sign, "good") for n, sign in enumerate(("!!!", "🎂", "!!!", "???", ""))]
    assert groups(signs) == (0, 1, 0, 2, 3)
    assert groups(()) == ()


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 80), st.booleans()), min_size=120, max_size=160), st.data()
)
def test_the_order_of_rows_plays_no_part_and_no_group_is_cut(rows, data):
    """Any cases: those that can be split are split the same in any order, with every case once, copies together."""
    cases = [LabelledCase(words(f"q{q}"), words(f"r{r}"), "good" if good else "bad") for q, r, good in rows]
    shuffled = data.draw(st.permutations(cases))
    try:
        parts = split(cases, seed=5)
    except InputError as error:
        with pytest.raises(InputError, match=re.escape(str(error))):
            split(shuffled, seed=5)
        return
    assert split(shuffled, seed=5) == parts
    together = (*parts.train, *parts.validation, *parts.test)
    assert Counter(together) == Counter(cases)
    numbers = groups(together)
    ends = (0, len(parts.train), len(parts.train) + len(parts.validation), len(together))
    sides = [set(numbers[start:end]) for start, end in pairwise(ends)]
    assert sum(map(len, sides)) == len(set.union(*sides))
    # the groups of a part are those of the whole
    assert len(sides[1]) == len(set(groups(parts.validation)))


def test_another_seed_is_another_split():
    cases = pairs(60)
    assert split(cases, seed=0) == split(cases, seed=0)
    assert set(split(cases, seed=0).test) != set(split(cases, seed=1).test)


def test_other_shares():
    parts = split(pairs(60), seed=0, shares=(0.5, 0.25, 0.25))
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [60, 30, 30]


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ([], "good ones for 0 queries"),
        ([case for case in pairs(40) if case.label == "bad"], "all labelled cases are bad: it takes good ones too"),
        ([case for case in pairs(40) if case.label == "good"], "all labelled cases are good: it takes bad ones too"),
        (pairs(19), "good ones for 19 queries (near copies count once), and it takes 20"),
        ([*pairs(30), *pairs(1)][15:45], "too few labelled cases to split"),
        (pairs(200)[:39], "bad ones for 19 queries"),
    ],
)
def test_what_cannot_be_split_is_refused_in_one_line(cases, said):
    with pytest.raises(InputError) as error:
        split(cases, seed=0)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_twenty_queries_of_either_label_suffice():
    parts = split(pairs(20), seed=3)
    for part in (parts.train, parts.validation, parts.test):
        assert min(balance(part).values()) >= FEWEST


def test_one_large_group_that_leaves_a_part_with_nothing_else_is_refused_with_its_size():
    """Half of the cases share one query: train gets them all, and so one group."""
    one = [LabelledCase("one query", words(f"c{n}"), "good" if n % 2 else "bad") for n in range(40)]
    with pytest.raises(InputError, match="the largest group holds 40 of 80"):
        split([*pairs(20), *one], seed=0)
