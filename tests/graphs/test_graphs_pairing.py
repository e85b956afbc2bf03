"""Pairing: properties that hold for every row, and what it does to length over a dataset."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling.eval.length_bias import length_bias
from kindling.graphs.rejection_sampling.pairing import BUCKET_PERCENT, coin, make_pairs
from kindling.records import Candidate, Judgement, Query, Verdict

QUERY = Query("a query", 3)
RULES = ("closest_length", "best_worst", "all")

verdicts = st.one_of(
    st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0]).map(lambda score: Verdict.of(score, "", "j", "t")),
    st.just(Verdict.none("refused", "j")),
)
rows = st.lists(
    st.tuples(st.builds(str.__mul__, st.sampled_from("ab好"), st.sampled_from([20, 21, 22, 30, 33])), verdicts),
    max_size=7,
).map(lambda found: _row(found))


def _row(found):
    """Judgements as a row has them: equal texts share one verdict."""
    shared = {}
    return [
        Judgement(Candidate(text, f"g{i % 2}", i), shared.setdefault(text, verdict))
        for i, (text, verdict) in enumerate(found)
    ]


def _score(row, index):
    return row[index].verdict.score


@settings(max_examples=300)
@given(row=rows, rule=st.sampled_from(RULES), margin=st.sampled_from([0.0, 0.2, 0.5, 1.0]), seed=st.integers(0, 3))
def test_a_pair_is_good_over_bad_by_the_margin_and_as_recorded(row, rule, margin, seed):
    pairs = make_pairs(rule, QUERY, row, margin, seed)
    for pair in pairs:
        chosen, rejected = row[pair.chosen_index], row[pair.rejected_index]
        assert (pair.chosen, pair.rejected) == (chosen.candidate.text, rejected.candidate.text)
        assert pair.chosen != pair.rejected
        assert (chosen.verdict.label, rejected.verdict.label) == ("good", "bad")
        assert pair.chosen_score - pair.rejected_score >= margin - 1e-9
        assert (pair.chosen_source, pair.rejected_source) == (chosen.candidate.source, rejected.candidate.source)
        assert (pair.query, pair.query_id, pair.judge, pair.template) == ("a query", QUERY.id, "j", "t")
    assert len({(pair.chosen, pair.rejected) for pair in pairs}) == len(pairs)


@settings(max_examples=300)
@given(row=rows, margin=st.sampled_from([0.0, 0.2, 0.5]), seed=st.integers(0, 3), order=st.randoms())
def test_the_rules_agree_on_what_is_possible_and_ignore_the_order_of_arrival(row, margin, seed, order):
    every = make_pairs("all", QUERY, row, margin, seed)
    expected = {
        (good.candidate.text, bad.candidate.text)
        for good in row
        for bad in row
        if good.verdict.label == "good"
        and bad.verdict.label == "bad"
        and round(good.verdict.score * 10) - round(bad.verdict.score * 10) >= round(margin * 10)
    }
    assert {(pair.chosen, pair.rejected) for pair in every} == expected
    shuffled = order.sample(row, len(row))
    for rule in RULES:
        found = make_pairs(rule, QUERY, row, margin, seed)
        assert make_pairs(rule, QUERY, shuffled, margin, seed) == found
        assert set(found) <= set(every)
        assert bool(found) == bool(every)
        assert rule == "all" or len(found) <= 1


@settings(max_examples=300)
@given(row=rows, seed=st.integers(0, 3))
def test_the_default_takes_the_most_equal_lengths_and_then_what_the_coin_says(row, seed):
    every = make_pairs("all", QUERY, row, 0.1, seed)
    for pair in make_pairs("closest_length", QUERY, row, 0.1, seed):
        rivals = [other for other in every if _bucket(other) <= _bucket(pair)]
        assert all(_bucket(other) == _bucket(pair) for other in rivals)
        if _against(pair, seed):
            assert all(_against(other, seed) for other in rivals)
        best = max(
            other.chosen_score - other.rejected_score
            for other in rivals
            if _against(other, seed) == _against(pair, seed)
        )
        assert pair.chosen_score - pair.rejected_score == pytest.approx(best)


def _bucket(pair):
    lengths = sorted((len(pair.chosen), len(pair.rejected)))
    return (lengths[1] - lengths[0]) * 100 // (lengths[1] * BUCKET_PERCENT)


def _against(pair, seed):
    difference = len(pair.chosen) - len(pair.rejected)
    return difference != 0 and (difference > 0) != coin(QUERY.id, seed)


def test_best_worst_has_the_widest_gap():
    row = _row([("a", Verdict.of(0.6, "", "j")), ("bb", Verdict.of(0.9, "", "j")), ("c", Verdict.of(0.1, "", "j"))])
    (pair,) = make_pairs("best_worst", QUERY, [*row, *_row([("dd", Verdict.of(0.4, "", "j"))])], 0.2, 0)
    assert (pair.chosen, pair.rejected) == ("bb", "c")


def test_a_gap_of_exactly_the_margin_counts():
    """In binary .6 - .4 is .19999999999999996, which is less than .2."""
    row = _row([("a", Verdict.of(0.6, "", "j")), ("b", Verdict.of(0.4, "", "j"))])
    assert len(make_pairs("all", QUERY, row, 0.2, 0)) == 1
    assert make_pairs("all", QUERY, row, 0.21, 0) == ()


def test_unscored_candidates_do_not_exist():
    row = _row([("a", Verdict.none("x", "j")), ("b", Verdict.of(0.9, "", "j")), ("c", Verdict.none("x", "j"))])
    assert [make_pairs(rule, QUERY, row, 0.0, 0) for rule in RULES] == [(), (), ()]


def test_the_coin_is_fair_and_depends_on_query_and_seed_alone():
    ids = [Query(f"query {i}").id for i in range(4000)]
    flips = {seed: [coin(one, seed) for one in ids] for seed in (0, 1)}
    for seed in (0, 1):
        assert 0.46 < sum(flips[seed]) / 4000 < 0.54
        assert flips[seed] == [coin(one, seed) for one in ids]
    assert 0.46 < sum(a == b for a, b in zip(flips[0], flips[1], strict=True)) / 4000 < 0.54


@pytest.mark.parametrize(("good_mean", "limit"), [(40, 0.53), (44, 0.57), (50, 0.65)])
def test_over_a_dataset_the_longer_text_is_chosen_about_half_the_time(good_mean, limit):
    """Bad texts have 40 ± 10 characters, good ones as many, 4 more or 10 more.

    Drawing pairs at random would choose the longer text in 50, 61 and 76 % of them: P(N(d, 10√2) > 0) for d = 0, 4, 10.
    """
    source = random.Random(7)
    texts = {rule: [] for rule in RULES}
    for number in range(1500):
        query = Query(f"query {number}", number)
        row = _row(
            [
                (f"{i}" + "x" * max(4, round(source.gauss(good_mean if i % 2 else 40, 10))), Verdict.of(i % 2, "", "j"))
                for i in range(6)
            ]
        )
        for rule in RULES:
            texts[rule] += [(pair.chosen, pair.rejected) for pair in make_pairs(rule, query, row, 0.2, 7)]
    share = {rule: length_bias(found).longer_chosen for rule, found in texts.items()}
    assert Counter({rule: len(found) for rule, found in texts.items()})["closest_length"] == 1500
    assert 1 - limit < share["closest_length"] < limit
    assert share["closest_length"] <= share["all"] + 0.02
