"""Units, n-grams and vocabularies: what a text is to the learned judge."""

import math

import numpy as np
import pytest

from kindling.agents.lexical.ngrams import END, START, Vocabulary, framed, ngrams, spellings, units


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好,world 2026!", ["你", "好", ",", "world", "2026", "!"]),
        ("Ｇｏｏｄ，１２", ["good", ",", "12"]),
        ("好\u200b人\u2060\ufeff", ["好", "人"]),
        ("don't  stop\n", ["don't", "stop"]),
        (f"a{START}{END}b", ["ab"]),
        ("", []),
        (" \u3000\t", []),
        ("\ud800好", ["\ud800", "好"]),
    ],
)
def test_units_are_words_and_single_characters_without_disguise(text, expected):
    assert units(text) == expected


def test_ngrams_never_cross_from_one_text_to_the_next():
    """甲乙 between its marks has the units 甲 and 乙, the pairs ^甲 甲乙 乙$ and the triples ^甲乙 甲乙$: 7 n-grams."""
    both, first, second = (
        ngrams(texts, 3) for texts in ([framed("甲乙"), framed("丙")], [framed("甲乙")], [framed("丙")])
    )
    assert len(first.codes) == 7
    for row, alone in enumerate((first, second)):
        assert sorted(both.codes[both.rows == row]) == sorted(alone.codes)


def test_an_ngram_has_one_code_wherever_it_stands():
    here, there = (ngrams([framed(text)], 3).codes for text in ("子丑寅卯", "辰丑寅卯巳"))
    shared = set(here.tolist()) & set(there.tolist())
    names = spellings(framed("子丑寅卯"), 3)
    assert {names[code] for code in shared} == {"丑", "寅", "卯", "丑寅", "寅卯", "丑寅卯"}


def test_order_matters_to_a_code():
    assert not set(ngrams([["甲", "乙"]], 2).codes[2:].tolist()) & set(ngrams([["乙", "甲"]], 2).codes[2:].tolist())


def test_spellings_write_words_apart():
    assert "good day" in spellings(framed("Good day好"), 3).values()
    assert "day好" in spellings(framed("Good day好"), 3).values()


def test_bags_hold_idf_of_unit_norm():
    """Texts 甲甲乙, 甲, 甲丙; kept are n-grams of at least two texts: 甲 (in 3) and ^甲 (in 3).

    idf of both is ln(4/4) + 1 = 1, so 甲 alone has the bag (1, 1) / √2. Of its three n-grams (甲, ^甲, 甲$) two are
    known: 2/3. The first text has five known ones with repeats (甲 twice, ^甲): 3, different 2: distinct 2/3.
    """
    texts = [framed(text) for text in ("甲甲乙", "甲", "甲丙")]
    vocabulary = Vocabulary.learn(texts, 2)
    bags = vocabulary.bags(texts)
    assert len(vocabulary.codes) == 2
    assert bags.weights.toarray()[1] == pytest.approx([1 / math.sqrt(2)] * 2)
    assert bags.known[1] == pytest.approx(2 / 3)
    assert bags.distinct[0] == pytest.approx(2 / 3)


def test_the_longest_strange_stretch_is_counted_in_pairs():
    """Known is 天地人: ^天 天地 地人 人$. In 天地玄黄人 the pairs 地玄 玄黄 黄人 are new: 3, and the ends are known."""
    vocabulary = Vocabulary.learn([framed("天地人")] * 2, 2)
    bags = vocabulary.bags([framed(text) for text in ("天地玄黄人", "天地人", "", "玄")])
    assert bags.strange.tolist() == [3, 0, 1, 2]


def test_nothing_known_is_no_error():
    bags = Vocabulary.learn([["甲"]], 2).bags([framed("乙"), []])
    assert bags.weights.shape == (2, 0)
    assert np.isfinite(bags.known).all()
    assert bags.known.tolist() == [0, 0]
