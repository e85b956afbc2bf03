"""From sheets to conclusions: what is said is what the numbers allow, and a failure is never a bad text."""

from dataclasses import replace

import numpy as np
import orjson
import pytest

from kindling.errors import InputError
from kindling.eval.intervals import Estimate
from kindling.eval.scorecard.build import Tools, measure
from kindling.eval.scorecard.card import (
    ALL,
    FORMAT,
    Accuracy,
    Asked,
    Contestant,
    Evaluator,
    Scorecard,
    Tie,
    load_scorecard,
    save_scorecard,
)  # fmt: skip
from kindling.eval.scorecard.conclusions import apart
from kindling.eval.scorecard.novelty import Training
from kindling.eval.scorecard.sheets import Duels, Row, Sheet, Written
from kindling.records import Case

TOOLS = Tools(Case, None, None, 20, "characters", 0.1, 0)
FREE = Evaluator("free", "t", "", None, "no certificate was given", ("a", "b"))


def rows(count, group=""):
    return [Row(f"{group}q{number:04}", 0, group) for number in range(count)]


def sheet(name, scores, written=None):
    texts = written or [Written(f"{name}{place}文") for place in range(len(scores))]
    return Sheet(name, tuple(texts), {"free": np.array(scores, dtype=float)})


def models(*names, ties=()):
    return [Contestant(name, name, name, tuple(ties)) for name in names]


def sentences(found, kind):
    return [one.sentence for one in found.conclusions if one.kind == kind]


def test_the_papers_models_are_reported_as_not_distinguishable():
    one = sheet("a", np.r_[np.ones(475), np.zeros(25)])
    other = sheet("b", np.random.default_rng(0).permutation(np.r_[np.ones(473), np.zeros(27)]))
    found = measure(rows(500), [one, other], models("a", "b"), [FREE], TOOLS)
    assert sentences(found, "better") == []
    (said,) = sentences(found, "not distinguishable")
    assert said.startswith("a and b are not distinguishable on these 500 queries by free (difference +0.4 [")
    (power,) = sentences(found, "power")
    assert power.startswith("500 queries detect ")
    assert not found.comparisons[0].apart


def test_a_clear_difference_is_said_with_who_is_better():
    found = measure(
        rows(200),
        [sheet("a", np.zeros(200)), sheet("b", np.r_[np.ones(60), np.zeros(140)])],
        models("a", "b"),
        [FREE],
        TOOLS,
    )
    (said,) = sentences(found, "better")
    assert said.startswith("b is called good more often than a on these 200 queries by free")
    assert "difference +30.0 [" in said
    assert "p < 0.001" in said


def test_significance_that_does_not_survive_the_number_of_pairs_is_no_conclusion():
    rng = np.random.default_rng(3)
    names = [chr(ord("a") + place) for place in range(6)]
    sheets = [sheet(name, (rng.random(80) < 0.5).astype(float)) for name in names]
    judge = replace(FREE, independent_of=tuple(names))
    found = measure(rows(80), sheets, models(*names), [judge], TOOLS)
    assert len(found.comparisons) == 15
    assert all(one.p_holm >= one.p for one in found.comparisons)
    assert [one for one in found.comparisons if one.apart != apart(one.difference, one.p_holm)] == []
    assert sentences(found, "better") == []


def test_the_family_that_p_is_corrected_for_is_said_where_there_are_several():
    rng = np.random.default_rng(5)
    sheets = [sheet(name, (rng.random(40) < 0.5).astype(float)) for name in "abc"]
    judge = replace(FREE, independent_of=("a", "b", "c"))
    alone = measure(rows(40), sheets, models(*"abc"), [judge], TOOLS)
    assert not any(said.startswith("p: ") for said in sentences(alone, "warning"))
    grouped = measure([*rows(20, "x"), *rows(20, "y")], sheets, models(*"abc"), [judge], TOOLS)
    (said,) = (said for said in sentences(grouped, "warning") if said.startswith("p: "))
    assert "for the pairs of one judge on one group of queries; there are 3 such tables" in said
    # a table is corrected by itself, as it would be alone
    assert [one.p_holm for one in grouped.comparisons if one.group == ALL] == [one.p_holm for one in alone.comparisons]


def test_an_interval_that_holds_0_forbids_what_the_test_allows():
    assert not apart(Estimate(0.1, -0.01, 0.2), 0.001)
    assert not apart(Estimate(0.1, 0.01, 0.2), 0.2)
    assert apart(Estimate(-0.1, -0.2, -0.01), 0.01)


def test_failures_and_missing_verdicts_are_counted_apart_and_never_bad():
    failed = [Written("", "failed", "no")] * 10 + [Written("半", "cut_off", "cut")] * 10
    whole = [Written(f"好{place}") for place in range(80)]
    scores = np.r_[np.full(20, np.nan), np.full(20, np.nan), np.ones(60)]
    found = measure(
        rows(100), [sheet("a", scores, failed + whole), sheet("b", np.ones(100))], models("a", "b"), [FREE], TOOLS
    )
    card = found.cards[0]
    (excellence,) = card.excellence
    assert (excellence.scored, excellence.unscored, excellence.good, excellence.raw.value) == (60, 20, 60, 1.0)
    assert (card.texts.whole, card.texts.failed, card.texts.cut_off) == (80, 10, 10)
    assert found.comparisons[0].pairs == 60
    warned = " ".join(sentences(found, "warning"))
    assert "a: no whole text in 20.0% of 100 (10 cut off, 0 empty, 10 failed)" in warned
    assert "a: no verdict by free on 20 of 80 texts" in warned


def test_a_tied_judge_is_named_in_every_sentence():
    judge = replace(FREE, independent_of=("a",))
    tied = [*models("a"), *models("b", ties=[Tie("free", "reward")])]
    found = measure(rows(50), [sheet("a", np.ones(50)), sheet("b", np.zeros(50))], tied, [judge], TOOLS)
    assert "by free, which is not independent of them" in sentences(found, "better")[0]
    assert any("free: is tied to b (reward)" in said for said in sentences(found, "warning"))
    assert [(one.independent, one.tie) for card in found.cards for one in card.excellence] == [
        (True, ""), (False, "reward"),
    ]  # fmt: skip


def test_rates_are_corrected_where_there_is_a_certificate():
    accuracy = Accuracy("c.json", False, 192, 173, 192, 192, 154, 192)
    judge = replace(FREE, accuracy=accuracy, uncorrected="")
    found = measure(rows(100), [sheet("a", np.r_[np.ones(62), np.zeros(38)])], models("a"), [judge], TOOLS)
    (excellence,) = found.cards[0].excellence
    assert excellence.corrected.value == pytest.approx((0.62 + 154 / 192 - 1) / (173 / 192 + 154 / 192 - 1))
    assert excellence.corrected.high - excellence.corrected.low > excellence.raw.high - excellence.raw.low
    assert any("failed its certificate (c.json)" in said for said in sentences(found, "warning"))


def test_a_judge_at_chance_says_so_instead_of_a_number():
    judge = replace(FREE, accuracy=Accuracy("c.json", True, 100, 50, 100, 100, 50, 100), uncorrected="")
    found = measure(rows(40), [sheet("a", np.ones(40))], models("a"), [judge], TOOLS)
    (excellence,) = found.cards[0].excellence
    assert excellence.corrected.value is None
    assert "no better than chance" in excellence.note


def test_groups_stand_apart_and_together():
    asked = rows(30, "frequent") + rows(20, "ordinary")
    scores = np.r_[np.ones(30), np.zeros(20)]
    found = measure(asked, [sheet("a", scores), sheet("b", scores)], models("a", "b"), [FREE], TOOLS)
    rates = {(card.model, card.group): card.excellence[0].raw.value for card in found.cards}
    assert rates["a", ALL] == 0.6
    assert (rates["a", "frequent"], rates["b", "ordinary"]) == (1.0, 0.0)
    assert {one.group: one.queries for one in found.comparisons} == {ALL: 50, "frequent": 30, "ordinary": 20}
    assert [card.group for card in found.cards if card.diversity] == [ALL, ALL]


def test_a_comparer_gives_preferences_and_no_rates():
    won = np.r_[np.ones(70), np.full(20, 0.5), np.zeros(10)]
    turned = np.r_[np.zeros(70, bool), np.ones(15, bool), np.zeros(15, bool)]
    duels = Duels("pairs", ("a", "b"), {("a", "b"): won}, {("a", "b"): turned})
    same = np.ones(100)
    found = measure(rows(100), [sheet("a", same), sheet("b", same)], models("a", "b"), [FREE], TOOLS, duels)
    by_scores, by_pairs = found.comparisons
    assert (by_scores.apart, by_scores.judge) == (False, "free")
    assert (by_pairs.apart, by_pairs.difference.value, by_pairs.win_rate.value) == (True, None, 0.8)
    assert by_pairs.order == "asked in both orders: 15 turned with it, and are ties"
    (said,) = sentences(found, "better")
    assert said.startswith("a is preferred to b on these 100 queries by pairs (win rate 80.0 % [")
    assert {one.judge for one in found.strengths} == {"free", "pairs"}
    assert [one.judge for one in found.power] == ["free"]


def test_power_counts_the_queries_that_have_scores_and_one_mute_model_takes_no_diversity():
    half = np.r_[np.ones(50), np.full(50, np.nan)]
    mute = sheet("c", np.full(100, np.nan), [Written("", "empty", "empty")] * 100)
    sheets = [sheet("a", np.ones(100)), sheet("b", half), mute]
    found = measure(rows(100), sheets, models("a", "b", "c"), [FREE], TOOLS)
    assert [one.queries for one in found.power] == [50]
    assert [card.diversity and card.diversity.texts for card in found.cards] == [100, 100, None]


def test_copies_of_the_training_files_and_a_run_that_was_stopped_are_warnings():
    tools = replace(TOOLS, training=Training.of([f"a{place}文" for place in range(50)]))
    stopped = [replace(models("a")[0], note="stopped: too long")]
    found = measure(rows(50), [sheet("a", np.ones(50))], stopped, [FREE], tools)
    assert "a: stopped: too long" in sentences(found, "warning")
    assert any("100.0% of its texts stand verbatim" in said for said in sentences(found, "warning"))


def test_the_same_rows_and_seed_give_the_same_numbers():
    rng = np.random.default_rng(1)
    sheets = [sheet(name, rng.random(60)) for name in "ab"]
    made = [measure(rows(60), sheets, models("a", "b"), [FREE], TOOLS) for _ in range(2)]
    assert made[0] == made[1]


@pytest.fixture
def scorecard():
    found = measure(rows(30), [sheet("a", np.ones(30)), sheet("b", np.zeros(30))], models("a", "b"), [FREE], TOOLS)
    return Scorecard(
        FORMAT, "task", "title", "zh", Asked("q.txt", "0", 30, 1, {ALL: 30}), tuple(models("a", "b")), (FREE,),
        found.cards, found.comparisons, found.strengths, found.power, found.conclusions, {}, 0, {}, "2026-01-01",
    )  # fmt: skip


def test_a_scorecard_is_read_as_it_was_written(tmp_path, scorecard):
    save_scorecard(tmp_path / "scorecard.json", scorecard)
    assert load_scorecard(tmp_path / "scorecard.json") == scorecard
    assert scorecard.card("b").excellence[0].good == 0
    with pytest.raises(KeyError, match="c"):
        scorecard.card("c")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "not a scorecard of format 1"),
        ({"extra": 1}, "extra"),
        ({"cards": [{"model": "a"}]}, "cards.0"),
    ],
)
def test_another_version_is_refused_in_one_line(tmp_path, scorecard, change, says):
    data = orjson.loads(orjson.dumps(scorecard)) | change
    (tmp_path / "scorecard.json").write_bytes(orjson.dumps(data))
    with pytest.raises(InputError) as refused:
        load_scorecard(tmp_path / "scorecard.json")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_scorecard_is_refused_with_what_makes_one(tmp_path):
    with pytest.raises(InputError, match="kindling eval"):
        load_scorecard(tmp_path / "scorecard.json")
