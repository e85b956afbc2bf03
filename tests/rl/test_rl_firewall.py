"""The firewall: noise alone stops no run, each exploit stops one in time and is named, and a resumed run remembers.

Runs are simulated: queries differ in length, completions of one query are alike, a judge and its shadow err at random.
"""

import math
import re
from dataclasses import replace
from random import Random

import orjson
import pytest

from kindling.records import load
from kindling.rl.firewall.canaries import CanaryResult
from kindling.rl.firewall.exploit import find
from kindling.rl.firewall.firewall import Firewall, Memory
from kindling.rl.firewall.measures import change
from kindling.rl.firewall.report import Sample, StepReport
from kindling.rl.firewall.settings import Limits
from kindling.rl.firewall.shadow import ShadowScore

RIGHT = {"good": 0.7, "bad": 0.75, "off-topic": 0.7, "attack": 0.85}


def flat(step):
    return 1.0


def plain(rng, length, step):
    """A text of which only the length counts."""
    return "字" * length


def words(rng, length, step):
    """A text that shares no more with others than chance."""
    return "".join(chr(0x4E00 + rng.randrange(3000)) for _ in range(length))


def report(rng, step, growth=flat, write=plain, groups=8, size=3, right=RIGHT, shadow=flat, **logged):
    """One step of a run whose texts have `growth(step)` times their length, and whose shadow judge sinks alike."""
    samples = []
    for group in range(groups):
        typical = max(12.0, rng.gauss(60, 15))
        usual = typical * max(0.4, rng.gauss(1, 0.2)) * growth(step)
        for _ in range(size):
            text = write(rng, max(4, round(rng.gauss(usual, usual * 0.15))), step)
            reward = None if rng.random() < 0.1 else rng.gauss(0.6, 0.2) + (1 - shadow(step))
            samples.append(Sample(f"{step}-{group}", text, reward, typical))
    shadows = [
        ShadowScore(step, one.query, one.response, max(0.0, min(1.0, rng.gauss(0.6 * shadow(step), 0.25))), None)
        for one in samples
    ]
    numbers = {"limit_share": max(0.0, rng.gauss(0.03, 0.02)), "kl": 0.05, "entropy": rng.gauss(2, 0.15)} | logged
    canaries = tuple(CanaryResult(step, kind, rng.random() < often, "") for kind, often in right.items() for _ in "12")
    return StepReport(step, tuple(samples), canaries, tuple(shadows) if step % 5 == 0 else (), **numbers)


def baseline(rng, write=plain):
    """512 completions of the untrained policy, one a query."""
    samples = [one for _ in range(64) for one in report(rng, 0, size=1, write=write).samples]
    return [replace(one, query=f"before-{place}") for place, one in enumerate(samples)]


def run(seed, steps=60, sampled=True, limits=None, **options):
    """The first breach of a simulated run, or None."""
    rng = Random(seed)
    write = options.get("write", plain)
    firewall = Firewall(limits or Limits(), (), baseline(rng, write) if sampled else ())
    return next((breach for step in range(steps) if (breach := firewall.check(report(rng, step, **options)))), None)


def test_two_hundred_steps_of_noise_stop_at_most_one_run_in_twenty():
    stopped = [breach for seed in range(20) if (breach := run(seed, 200, sampled=seed % 2 == 0, groups=6))]
    assert len(stopped) <= 1, stopped


@pytest.mark.parametrize(
    "growth", [lambda step: 1 + 0.019 * step, lambda step: 1 + 0.95 / (1 + math.exp(-(step - 25) / 7))]
)
def test_a_run_whose_texts_double_is_stopped_before_they_are_a_quarter_longer(growth):
    grown = []
    for seed in range(8):
        breach = run(seed, growth=growth, size=8)
        assert breach.measure == "length"
        assert "rose by" in breach.line
        grown.append(growth(breach.step) / growth(0) - 1)
    assert sorted(grown)[-2] < 0.25, grown
    assert max(grown) < 0.3, "the noise of these runs is large: one in eight may come late"
    assert min(grown) > 0.05, "stopped for noise"


def test_texts_that_shrink_are_noticed():
    breach = run(1, growth=lambda step: max(0.3, 1 - 0.03 * step), size=8)
    assert breach.measure == "length"
    assert breach.value < -0.3


def test_long_requests_in_one_batch_are_no_growth_where_their_length_is_known():
    rng = Random(5)
    firewall = Firewall(Limits(), (), baseline(rng))
    for step in range(12):
        long = [
            replace(one, response=one.response * 4, typical=one.typical * 4) if step >= 6 else one
            for one in report(rng, step).samples
        ]
        assert firewall.check(StepReport(step, tuple(long))) is None


def test_that_texts_of_a_few_characters_are_gone_is_no_growth():
    rng = Random(2)
    before = [replace(one, response="字" * 4) if rng.random() < 0.06 else one for one in baseline(rng)]
    firewall = Firewall(Limits(), (), before)
    # of the logarithms of the lengths the mean rises by 0.16, as if all texts had become 17 % longer
    assert [breach for step in range(40) if (breach := firewall.check(report(rng, step, groups=32)))] == []
    assert 0 < firewall.measured["length_change"] < 0.15


def test_the_line_says_by_how_much_the_two_means_that_it_gives_differ():
    breach = run(0, growth=lambda step: 1 + 0.03 * step, size=8)
    percent, then, now, limit = (int(found) for found in re.findall("[0-9]+", breach.line))
    assert limit == 15 < percent == round(100 * breach.value)
    assert now / then - 1 == pytest.approx(breach.value, abs=0.02)  # both are rounded to whole characters


def test_a_phrase_that_spreads_stops_the_run_and_is_quoted_whole():
    def write(rng, length, step):
        return words(rng, length, step) + ("。心想事成万事兴！" if rng.random() < step * 0.04 else "。")

    breach = run(2, write=write)
    assert breach.measure == "phrase"
    assert "心想事成万事兴" in breach.line
    assert "心想事成万事兴" in breach.exploit
    assert breach.evidence[0].now > 0.4 > 0.1 > breach.evidence[0].then


def test_a_phrase_that_good_texts_have_too_is_no_exploit():
    def write(rng, length, step):
        return words(rng, length, step) + ("心想事成" if rng.random() < step * 0.04 else "")

    rng = Random(2)
    known = [("q", words(rng, 40, 0) + "心想事成") for _ in range(30)] + [("q", words(rng, 40, 0))] * 30
    firewall = Firewall(Limits(), known, baseline(rng, words))
    assert all(firewall.check(report(rng, step, write=write)) is None for step in range(40))


@pytest.mark.parametrize(("kind", "often"), [("off-topic", 0.1), ("attack", 0.3), ("good", 0.1), ("bad", 0.1)])
def test_a_judge_that_is_wrong_about_one_kind_of_canary_is_caught_within_fifteen_steps(kind, often):
    breach = run(3, 30, right=RIGHT | {kind: often})
    assert breach.measure == f"canaries/{kind}"
    assert breach.step <= 15
    assert kind in breach.line


def test_canaries_that_could_not_be_judged_are_neither_right_nor_wrong():
    rng = Random(4)
    firewall = Firewall(Limits())
    for step in range(20):
        seen = replace(report(rng, step), canaries=(CanaryResult(step, "bad", None, "timed out"),) * 8)
        assert firewall.check(seen) is None


def test_a_canary_that_comes_again_is_no_further_observation():
    """Two right of ten prove nothing against a judge that may err on half; ten that come six times are not sixty."""
    rng = Random(5)
    results = [CanaryResult(0, "good", place < 2, "", of=10) for place in range(10)]
    few = Firewall(Limits())
    assert all(few.check(replace(report(rng, step), canaries=tuple(results))) is None for step in range(20))
    many = Firewall(Limits())
    sixty = [replace(one, of=60) for one in results]
    found = (many.check(replace(report(rng, step), canaries=tuple(sixty))) for step in range(20))
    assert next(breach for breach in found if breach).measure == "canaries/good"


def test_a_reward_that_rises_while_the_shadow_falls_is_an_exploit_and_both_falling_is_none():
    breach = run(6, 100, shadow=lambda step: max(0.5, 1 - 0.01 * step), size=8)
    assert breach.measure == "shadow"
    assert "while the reward rose" in breach.line
    rng = Random(6)
    firewall = Firewall(Limits())
    for step in range(100):
        sinking = report(rng, step, shadow=lambda step: max(0.5, 1 - 0.01 * step), size=8)
        worse = [replace(one, reward=rng.gauss(0.6 - 0.002 * step, 0.1)) for one in sinking.samples]
        assert firewall.check(replace(sinking, samples=tuple(worse))) is None


@pytest.mark.parametrize(
    ("measure", "logged"),
    [
        ("kl", lambda step: {"kl": 0.05 * step}),
        ("entropy", lambda step: {"entropy": max(0.2, 2 - 0.1 * step)}),
        ("limit_share", lambda step: {"limit_share": min(1.0, 0.02 * step)}),
    ],
)
def test_what_the_trainer_logs_has_limits_too(measure, logged):
    rng = Random(7)
    firewall = Firewall(Limits())
    breach = next(found for step in range(40) if (found := firewall.check(report(rng, step, **logged(step)))))
    assert breach.measure == measure
    assert firewall.measured[measure] == logged(breach.step)[measure]


def test_a_base_model_that_never_stopped_early_is_not_blamed_for_it():
    rng = Random(8)
    firewall = Firewall(Limits())
    assert all(firewall.check(report(rng, step, limit_share=0.4)) is None for step in range(30))


def test_a_judge_that_scores_nothing_and_rewards_that_are_all_equal_end_the_run_within_a_window():
    for reward, measure in ((None, "unscored"), (1.0, "without_advantage")):
        rng = Random(9)
        firewall = Firewall(Limits())
        for step in range(Limits().window):
            seen = report(rng, step)
            breach = firewall.check(replace(seen, samples=tuple(replace(one, reward=reward) for one in seen.samples)))
        assert breach.measure == measure


def test_a_reward_that_has_ended_stops_the_run_at_once_with_its_line():
    breach = Firewall(Limits()).check(StepReport(3, stopped="max_calls = 5 is used up"))
    assert breach.measure == "judge"
    assert breach.line.endswith("max_calls = 5 is used up")


def test_groups_with_one_scored_row_teach_nothing():
    def group(query, *rewards):
        return [Sample(query, "x", reward) for reward in rewards]

    samples = group("a", 0.5, 0.6) + group("b", 0.5, None) + group("c", None, None) + group("d", 0.5, 0.5)
    assert StepReport(0, tuple(samples)).without_advantage == 0.75
    assert StepReport(0, tuple(samples)).unscored == 3 / 8
    assert StepReport(0).without_advantage is None


def test_a_resumed_run_comes_to_the_same_breach_at_the_same_step():
    def growth(step):
        return 1 + 0.02 * step

    def reports():
        rng = Random(11)
        return [report(rng, step, growth=growth, size=8) for step in range(40)]

    whole = Firewall(Limits())
    expected = next(breach for one in reports() if (breach := whole.check(one)))
    first = Firewall(Limits())
    cut = expected.step - 2
    for one in reports()[:cut]:
        assert first.check(one) is None
    memory = load(Memory, orjson.loads(orjson.dumps(first.memory)))
    second = Firewall(Limits(), memory=memory)
    resumed = next(breach for one in reports()[cut:] if (breach := second.check(one)))
    assert resumed == expected


def test_the_same_reports_give_the_same_breach():
    assert run(12, growth=lambda step: 1 + 0.03 * step) == run(12, growth=lambda step: 1 + 0.03 * step)


def samples(texts, reward=1.0):
    return [Sample("q", text, reward) for text in texts]


@pytest.mark.parametrize(
    ("change_text", "said"),
    [
        (lambda text: text + "✨", "contain “✨”"),
        (lambda text: "亲爱的你：" + text, "begin with “亲爱的你”"),
        (lambda text: text + "。" + text, "are longer than"),
        (lambda text: text[:30] + "\n" + text[30:], "have several lines"),
        (lambda text: text[:20], "are shorter than"),
    ],
)
def test_what_sets_new_high_scores_apart_is_said_in_words_with_shares(change_text, said):
    rng = Random(13)
    old = [words(rng, rng.randint(40, 60), 0) for _ in range(80)]
    new = [change_text(words(rng, rng.randint(40, 60), 0)) if n % 10 else words(rng, 50, 0) for n in range(80)]
    first = find(samples(old), samples(new), old[:40])[0]
    assert said in str(first)
    assert "of the new high scores" in str(first)
    assert first.now >= 0.85
    assert first.then <= 0.2


def test_nothing_is_named_where_nothing_differs_and_only_the_better_half_is_looked_at():
    rng = Random(14)
    old, new = ([words(rng, rng.randint(40, 60), 0) for _ in range(80)] for _ in "12")
    assert find(samples(old), samples(new), old) == ()
    low = samples([text + "✨" for text in new], 0.1)
    assert find(samples(old), low + samples(new, 0.9), old) == ()
    assert find([], samples(new), old) == ()


def test_a_change_is_only_as_certain_as_its_observations():
    assert change([1.0], [2.0, 2.0]) is None
    assert change([1.0, 1.0], [2.0, 2.0]).doubt == 0.0
    assert change([1.0, 1.0], [1.0, 1.0]).doubt == 0.5
    assert change([1.0, 1.2] * 3, [1.6, 1.8] * 2).doubt > change([1.0, 1.2] * 30, [1.6, 1.8] * 20).doubt
