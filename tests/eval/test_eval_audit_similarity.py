"""Near copies: exact against brute force, and blind to what does not change a text."""

import random

import pytest

from kindling.eval.audit.similarity import bare, near_copies, shingles


def jaccard(one: str, other: str) -> float:
    a, b = ({bare(text)[at : at + 3] for at in range(len(bare(text)) - 2)} for text in (one, other))
    return len(a & b) / len(a | b) if a | b else 0.0


def texts(count: int, seed: int) -> list[str]:
    """Short texts over few letters, many of them edits of each other."""
    rng = random.Random(seed)
    made: list[str] = []
    for _ in range(count):
        if made and rng.random() < 0.6:
            chars = list(rng.choice(made))
            for _ in range(rng.randint(0, 3)):
                chars[rng.randrange(len(chars))] = rng.choice("春花秋月何时了往事知多少")
            made.append("".join(chars))
        else:
            made.append("".join(rng.choices("春花秋月何时了往事知多少", k=rng.randint(1, 40))))
    return made


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_within_one_list_as_by_brute_force(seed, threshold):
    some = texts(80, seed)
    found = near_copies(shingles(some), threshold=threshold)
    pairs = set(zip(found.left.tolist(), found.right.tolist(), strict=True))
    expected = {
        (i, j) for i in range(80) for j in range(i + 1, 80) if jaccard(some[i], some[j]) >= threshold - 1e-9
    }  # fmt: skip
    assert expected
    assert pairs == expected


def test_between_two_lists_as_by_brute_force():
    some, other = texts(60, 10), texts(50, 11) + texts(20, 10)
    found = near_copies(shingles(some), shingles(other))
    triples = {
        (i, j): s for i, j, s in zip(found.left.tolist(), found.right.tolist(), found.similarity.tolist(), strict=True)
    }
    expected = {(i, j) for i in range(60) for j in range(70) if jaccard(some[i], other[j]) >= 0.8}
    assert set(triples) == expected
    for (i, j), similarity in triples.items():
        assert similarity == pytest.approx(jaccard(some[i], other[j]))


def test_similarity_by_hand():
    """Of abc bcd cde def efg in abcdefg, abcdef has the first four: 4 shared of 5 is .8, which is near."""
    found = near_copies(shingles(["abcdef", "abcdefg", "uvwxyz"]))
    assert (found.left.tolist(), found.right.tolist(), found.similarity.tolist()) == ([0], [1], [pytest.approx(0.8)])


def test_width_case_punctuation_and_emoji_change_nothing():
    assert bare("Ｈｉ，  你好！🎉") == "hi你好"
    assert len(near_copies(shingles(["山高水长，风清月白！", "山高水长 风清月白🎉"])).left) == 1


def test_texts_without_trigrams_are_no_copies_of_each_other():
    assert len(near_copies(shingles(["", "好", "🎉🎉🎉🎉", "好好"])).left) == 0
