"""A draw of cases: by chance and nothing else, of all sources and queries alike, the same for everybody."""

from collections import Counter
from itertools import product

import pytest

from kindling.errors import InputError
from kindling.eval.labelling.drawing import draw
from kindling.eval.labelling.items import Item, Items, read_items
from kindling.tables import write_jsonl


def items(queries=30, sources=("strong", "weak"), each=2):
    found = [
        Item(f"写第{n}句", f"{source}写的第{n}句，{k}", {"source": source})
        for n, source, k in product(range(queries), sources, range(each))
    ]
    return Items(tuple(found), len(found))


def ids(drawn):
    return [item.id for item in drawn.cases]


def test_sources_have_equal_parts_and_no_query_comes_again_before_all_have_come():
    drawn = draw(items(), 30, 0, 0).cases
    assert Counter(item.about["source"] for item in drawn) == {"strong": 15, "weak": 15}
    assert len({item.query for item in drawn}) == 30
    assert set(Counter(item.query for item in draw(items(), 60, 0, 0).cases).values()) == {2}


def test_a_source_with_few_cases_gives_them_all():
    rare = Items((*items(10).cases, Item("写第0句", "罕见", {"source": "rare"})), 41)
    drawn = draw(rare, 20, 0, 0).cases
    assert Counter(item.about["source"] for item in drawn)["rare"] == 1
    assert len(draw(rare, 41, 0, 0).cases) == 41


def test_a_larger_draw_adds_and_a_later_one_has_no_case_or_query_in_common():
    whole = items(60)
    first, more, later = draw(whole, 30, 0, 7), draw(whole, 40, 0, 7), draw(whole, 30, 30, 7)
    assert ids(more)[:30] == ids(first)
    assert ids(draw(whole, 60, 0, 7)) == ids(first) + ids(later)
    assert not {item.query for item in first.cases} & {item.query for item in later.cases}


def test_the_order_of_the_file_does_not_matter_and_the_seed_does():
    whole = items()
    turned = Items(whole.cases[::-1], whole.rows)
    assert ids(draw(whole, 20, 0, 1)) == ids(draw(turned, 20, 0, 1))
    assert ids(draw(whole, 20, 0, 1)) != ids(draw(whole, 20, 0, 2))


def test_every_case_has_the_same_chance():
    whole = items(6)
    met = Counter(case for seed in range(400) for case in ids(draw(whole, 6, 0, seed)))
    # 6 of 24 in each of 400 draws: 100 on average, with a standard deviation of 8.7
    assert len(met) == 24
    assert 65 < min(met.values()) <= max(met.values()) < 135


@pytest.mark.parametrize("label", ["good", "bad"])
def test_no_verdict_moves_a_draw(tmp_path, label):
    rows = [{"query": f"写第{n}句", "response": f"第{n}句"} for n in range(40)]
    write_jsonl(tmp_path / "plain.jsonl", rows)
    write_jsonl(tmp_path / "judged.jsonl", [{**row, "verdict": label, "score": n / 40} for n, row in enumerate(rows)])
    plain, judged = (draw(read_items(tmp_path / f"{name}.jsonl"), 10, 0, 0) for name in ("plain", "judged"))
    assert ids(plain) == ids(judged)


def test_too_few_cases_are_said():
    with pytest.raises(InputError, match=r"--draw 9: there are 8 cases; draw no more"):
        draw(items(2), 9, 0, 0)
