"""From scores to probabilities: what Platt's fit must recover, what it must not invent, which files are refused."""

import math

import numpy as np
import orjson
import pytest

from kindling.errors import ConfigError, InputError
from kindling.rl.training.calibration import FEWEST, FILE, Calibration, fit, read, save


def scores(pairs=4000, good=1.5, bad=-0.5, seed=0):
    """Two normal distributions of unit variance: the true logit is (good - bad) * (score - (good + bad) / 2)."""
    rng = np.random.default_rng(seed)
    return rng.normal(good, 1, pairs).tolist(), rng.normal(bad, 1, pairs).tolist()


def test_the_true_slope_and_intercept_are_found():
    found = fit(*scores(), "simulated")
    assert found.slope == pytest.approx(2.0, rel=0.05)
    assert found.intercept == pytest.approx(-1.0, abs=0.08)
    assert (found.pairs, found.source) == (4000, "simulated")
    assert found.fault is None


def test_probabilities_hold_on_scores_that_were_not_fitted():
    found = fit(*scores(seed=1), "")
    chosen, rejected = scores(seed=2)
    said = np.array([found.probability(score) for score in (*chosen, *rejected)])
    good = np.repeat([1.0, 0.0], 4000)
    for low in (0.1, 0.3, 0.5, 0.7):
        some = (said >= low) & (said < low + 0.2)
        assert good[some].mean() == pytest.approx(said[some].mean(), abs=0.05)


@pytest.mark.parametrize(("times", "plus"), [(1e-6, 0.0), (1e4, 0.0), (1.0, 5e3), (3e4, -7e5)])
def test_unit_and_origin_of_the_score_do_not_matter(times, plus):
    chosen, rejected = scores(200)
    moved = [[times * score + plus for score in side] for side in (chosen, rejected)]
    one, other = fit(chosen, rejected, ""), fit(*moved, "")
    for before, after in zip(chosen, moved[0], strict=True):
        assert other.probability(after) == pytest.approx(one.probability(before), abs=1e-3)


def test_scores_that_part_good_from_bad_completely_stay_finite_and_more_pairs_are_surer():
    few, many = (fit([2.0 + i / n for i in range(n)], [-2.0 - i / n for i in range(n)], "") for n in (20, 500))
    assert 0 < few.slope < many.slope < 10
    # at least what is true of the next text after n that went well, as Laplace would say
    assert 0.9 < few.probability(2.5) < many.probability(2.5) < 1
    assert few.probability(0.0) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("score", [1e300, -1e300, 1e-300, 0.0])
def test_no_finite_score_leaves_the_probabilities(score):
    assert 0 <= Calibration(50.0, -3.0, 20, "").probability(score) <= 1


def test_a_model_that_prefers_the_bad_texts_is_no_judge(tmp_path):
    chosen, rejected = scores(100)
    turned = fit(rejected, chosen, "")
    assert turned.slope == pytest.approx(-fit(chosen, rejected, "").slope)
    save(tmp_path, turned)
    with pytest.raises(ConfigError, match="the wrong way round"):
        read(tmp_path)


def test_a_model_that_says_the_same_of_all_is_no_judge(tmp_path):
    save(tmp_path, fit([0.25] * 30, [0.25] * 30, ""))
    with pytest.raises(ConfigError, match="not at all"):
        read(tmp_path)


def test_pairs_without_two_finite_scores_say_nothing():
    chosen, rejected = scores(40)
    spoilt = fit([*chosen, math.nan, 9.0, math.inf], [*rejected, -9.0, math.nan, -9.0], "")
    assert spoilt == fit(chosen, rejected, "")


@pytest.mark.parametrize("pairs", [0, 1, FEWEST - 1])
def test_few_pairs_make_no_calibration(pairs):
    assert fit(*scores(pairs), "") is None
    assert fit(*scores(FEWEST), "").pairs == FEWEST


def test_what_was_saved_is_read(tmp_path):
    made = fit(*scores(50), "0.1 of the queries")
    save(tmp_path, made)
    assert read(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"origin": 1}, "origin"),
        ({"slope": None}, "slope"),
        ({"pairs": 1}, "pairs"),
        ({"intercept": "steep"}, "intercept"),
    ],
)
def test_a_foreign_file_is_refused_in_one_line(change, says, tmp_path):
    save(tmp_path, fit(*scores(50), ""))
    file = tmp_path / FILE
    file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | change))
    with pytest.raises(InputError, match=says) as refused:
        read(tmp_path)
    assert str(file) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_torn_or_missing_file_says_how_to_mend(tmp_path):
    with pytest.raises(ConfigError, match=r"no calibration\.json.*kindling train rm, and train\.held_out above 0"):
        read(tmp_path)
    (tmp_path / FILE).write_text('{"slope": 1.0, "interc')
    with pytest.raises(InputError, match="kindling train rm"):
        read(tmp_path)
