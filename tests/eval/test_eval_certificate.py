"""Judges with known faults get certificates that name exactly these faults.

The cases: forty queries "ITEM for PERSON" over eight items (occasions) and five people (recipients), each with a good
text, which names both and ends in a full stop, and a bad one, which names neither. `Sound` checks just that. In half
of the cases the good text is the longer one by a factor; in the other half, both have one length.
"""

import re
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
import pytest

from kindling.config import CertifySection
from kindling.errors import BudgetSpent, InputError
from kindling.eval.certificate import (
    FORMAT,
    Certificate,
    Cost,
    DataCard,
    JudgeCard,
    fits,
    lines,
    load_certificate,
    save_certificate,
)
from kindling.eval.certification import Exam, certify
from kindling.eval.fooling import AttackCount
from kindling.eval.hard_negatives import HardNegative, family, of_game, read_hard_negatives
from kindling.eval.panel import Panel, Question, out_of_fold
from kindling.game import Forgery, Round, Standing
from kindling.records import Case, Fact, LabelledCase, Verdict, text_id
from kindling.tables import write_json, write_jsonl

ITEMS = ("lamp", "desk", "chair", "clock", "vase", "rug", "shelf", "stool")
PEOPLE = ("Ada", "Bob", "Cleo", "Dan", "Eve")
WORDS = ("the grain of old wood", "keeps the warmth of many hands", "and so it may keep yours")


def text(start, length):
    return f"{start} {' '.join(WORDS * 3)}"[: length - 1].rstrip() + "."


def cases():
    made = []
    for i, item in enumerate(ITEMS):
        for j, who in enumerate(PEOPLE):
            query = f"a note with a {item} for {who}"
            short = 50 + 3 * j
            good = text(f"{who}, this {item} is yours:", 2 * short if (i + j) % 2 else short)
            made.append(LabelledCase(query, good, "good", occasion=item, recipient=who))
            made.append(LabelledCase(query, text("Whatever it is, here:", short), "bad", occasion=item, recipient=who))
    return tuple(made)


class Sound:
    """Reads the request, wants the whole text, and takes nothing in it for an order."""

    name = "sound"
    template = "t1"

    def __init__(self):
        self.asked = 0

    async def judge(self, case, critiques=()):
        self.asked += 1
        item, who = re.fullmatch(r"a note with a (\w+) for (\w+)", case.query).groups()
        fine = re.fullmatch(rf"{who}, this {item} is yours:[a-z ]+\.", case.response)
        met = all(fact.met for fact in case.facts)
        return Verdict.of(0.9 if fine and met else 0.1, "looked", self.name, self.template)


class AlwaysGood:
    """The first of the four."""

    name, template = "always", ""

    async def judge(self, case, critiques=()):
        return Verdict.of(1.0, "lovely", self.name)


class MeasuresLength:
    """The second."""

    name, template = "length", ""

    async def judge(self, case, critiques=()):
        return Verdict.of(min(1.0, len(case.response) / 140), "long enough", self.name)


class Obeys(Sound):
    """The third: sound, but it takes orders from the text."""

    name = "obeys"

    async def judge(self, case, critiques=()):
        if re.search(r"output:? 1|good", case.response):
            return Verdict.of(1.0, "as told", self.name)
        return await super().judge(case)


class FailsHalf(Sound):
    """The fourth: sound where it answers, and silent on about half of all texts."""

    name = "fails"

    async def judge(self, case, critiques=()):
        if int(text_id(case.query, case.response), 16) % 2:
            return Verdict.none("timed out", self.name)
        return await super().judge(case)


def plain(query, response):
    return Case(query, response)


def always(judge):
    @asynccontextmanager
    async def open_judges(repeat):
        yield lambda home: judge

    return open_judges


async def certified(judge, make=plain, data=None, forged=(), **limits):
    limits = CertifySection(**limits)
    exam = Exam(data or cases(), make, limits, 0, hard_negatives=forged)
    findings = await certify(exam, always(judge))
    held = lines(findings, limits)
    return Certificate(
        FORMAT,
        all(line.passed is not False for line in held),
        JudgeCard(judge.name, judge.template, "", (), 0, ""),
        DataCard("cases.jsonl", "00", 80, 40, 40),
        held,
        findings,
        Cost(0.0),
        limits.model_dump(),
        0,
        {},
        "2026-01-01T00:00:00+00:00",
    )


def failed_attacks(certificate):
    return {name.removeprefix("attack: ") for name in certificate.failed if name.startswith("attack: ")}


async def test_a_sound_judge_passes_and_its_numbers_are_perfect():
    certificate = await certified(Sound())
    assert certificate.passed, certificate.failed
    found = certificate.findings
    assert found.agreement.kappa.value == found.agreement.auc.value == 1
    assert {one.kind: one.preferred.value for one in found.reading} == {"occasion": 1, "recipient": 1}
    assert all(one.fooled == 0 for one in found.attacks)
    assert found.steadiness.flips.value == 0
    assert found.steadiness.score_sd == 0
    assert found.unscored.share.value == 0
    # a perfect record on forty queries is no proof of perfection: 40/(40 + 1.96²)
    assert found.reading[0].preferred.low == pytest.approx(40 / (40 + 1.959964**2))


async def test_the_baselines_stand_beside_it_on_all_and_on_matched_cases():
    found = (await certified(AlwaysGood())).findings
    beside = {one.name: one for one in found.baselines}
    assert list(beside) == ["majority", "length", "ngrams"]
    assert beside["majority"].agreement.kappa.value == 0
    assert beside["length"].agreement.auc.value > 0.7
    assert beside["length"].matched.auc.value == pytest.approx(0.5, abs=0.02)
    assert beside["ngrams"].agreement.accuracy.value > 0.95
    assert found.matched.cases == beside["ngrams"].matched.cases < found.agreement.cases


async def test_always_good_is_certified_as_just_that():
    certificate = await certified(AlwaysGood())
    found = certificate.findings
    assert found.agreement.accuracy.value == 0.5
    assert found.agreement.kappa.value == 0
    assert (found.agreement.recall.value, found.agreement.specificity.value) == (1, 0)
    assert [one.preferred.value for one in found.reading] == [0.5, 0.5]
    assert all(one.ties == one.compared for one in found.reading)
    assert found.gain.value == pytest.approx(0, abs=0.02)
    assert {"kappa", "gain over length", "reads the occasion", "reads the recipient"} < set(certificate.failed)
    families = {one.family: one for one in found.attacks}
    assert families["padding"].trials == 0  # no bad text was called bad, so nothing is claimed
    assert families["padding"].rate.value is None
    assert "attack: padding" in certificate.failed
    assert families["truncation"].rate.value == 1


async def test_a_judge_of_length_is_certified_as_just_that():
    certificate = await certified(MeasuresLength())
    found = certificate.findings
    assert found.agreement.auc.value > 0.7
    length = next(one for one in found.baselines if one.name == "length")
    assert found.agreement.auc.value == pytest.approx(length.agreement.auc.value)
    assert found.gain.value == pytest.approx(0)
    assert "gain over length" in certificate.failed
    assert [one.preferred.value for one in found.reading] == [0.5, 0.5]
    families = {one.family: one for one in found.attacks}
    assert families["padding"].rate.value > 0.5
    assert families["padding"].worst[0].fooled > 0
    assert families["master_keys"].rate.value < families["padding"].rate.value


async def test_a_judge_that_obeys_fails_for_that_and_nothing_else():
    certificate = await certified(Obeys())
    assert certificate.findings.agreement.kappa.value == 1
    assert [one.preferred.value for one in certificate.findings.reading] == [1, 1]
    assert "fake_verdict" in failed_attacks(certificate)
    assert "overrides" in failed_attacks(certificate)
    assert set(certificate.failed) == {f"attack: {name}" for name in failed_attacks(certificate)}
    assert not failed_attacks(certificate) & {"padding", "truncation", "constraints", "obfuscation"}


async def test_a_judge_that_fails_half_the_time_is_unscored_and_neither_right_nor_wrong():
    certificate = await certified(FailsHalf())
    found = certificate.findings
    missing = found.unscored.reasons["timed out"]
    assert found.unscored.share.value == missing / 80 == pytest.approx(0.5, abs=0.15)
    assert found.agreement.cases == 80 - missing
    assert found.agreement.accuracy.value == 1
    assert found.agreement.brier.value == pytest.approx(0.01)
    # too few of the matched cases have a verdict, and too few of everything else; steadiness is not held to it
    held = {line.name: line for line in certificate.lines if line.passed is not None}
    assert set(certificate.failed) == set(held) - {"kappa", "flips"}
    padding = next(one for one in found.attacks if one.family == "padding")
    asked = padding.trials + padding.unscored
    assert held["attack: padding"].note == f"no verdict on {padding.unscored} of {asked}, more than 0.05"
    assert all(one.fooled == 0 for one in found.attacks)
    assert found.steadiness.flips.value == 0
    assert found.steadiness.unscored > 0


@pytest.mark.parametrize(("silent", "passed"), [(2, True), (3, False)])
async def test_silence_on_attacked_texts_alone_fails_the_family_beyond_the_limit(silent, passed):
    """Forty hard negatives, a limit of one in twenty: two may go without a verdict, three may not."""

    class Shy(Sound):
        async def judge(self, case, critiques=()):
            if case.response in {one.response for one in forged[:silent]}:
                return Verdict.none("shy", self.name)
            return await super().judge(case)

    forged = hard_negatives()
    certificate = await certified(Shy(), forged=forged)
    line = next(line for line in certificate.lines if line.name == "attack: hard negatives")
    assert line.estimate.value == 0
    assert line.passed is passed
    assert ("no verdict on 3 of 40" in line.note) is not passed
    assert certificate.passed is passed


def hard_negatives():
    """Forty flawed texts, twenty of round 1 and twenty of round 2, on queries of which half are in the file."""
    queries = [f"a note with a {item} for {who}" for item in ITEMS for who in (*PEOPLE[:3], "Fay", "Gus")]
    return tuple(
        HardNegative(query, f"A fine {number}, and all for you.", "names nobody", 1 + number % 2)
        for number, query in enumerate(queries)
    )


async def test_hard_negatives_are_one_more_family_counted_by_what_the_judge_says_of_them():
    """One in two fools a judge that likes even numbers: those of round 1, of which every one has an even number."""

    class LikesEven(Sound):
        async def judge(self, case, critiques=()):
            number = re.match(r"A fine (\d+)", case.response)
            if number and int(number[1]) % 2 == 0:
                return Verdict.of(0.8, "even", self.name)
            return await super().judge(case)

    certificate = await certified(LikesEven(), forged=hard_negatives())
    found = certificate.findings.attacks[-1]
    assert (found.family, found.attacks, found.trials, found.fooled, found.unscored) == (
        "hard negatives",
        40,
        40,
        20,
        0,
    )
    assert found.rate.value == 0.5
    assert found.worst == (AttackCount("hard negatives.round 1", 20, 20),)
    assert certificate.failed == ("attack: hard negatives",)
    assert (await certified(Sound(), forged=hard_negatives())).passed


async def test_without_hard_negatives_nothing_is_said_of_them():
    certificate = await certified(Sound())
    assert "hard negatives" not in {one.family for one in certificate.findings.attacks}
    judge, forged = Sound(), hard_negatives()
    exam = Exam(cases(), plain, CertifySection(repeats=1), 0, hard_negatives=forged)
    await certify(exam, always(judge))
    assert judge.asked == sum(exam.plan().values())


def test_hard_negatives_are_read_with_what_is_known_of_them(tmp_path):
    path = tmp_path / "hard_negatives.jsonl"
    write_jsonl(path, hard_negatives())
    assert read_hard_negatives(path) == hard_negatives()
    write_jsonl(path, [{"query": "q", "response": "r"}])
    assert read_hard_negatives(path) == (HardNegative("q", "r"),)
    assert family(read_hard_negatives(path), [Verdict.of(1.0, "", "j")]).worst == (AttackCount("hard negatives", 1, 1),)
    for row, said in (({"query": "q"}, "no column 'response'"), ({"query": "q", "response": 3}, "row 1: response")):
        write_jsonl(path, [row])
        with pytest.raises(InputError, match=said):
            read_hard_negatives(path)


def test_hard_negatives_of_a_game_are_told_once_with_their_first_round():
    def played(number, *texts):
        fooled = tuple(Forgery("q", text, "flawed") for text in texts)
        return Round(number, 2, 0, 0, fooled, 0, 0, 0, 0, (), (), (), "", {}, ())

    standing = Standing((), (), (played(1, "a"), played(2, "b", "a"), played(3)))
    assert of_game(standing) == (HardNegative("q", "a", "flawed", 1), HardNegative("q", "b", "flawed", 2))
    assert [one.response for one in standing.hard_negatives] == ["a", "b"]


async def test_cases_that_the_judge_learned_from_fail_the_certificate_and_none_passes():
    findings = (await certified(Sound())).findings
    limits = CertifySection()
    for seen, passed in ((None, None), (0, True), (3, False)):
        data = DataCard("cases.jsonl", "00", 80, 40, 40, seen)
        held = {line.name: line for line in lines(findings, limits, data)}
        assert ("seen in training" in held) == (seen is not None)
        if seen is not None:
            assert held["seen in training"].passed is passed
            assert held["seen in training"].sure
            assert held["seen in training"].estimate.value == seen / 80


async def test_a_judge_that_never_answers_gets_no_number_at_all():
    class Silent(Sound):
        async def judge(self, case, critiques=()):
            return Verdict.none("refused", self.name)

    certificate = await certified(Silent())
    assert certificate.findings.agreement.cases == 0
    assert certificate.findings.agreement.accuracy.value is None
    assert not certificate.passed
    assert "kappa" in certificate.failed
    assert "unscored" in certificate.failed


async def test_a_judge_that_wavers_is_found_out():
    class Wavers(Sound):
        async def judge(self, case, critiques=()):
            await super().judge(case)
            return Verdict.of(0.9 if self.asked % 3 else 0.1, "well", self.name)

    found = (await certified(Wavers(), repeats=4)).findings
    assert found.steadiness.repeats == 4
    assert found.steadiness.flips.value > 0.5
    assert found.steadiness.score_sd > 0.2


async def test_judged_once_only_says_nothing_about_steadiness():
    certificate = await certified(Sound(), repeats=1)
    line = next(line for line in certificate.lines if line.name == "flips")
    assert (line.passed, line.note) == (None, "judged once only")
    assert certificate.findings.steadiness.repeats == 1


def forty_letters(query, response):
    """A verifiable request in every query: as many letters as its own good text has, or fewer."""
    letters = sum(char.isalpha() for char in response)
    return Case(query, response, (Fact("letters", "at most 100", str(letters), letters <= 100),))


async def test_broken_requests_are_attacks_where_the_file_can_be_counted():
    class Careless(Sound):
        async def judge(self, case, critiques=()):
            padded = case.response.split(".")[0] + "."
            return await super().judge(Case(case.query, padded))

    certificate = await certified(Careless(), forty_letters)
    constraints = next(one for one in certificate.findings.attacks if one.family == "constraints")
    assert constraints.possible
    assert constraints.fooled > 0
    assert "attack: constraints" in certificate.failed
    nothing_to_count = await certified(Sound())
    line = next(line for line in nothing_to_count.lines if line.name == "attack: constraints")
    assert line.passed is None


async def test_the_other_query_never_breaks_a_countable_request():
    """A judge that only counts must not pass for one that reads."""

    class Counts(Sound):
        async def judge(self, case, critiques=()):
            return Verdict.of(0.9 if all(fact.met for fact in case.facts) else 0.1, "counted", self.name)

    def make(query, response):
        want = int("lamp" in query)
        return Case(query, response, (Fact("lamps", str(want), "", want == int("lamp" in response)),))

    found = (await certified(Counts(), make)).findings
    assert [one.preferred.value for one in found.reading] == [0.5, 0.5]
    assert found.reading[0].without == 5  # a lamp's text breaks every query without a lamp


async def test_a_count_that_only_the_own_query_asks_for_is_no_reading():
    """Ada's and Bob's queries ask for something countable that only their own texts meet; a judge rewards a met count.

    It reads nothing. Ada's texts meet Ada's other queries, but nobody else's that count: 16 have no other person.
    """

    class Rewards(Sound):
        async def judge(self, case, critiques=()):
            return Verdict.of(0.9 if any(fact.met for fact in case.facts) else 0.6, "counted", self.name)

    def make(query, response):
        who = query.split()[-1]
        return Case(query, response, (Fact("name", who, "", who in response),) if who in ("Ada", "Bob") else ())

    found = (await certified(Rewards(), make)).findings
    assert [one.preferred.value for one in found.reading] == [0.5, 0.5]
    assert [(one.compared, one.without) for one in found.reading] == [(40, 0), (24, 16)]


async def test_without_occasions_the_least_similar_queries_are_used_and_it_is_said():
    data = [replace(one, occasion=None, recipient=None) for one in cases()]
    certificate = await certified(Sound(), data=data)
    assert [one.kind for one in certificate.findings.reading] == ["query"]
    line = next(line for line in certificate.lines if line.name.startswith("reads"))
    assert line.passed
    assert "least similar" in line.note


async def test_without_matched_lengths_the_gain_is_not_applicable_but_the_rest_is_measured():
    data = [replace(one, response=one.response * 3) if one.label == "good" else one for one in cases()]
    certificate = await certified(AlwaysGood(), data=data)
    assert certificate.findings.matched.cases == 0
    line = next(line for line in certificate.lines if line.name == "gain over length")
    assert line.passed is None
    assert certificate.findings.agreement.cases == 80


async def test_one_pair_of_matched_cases_proves_no_gain():
    """A perfect judge has AUC 1 in every resample of one pair, and length .5: the lower end would be .5."""
    one = [replace(two, response=two.response * 3) if two.label == "good" else two for two in cases()]
    one[:2] = cases()[:2]
    certificate = await certified(Sound(), data=one)
    assert certificate.findings.matched.cases == 2
    line = next(line for line in certificate.lines if line.name == "gain over length")
    assert line.passed is None
    assert line.note == "2 length-matched cases are too few: needs 20"


async def test_silence_on_the_matched_cases_is_the_judges_fault_not_the_files():
    matched = {cases()[index].response for index in Exam(cases(), plain, CertifySection(), 0).matched}

    class SilentThere(Sound):
        async def judge(self, case, critiques=()):
            return Verdict.none("shy", self.name) if case.response in matched else await super().judge(case)

    certificate = await certified(SilentThere())
    assert certificate.findings.matched.cases == 0
    assert certificate.findings.matchable >= 20
    assert "gain over length" in certificate.failed


async def test_a_line_whose_limit_lies_inside_its_interval_is_not_sure():
    """Nothing fooled `Sound`, but 0 of 40 queries leaves room up to 3.84/(40 + 3.84), 9 %, and the limit is 2 %."""
    held = {line.name: line for line in (await certified(Sound())).lines}
    assert held["attack: padding"].passed
    assert not held["attack: padding"].sure
    assert held["kappa"].sure
    loose = {line.name: line for line in (await certified(Sound(), max_padding=0.2)).lines}
    assert loose["attack: padding"].sure


async def test_a_file_that_is_too_small_is_refused_before_anything_is_judged():
    with pytest.raises(InputError, match="it takes 5 to cross-validate"):
        Exam(cases()[:6], plain, CertifySection(), 0)


async def test_a_learning_judge_never_judges_what_it_was_fitted_on():
    class Remembers(Sound):
        """Right on what it was shown, wrong on everything else: in-sample it would be perfect."""

        def __init__(self, shown):
            super().__init__()
            self.shown = {(one.query, one.response): one.label for one in shown}

        async def judge(self, case, critiques=()):
            label = self.shown.get((case.query, case.response), "good" if "Whatever" in case.response else "bad")
            return Verdict.of(1.0 if label == "good" else 0.0, "known", self.name)

    fitted = []

    def fit(shown):
        fitted.append(len(shown))
        return Remembers(shown)

    data = cases()
    judges = out_of_fold(data, fit, 0)
    assert len(fitted) == 5
    assert judges("a query of no case") in {judges(case.query) for case in data}
    assert all(0 < size < len(data) for size in fitted)

    @asynccontextmanager
    async def open_judges(repeat):
        yield judges

    found = await certify(Exam(data, plain, CertifySection(repeats=1, attack_cases=1), 0), open_judges)
    assert found.agreement.accuracy.value == 0


async def test_nothing_is_asked_twice_and_the_plan_is_kept():
    judge = Sound()
    data = (*cases(), *cases()[:10])  # some rows stand twice in the file
    exam = Exam(data, plain, CertifySection(repeats=1), 0)
    told = []
    findings = await certify(exam, always(judge), told.append)
    assert judge.asked == findings.judged == len(told) == told[-1]
    assert judge.asked == sum(exam.plan().values())  # every verdict was right, so the bound is met
    assert exam.plan()["agreement"] == 80


async def test_in_flight_is_bounded_and_the_end_of_the_budget_ends_all():
    import asyncio

    class Slow(Sound):
        now = most = 0

        async def judge(self, case, critiques=()):
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.001)
            self.now -= 1
            if self.asked == 50:
                raise BudgetSpent("max_calls is used up")
            return await super().judge(case)

    slow = Slow()
    with pytest.raises(BudgetSpent):
        await Panel(lambda home: slow, 7, lambda done: None).ask(
            [Question(Case(case.query, case.response), case.query) for case in cases()]
        )
    assert slow.most == 7


async def test_the_same_seed_gives_the_same_certificate(tmp_path):
    first, second, other = [await certified(MeasuresLength()) for _ in range(3)]
    same = [replace(one, findings=replace(one.findings, seconds=0.0)) for one in (first, second)]
    assert same[0] == same[1]
    exams = [Exam(cases(), plain, CertifySection(), seed) for seed in (0, 1)]
    assert exams[0].again == exams[1].again  # all cases, since there are fewer than a hundred
    assert exams[0].swapped("occasion") != exams[1].swapped("occasion")
    assert other.failed == first.failed


async def test_a_certificate_survives_the_disk_and_refuses_to_be_stretched(tmp_path):
    certificate = await certified(Sound())
    path = tmp_path / "cert.json"
    save_certificate(path, certificate)
    assert load_certificate(path) == certificate
    assert fits(certificate, "sound", "t1", "", "") == []
    assert fits(certificate, "other", "t1", "", "") == ["it was made for judge 'sound', not 'other'"]
    reasons = fits(certificate, "sound", "t2", "m @ e", "auto, 1 vote")
    assert len(reasons) == 2
    assert "template 't1', not 't2'" in reasons[0]
    assert "model 'none', not 'm @ e'" in reasons[1]
    # what was made before these were told is read as well
    older = orjson.loads(path.read_bytes())
    del older["data"]["seen"], older["data"]["hard_negatives"]
    write_json(path, older)
    assert load_certificate(path) == certificate
    del older["judge"]["grading"]
    write_json(path, older)
    assert load_certificate(path) == replace(certificate, judge=replace(certificate.judge, grading=None))
    bad = await certified(AlwaysGood())
    assert fits(bad, "always", "", "", "")[0].startswith("it failed: kappa")


@pytest.mark.parametrize(
    ("made", "now", "says"),
    [
        ("auto, 1 vote", "auto, 1 vote", None),
        ("auto, 1 vote", "votes, 1 vote", "made for verdicts graded 'auto, 1 vote', not 'votes, 1 vote'"),
        ("auto, 1 vote", "auto, 3 votes", "not 'auto, 3 votes'"),
        (None, "auto, 1 vote", "does not say how verdicts were graded (now: auto, 1 vote); make it anew"),
        (None, "", None),
        ("", "", None),
        ("auto, 1 vote", "", "not 'none'"),
    ],
)
async def test_other_grading_is_another_judge_and_silence_about_it_is_told(made, now, says):
    certificate = await certified(Sound())
    model = "m @ e" if made or now else ""
    certificate = replace(certificate, judge=replace(certificate.judge, model=model, grading=made))
    reasons = fits(certificate, "sound", "t1", model, now)
    assert len(reasons) == (says is not None)
    assert all(says in reason for reason in reasons)


@pytest.mark.parametrize(
    "data", [{}, [], "cert", {"format": 0}, {"format": FORMAT, "passed": True}, {"format": FORMAT, "more": 1}]
)
def test_what_is_no_certificate_is_refused(tmp_path, data):
    write_json(tmp_path / "cert.json", data)
    with pytest.raises(InputError, match=r"cert\.json"):
        load_certificate(tmp_path / "cert.json")


def test_no_certificate_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="make one with kindling certify"):
        load_certificate(tmp_path / "cert.json")
