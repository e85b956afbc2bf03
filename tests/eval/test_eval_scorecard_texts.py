"""Diversity, novelty, wording: small texts by hand, a brute force for runs, and what must not move the numbers."""

import numpy as np
import pytest

from kindling.eval.audit.similarity import bare
from kindling.eval.intervals import resample
from kindling.eval.scorecard import diversity, wording
from kindling.eval.scorecard.diversity import jackknife, similarities, tokenise, vendi
from kindling.eval.scorecard.novelty import Training, longest_runs, novelty, weighted_median
from kindling.eval.scorecard.sheets import Row, Written
from kindling.records import Case, Fact


def queries(count, size=1):
    return [f"q{number:04}" for number in range(count) for _ in range(size)]


def grams(texts):
    return [[diversity._grams(tokenise(text, "characters"), n) for n in diversity.ORDERS] for text in texts]


def test_distinct_n_by_hand():
    """Characters of "abab" and "ab": 2 distinct of 6; pairs ab ba ab, ab: 2 of 4."""
    made = grams(["abab", "ab"])
    assert diversity.distinct(made, [0, 1], 1) == pytest.approx(2 / 6)
    assert diversity.distinct(made, [0, 1], 2) == pytest.approx(2 / 4)
    assert np.isnan(diversity.distinct(made, [1], 3))


def test_self_bleu_is_one_for_copies_and_small_for_strangers():
    made = grams(["春风送暖入屠苏", "春风送暖入屠苏", "春风送暖入屠苏"])
    assert diversity.self_bleu(made, [0, 1, 2]) == pytest.approx(1.0)
    strangers = grams(["春风送暖入屠苏", "一二三四五六七", "abcdefg"])
    assert diversity.self_bleu(strangers, [0, 1, 2]) < 0.05
    assert np.isnan(diversity.self_bleu(made, [0]))


def test_self_bleu_of_one_text_among_others_by_hand():
    """Of "abcd" against "abcx": matched 3 of 4, 2 of 3, 1 of 2, and ε of 1; the lengths are equal."""
    made = grams(["abcd", "abcx"])
    expected = (3 / 4 * 2 / 3 * 1 / 2 * diversity.EPSILON) ** 0.25
    assert diversity.self_bleu(made, [0, 1]) == pytest.approx(expected)


def test_a_text_is_never_its_own_reference():
    made = grams(["aa", "a"])
    # the second a is in no other text: 1 of 2; no pair elsewhere; nothing of three or four
    assert diversity.self_bleu(made, [0]) != diversity.self_bleu(made, [0])  # alone: no number
    assert diversity.self_bleu(made, [0, 1]) < 1


def test_the_vendi_score_counts_kinds():
    assert vendi(np.eye(7)) == pytest.approx(7)
    assert vendi(np.ones((7, 7))) == pytest.approx(1)
    assert vendi(np.kron(np.eye(2), np.ones((3, 3)))) == pytest.approx(2)
    kernel = similarities(["春风送暖", "春风送暖", "abcdef"], "characters")
    assert vendi(kernel) == pytest.approx(np.exp(-(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))))


def test_letters_in_common_do_not_make_english_texts_alike():
    texts = ["Coffee that wakes the town.", "Sheets made for slow mornings.", "Boots with a hundred miles in them."]
    assert vendi(similarities(texts, "words")) > 2.5 > vendi(similarities(texts, "characters"))


def test_diversity_falls_with_copies():
    rng = np.random.default_rng(0)
    varied = ["".join(chr(0x4E00 + char) for char in rng.integers(0, 400, 20)) for _ in range(60)]
    copied = [varied[place % 6] for place in range(60)]
    one, other = (diversity.diversity(queries(60), texts, 60, "characters", 0) for texts in (varied, copied))
    assert one.different.value == 1
    assert other.different.value == pytest.approx(0.1)
    assert one.vendi.low > other.vendi.high
    assert one.self_bleu.high < other.self_bleu.low
    assert one.distinct["2"].low > other.distinct["2"].high


def test_a_text_of_each_query_comes_before_a_second_of_any():
    of = queries(10, 3)
    chosen = diversity.draw(of, 10, 1)
    assert sorted(of[place] for place in chosen) == sorted(set(of))
    assert len(diversity.draw(of, 25, 1)) == 25
    assert chosen == diversity.draw(of, 10, 1)
    assert chosen != diversity.draw(of, 10, 2)


def test_words_and_characters():
    assert tokenise("Don't stop, now", "words") == ("don't", "stop", "now")
    assert tokenise("福 到", "characters") == ("福", "到")


def test_the_jackknife_of_a_mean_covers():
    """Of a mean, its standard error is that of the mean, and an interval over 20 groups is Student's with 19."""
    rng, hits = np.random.default_rng(1), []
    for seed in range(300):
        values = rng.normal(size=80)
        found = jackknife(lambda kept, v=values: float(np.mean(v[list(kept)])), queries(80), seed)
        hits.append(found.low <= 0 <= found.high)
    assert 0.92 <= np.mean(hits) <= 0.98


def test_longest_runs_are_those_of_a_search_by_brute_force():
    rng = np.random.default_rng(2)

    def texts(count):
        return ["".join("甲乙丙丁"[char] for char in rng.integers(0, 4, rng.integers(0, 12))) for _ in range(count)]

    mine, training = texts(60), [text for text in texts(40) if text]

    def brute(text):
        runs = (text[a:b] for a in range(len(text)) for b in range(a + 1, len(text) + 1))
        return max((len(run) for run in runs if any(run in other for other in training)), default=0)

    assert longest_runs(mine, training).tolist() == [brute(text) for text in mine]


def test_a_run_does_not_go_on_into_the_next_text():
    assert longest_runs(["ab", "cd"], ["abcd"]).tolist() == [2, 2]
    assert longest_runs(["abcd"], ["ab", "cd"]).tolist() == [2]
    assert longest_runs(["abcd"], ["xyz"]).tolist() == [0]
    assert longest_runs(["", "a"], ["a"]).tolist() == [0, 1]


def test_copies_are_found_whatever_their_signs():
    training = Training.of(["祝你生日快乐，天天开心！", "愿你前程似锦，一路繁花相送到天涯", "……"])
    assert len(training.texts) == 2
    texts = ["祝你生日快乐,天天开心", "愿你前程似锦，一路繁花相送到天边", "全新的句子写在这里"]
    found = novelty(queries(3), texts, training, 0)
    assert found.verbatim.value == pytest.approx(1 / 3)
    assert found.near.value == pytest.approx(2 / 3)
    assert found.mostly.value == pytest.approx(2 / 3)
    closest = found.closest[0]
    assert (closest.text, closest.nearest, closest.similarity) == (texts[0], "祝你生日快乐，天天开心！", 1.0)
    assert closest.run == len(bare(texts[0]))
    assert [one.similarity for one in found.closest] == sorted((one.similarity for one in found.closest), reverse=True)


def test_the_median_of_resamples():
    values = np.array([5.0, 1, 3])
    assert weighted_median(values, resample(queries(3), 0)).value == 3
    assert weighted_median(values, np.array([[1, 0, 0], [0, 3, 1.0]])).low == pytest.approx(1.1, abs=0.2)
    assert weighted_median(np.zeros(0), np.ones((2, 0))).value is None


def test_failures_are_counted_apart():
    rows = [Row(f"q{place}", 0) for place in range(4)]
    written = [
        Written("好"),
        Written("", "empty", "empty"),
        Written("半", "cut_off", "cut"),
        Written("", "failed", "x"),
    ]
    found = wording.texts(rows, written)
    assert (found.asked, found.whole, found.empty, found.cut_off, found.failed) == (4, 1, 1, 1, 1)
    assert found.failures.value == 0.75
    assert found.reasons == {"empty": 1, "cut": 1, "x": 1}


def test_requests_are_met_only_all_together():
    def make(query, response):
        if query == "free":
            return Case(query, response)
        facts = (Fact("items", "2", "", met=True), Fact("length", "8", "", met=response == "good"))
        return Case(query, response, facts)

    found = wording.requests(["asks", "asks", "free"], ["good", "long", "any"], make)
    assert (found.texts, found.met.value) == (2, 0.5)
    assert found.kinds == {"items": (2, 2), "length": (1, 2)}


def test_taboo_words_are_counted_once_a_text():
    found = wording.taboo(queries(2), ["aa", "b"], lambda _, text: list(text) if "a" in text else [])
    assert found.share.value == 0.5
    assert found.phrases == {"a": 1}


def test_length_without_texts_is_nothing():
    found = wording.length([], [], 10, 0)
    assert (found.median.value, found.tenth, found.over.value) == (None, None, None)
