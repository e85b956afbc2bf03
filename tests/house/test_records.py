"""Records: a verdict is scored or unscored, and what is written comes back as it was."""

import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindling.errors import InputError
from kindling.records import Candidate, Judgement, Outcome, Query, Verdict, load


@pytest.mark.parametrize(
    ("label", "score", "unscored"),
    [
        ("good", None, None),
        (None, 0.9, None),
        (None, None, None),
        (None, None, ""),
        ("bad", None, "time-out"),
        (None, 0.0, "time-out"),
        ("bad", 0.9, None),
        ("good", 0.5, None),
        ("good", math.nan, None),
        ("good", 1.1, None),
    ],
)
def test_nothing_between_scored_and_unscored_can_be_made(label, score, unscored):
    with pytest.raises(ValueError, match=r"verdict|contradicts"):
        Verdict(label, score, "reason", "judge", unscored=unscored)


def test_an_unscored_verdict_always_says_why():
    assert Verdict.none("", "judge").unscored
    assert Verdict.none("time-out", "judge").label is None


@given(st.floats(0, 1))
def test_the_label_follows_from_the_score(score):
    assert Verdict.of(score, "", "judge").label == ("good" if score > 0.5 else "bad")


@given(st.text(), st.text(), st.integers(0, 99))
def test_an_outcome_survives_the_way_to_disk_and_back(query, text, index):
    judgement = Judgement(Candidate(text, "s", index), Verdict.none("why", "judge"), Verdict.of(0.75, text, "judge"))
    outcome = Outcome(Query(query, 3), "unscored", "too_few_scored", judgements=(judgement,))
    try:
        line = orjson.dumps(outcome)
    except TypeError:  # lone surrogates are no text; they cannot come out of a UTF-8 file
        return
    assert load(Outcome, orjson.loads(line)) == outcome


def test_unknown_and_missing_fields_are_refused_with_their_place():
    with pytest.raises(InputError, match=r"cases\.jsonl row 3: .*colour"):
        load(Query, {"text": "a", "colour": "red"}, "cases.jsonl row 3")
    with pytest.raises(InputError, match="text"):
        load(Query, {"row": 1})
