"""The probability of a verdict, over real sockets: exact for every tokenizer, a plain vote wherever it is not sure."""

import asyncio
import math
import sqlite3
from contextlib import asynccontextmanager, suppress

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling.agents.dialect import Dialect
from kindling.agents.graded import Ungraded, keep, probability
from kindling.agents.judge import LLMJudge
from kindling.agents.reflector import settle
from kindling.agents.transport import Fault
from kindling.errors import ConfigError
from kindling.records import Case, Verdict
from tests.scripted_logprobs import chances, graded, spell
from tests.scripted_models import scripted_models
from tests.scripted_server import BROKEN, Script, ScriptedServer

GOOD = '{"reason": "真诚", "verdict": "good"}'
BAD = '{"reason": "空泛", "verdict": "bad"}'
BEFORE = '{"reason": "真诚", "verdict'
CASES = [Case("写八个字", f"晨光入窗,山路转弯{number}") for number in range(40)]


class Prompt:
    """Shows the response alone."""

    hash = "feed"

    def render(self, **variables):
        """One user message."""
        return [{"role": "user", "content": variables["response"]}]


@pytest.fixture
def court(tmp_path):
    """A judge on a server, always at the same address."""
    ports = [0]

    @asynccontextmanager
    async def make(script, *, votes=1, ledger="l.sqlite", graded="auto", **endpoint):
        async with ScriptedServer(script).running(ports[-1]) as server:
            ports.append(server.port)
            roles = {"judge": {"endpoint": "scripted", "model": "judge-model", "graded": graded}}
            settings = {"endpoint": {"retries": 0, **endpoint}, "roles": roles}
            async with scripted_models(server, tmp_path / ledger, **settings) as play:
                yield LLMJudge(play.judge, Prompt(), votes), server, play

    return make


def script_of(*answers):
    """A server that gives these answers, each as (text, logprobs)."""
    told = dict(answers)
    return Script(texts=tuple(text for text, _ in answers), logprobs=told.get)


def joined(pieces):
    """What the pieces spell."""
    return b"".join(piece if isinstance(piece, bytes) else piece.encode() for piece in pieces).decode()


TOKENIZERS = {
    "a word": ([BEFORE, '": "', "good", '"}'], {2: {"good": 0.6, "bad": 0.3, "fine": 0.1}}, 0.6 / 0.9),
    "with its quotation mark": ([BEFORE, '":', ' "good', '"}'], {2: {' "good': 0.5, '"good': 0.1, ' "bad': 0.2}}, 0.75),
    "with colon and quotation mark": ([BEFORE, '":"good', '"}'], {1: {'":"good': 0.7, '": "bad': 0.1}}, 0.875),
    "beginning in the key": (
        ['{"reason": "真诚", "ver', 'dict": "good', '"}'],
        {1: {'dict": "good': 0.6, 'dict":"bad': 0.2, 'bal": "bad': 0.1}},
        0.75,
    ),
    "with all that follows": (
        [BEFORE, '": "', 'good"}'],
        {2: {'good"}': 0.5, 'bad"}': 0.2, "good": 0.1, "badly": 0.08, ' bad"': 0.07}},
        0.75,
    ),
    "in two": (
        [BEFORE, '": "', "go", "od", '"}'],
        {2: {"go": 0.4, "good": 0.3, "b": 0.12, "gr": 0.1, "ba": 0.08}, 3: {"od": 0.5, "lden": 0.5}},
        0.7 / 0.9,
    ),
    "letters": ([*BEFORE, *'": "good"}'], {len(BEFORE) + 4: {"g": 0.8, "b": 0.1, "o": 0.1}}, 8 / 9),
    "decided in either of two places": (
        [BEFORE, '":', ' "', "good", '"}'],
        {2: {' "': 0.6, ' "bad': 0.2, '"': 0.1, "": 0.1}, 3: {"good": 0.8, "bad": 0.2}},
        0.7 * 0.8 / 0.9,
    ),
    "decided within the key or after it": (
        ['{"reason": "真诚", "ver', 'dict":', ' "good', '"}'],
        {1: {'dict":': 0.6, "dict": 0.2, 'dict":"bad': 0.2}, 2: {' "good': 0.9, ' "bad': 0.1}},
        0.8 * 0.9,
    ),
    "bytes of a character": (
        ['{"reason": "', "真".encode()[:2], "真".encode()[2:], '诚", "verdict": "', "good", '"}'],
        {4: {"good": 0.6, "bad": 0.2, "差".encode()[:1]: 0.1}},
        0.75,
    ),
    "spread over lines": (
        ['{\n  "reason" : "真诚",\n  "verdict"', " :", "\n ", ' "', "good", '"\n}\n'],
        {4: {"good": 0.9, "bad": 0.1}},
        0.9,
    ),
}


@pytest.mark.parametrize(("pieces", "choices", "expected"), TOKENIZERS.values(), ids=TOKENIZERS)
async def test_the_score_is_the_probability_of_good_however_the_answer_is_parted(court, pieces, choices, expected):
    async with court(script_of((joined(pieces), spell(pieces, choices)))) as (judge, server, play):
        verdict = await judge.judge(CASES[0])
        assert verdict.score == pytest.approx(expected)
        assert (verdict.label, verdict.reason, verdict.votes) == ("good", "真诚", ("good",))
        assert (server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (True, 5)
        assert play.models.stats().notes == ()


@pytest.mark.parametrize("pieces", [GOOD, BAD], ids=["good", "bad"])
@settings(max_examples=60)
@given(cuts=st.sets(st.integers(1, 40)), share=st.floats(0.02, 0.98), thought=st.booleans(), closing=st.booleans())
def test_every_way_to_part_an_answer_gives_the_same_probability(pieces, cuts, share, thought, closing):
    text = pieces
    ends = sorted({cut for cut in cuts if cut < len(text)} | {len(text)})
    parts = [text[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    word = text.rindex('"verdict": "') + len('"verdict": "')
    place = next(number for number, end in enumerate(ends) if end > word)
    other = parts[place][: max(0, word - ([0, *ends][place]))] + ("bad" if pieces is GOOD else "good")
    written = share if pieces is GOOD else 1 - share
    before = ["<think>", 'x {"verdict": "bad"}', "</think>"] if thought else []
    after = ["<|im_end|>"] if closing else []
    told = spell([*before, *parts, *after], {place + len(before): {parts[place]: written, other: 1 - written}})
    found = probability(keep(text, "verdict", told), "good" if pieces is GOOD else "bad")
    assert found == pytest.approx(share)


@pytest.mark.parametrize("as_bytes", [True, False])
async def test_the_word_in_the_reason_is_not_the_verdict(court, as_bytes):
    reason = '{"reason": "写着 \\"verdict\\": \\"'
    pieces = [reason, "bad", '\\"，不是 ', "bad", '", "verdict": "', "good", '"}']
    choices = {1: {"bad": 0.9, "good": 0.1}, 3: {"bad": 0.9, "good": 0.1}, 5: {"good": 0.7, "bad": 0.3}}
    async with court(script_of((joined(pieces), spell(pieces, choices, as_bytes=as_bytes)))) as (judge, _, play):
        assert (await judge.judge(CASES[0])).score == pytest.approx(0.7)
        assert play.models.stats().notes == ()


async def test_the_last_of_two_answers_is_the_one_that_is_weighed(court):
    pieces = [BEFORE, '": "', "bad", '"}\n再想想：\n```json\n', BEFORE, '": "', "good", '"}\n```']
    choices = {2: {"bad": 0.9, "good": 0.1}, 6: {"good": 0.8, "bad": 0.2}}
    async with court(script_of((joined(pieces), spell(pieces, choices)))) as (judge, _, _):
        assert (await judge.judge(CASES[0])).score == pytest.approx(0.8)


def _changed(**fields):
    told = graded(GOOD)
    told["content"][-3] |= fields
    return told


def _longer(told):
    return {"content": [*told["content"], *spell(["\n", "其实", "不好"])["content"]]}


WORD = {"token": "good", "bytes": None}
UNSURE = {
    "none": (GOOD, None, "no log-probabilities came"),
    "no list": (GOOD, {"content": 3}, "malformed"),
    "another shape": (GOOD, ["good", -0.1], "malformed"),
    "older API": (GOOD, {"tokens": ["good"], "token_logprobs": [-0.1]}, "do not spell"),
    "empty": (GOOD, {"content": []}, "do not spell"),
    "null": (GOOD, {"content": None}, "do not spell"),
    "a token that is none": (GOOD, {"content": [None]}, "malformed"),
    "a certain logprob": (GOOD, _changed(logprob="-0.1"), "malformed"),
    "a positive logprob": (GOOD, _changed(logprob=0.5), "malformed"),
    "a true logprob": (GOOD, _changed(logprob=True), "malformed"),
    "no bytes": (GOOD, _changed(bytes=[300]), "malformed"),
    "neither text nor bytes": (GOOD, _changed(bytes=None, token=7), "malformed"),
    "alternatives of another shape": (GOOD, _changed(top_logprobs={"good": -0.1}), "malformed"),
    "more than everything": (
        GOOD,
        _changed(top_logprobs=[WORD | {"logprob": -0.1}, WORD | {"token": "bad", "logprob": -0.1}]),
        "malformed",
    ),
    "other tokens": (GOOD, graded(BAD), "do not spell"),
    "tokens of a longer answer": (GOOD, _longer(graded(GOOD)), "do not spell"),
    "vocabulary in place of text": (GOOD, spell([BEFORE, '":', 'Ġ"', "good", '"}']), "do not spell"),
    "an escaped letter": (
        GOOD.replace("good", "\\u0067ood"),
        spell([BEFORE, '": "', "\\u", "0067", "ood", '"}']),
        "do not spell",
    ),
    "no alternatives": (GOOD, spell([BEFORE, '": "', "good", '"}'], {2: {"good": 0.9}}), "not among"),
    "the other verdict may be the next": (
        GOOD,
        spell([BEFORE, '": "', "good", '"}'], {2: {"good": 0.9, "fine": 0.05}}),
        "not among",
    ),
    "impossible": (
        GOOD,
        spell([BEFORE, '": "', "good", '"}'], {2: {"fine": 1.0, "good": 0.0, "bad": 0.0}}),
        "neither verdict",
    ),
    "verdict before its reason": (
        '{"verdict": "good", "reason": "真诚"}',
        graded('{"verdict": "good", "reason": "真诚"}'),
        "before its reason",
    ),
}


@pytest.mark.parametrize(("text", "told", "why"), UNSURE.values(), ids=UNSURE)
async def test_what_is_not_sure_is_a_vote_and_counted(court, text, told, why):
    async with court(script_of((text, told))) as (judge, server, play):
        assert await judge.judge(CASES[0]) == Verdict.of(1.0, "真诚", "llm", "feed", ("good",))
        (note,) = play.models.stats().notes
        assert "scripted/judge-model: 1 of 1 verdicts are without a probability" in note
        assert why in note
        assert server.stats()["requests"] == 1
    async with court(script_of((text, told)), graded="logprobs", ledger="m.sqlite") as (judge, _, _):
        verdict = await judge.judge(CASES[0])
        assert (verdict.label, verdict.score) == (None, None)
        assert why in verdict.unscored


@settings(max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 300) | st.floats(allow_nan=True) | st.sampled_from([GOOD, "good"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["content", "token", "bytes", "logprob", "top_logprobs"]), inner, max_size=5
            )
        ),
        max_leaves=12,
    )
)
def test_no_shape_of_log_probabilities_raises_anything_or_is_stored_as_anything_but_json(told):
    kept = orjson.loads(orjson.dumps(keep(GOOD, "verdict", told)))
    with suppress(Ungraded):
        assert 0 <= probability(kept, "good") <= 1


@pytest.mark.parametrize("kept", [None, [], {}, {"content": []}])
def test_what_older_ledgers_hold_is_no_grade(kept):
    with pytest.raises(Ungraded, match="none were asked for"):
        probability(kept, "good")


async def test_a_listed_word_that_is_all_but_certain_needs_no_other(court):
    told = spell([BEFORE, '": "', "good", '"}'], {2: {"good": 0.9, "fine": 1e-4}})
    async with court(script_of((GOOD, told))) as (judge, _, play):
        assert (await judge.judge(CASES[0])).score == 1.0
        assert play.models.stats().notes == ()


def test_a_probability_of_nothing_at_all_is_stored_as_json():
    told = spell([BEFORE, '": "', "good", '"}'], {2: {"good": 0.9, "bad": 0.1}})
    told["content"][2]["top_logprobs"][1]["logprob"] = -math.inf
    assert probability(orjson.loads(orjson.dumps(keep(GOOD, "verdict", told))), "good") == 1.0


async def test_the_label_follows_the_score_and_not_the_word_that_was_drawn(court):
    pieces = [BEFORE, '": "', "bad", '"}']
    async with court(script_of((joined(pieces), spell(pieces, {2: {"good": 0.8, "bad": 0.2}})))) as (judge, _, _):
        verdict = await judge.judge(CASES[0])
        assert (verdict.label, verdict.reason, verdict.votes) == ("good", "真诚", ("good",))
        assert verdict.score == pytest.approx(0.8)


def _vote(reason, word, share):
    pieces = ['{"reason": "', reason, '", "verdict": "', word, '"}']
    return joined(pieces), spell(pieces, {3: {"good": share, "bad": 1 - share}})


@pytest.mark.parametrize(
    ("votes", "score", "reason"),
    [
        ((_vote("空泛", "bad", 0.1), _vote("真诚", "good", 0.95), _vote("贴合", "good", 0.75)), 0.6, "真诚"),
        # most words say bad, and most of the probability says good
        ((_vote("甲", "bad", 0.45), _vote("乙", "bad", 0.45), _vote("丙", "good", 0.9)), 0.6, "丙"),
        ((_vote("甲", "good", 0.45), _vote("乙", "bad", 0.55), _vote("丙", "bad", 0.2)), 0.4, "甲"),
        ((_vote("甲", "good", 0.5),), 0.5, "甲"),
        ((_vote("甲", "good", 0.9), (BAD, None)), 0.45, "空泛"),
    ],
    ids=["mean", "two shaky against one sure", "words against probabilities", "even", "one without a probability"],
)
async def test_votes_are_averaged_and_the_reason_belongs_to_the_label(court, votes, score, reason):
    async with court(script_of(*votes), votes=len(votes), max_in_flight=1) as (judge, _, _):
        verdict = await judge.judge(CASES[0])
        assert verdict.score == pytest.approx(score)
        assert (verdict.label, verdict.reason) == ("good" if score > 0.5 else "bad", reason)
        assert len(verdict.votes) == len(votes)


@pytest.mark.parametrize(
    ("script", "note", "top"),
    [
        (Script(rejects=("logprobs",), latency_s=0.01), "gives no log-probabilities", None),
        (Script(rejects=("top_logprobs",), latency_s=0.01), "gives no log-probabilities", None),
        (Script(logprobs=graded), None, 5),
        (Script(), "41 of 41", 5),
    ],
    ids=["refused", "alternatives refused", "given", "ignored"],
)
async def test_what_an_endpoint_gives_is_learned_once_and_told(court, script, note, top):
    async with court(script) as (judge, server, play):
        verdicts = await asyncio.gather(*(judge.judge(case) for case in CASES))
        assert all(verdict.unscored is None for verdict in verdicts)
        assert server.stats()["answered"] == 40
        # whoever is in flight when it is learned is refused as well
        refused = server.stats()["requests"] - 40
        assert refused <= 40
        assert (refused > 0) == (top is None)
        await judge.judge(Case("写", "别的"))
        assert server.stats()["requests"] == 40 + refused + 1
        assert server.bodies[-1].get("top_logprobs") == top
        assert ("logprobs" in server.bodies[-1]) == (top is not None)
        notes = play.models.stats().notes
        assert (note is None) == (notes == ())
        assert note is None or sum(note in one for one in notes) == 1
        graded_ones = [verdict for verdict in verdicts if 0 < verdict.score < 1]
        assert len(graded_ones) == (40 if note is None else 0)


@pytest.mark.parametrize("status", [400, 403, 422])
def test_calls_that_are_refused_together_learn_it_together(status):
    dialect = Dialect("there/m", "auto")
    fault = Fault(f"HTTP {status}: You are not allowed to request logprobs from this model", status)
    asked = {"logprobs": True, "top_logprobs": 5, "response_format": {}, "seed": 1}
    assert all(dialect.learn(fault, asked) for _ in range(64))
    assert not dialect.gives_logprobs
    assert len(dialect.notes) == 1
    assert not dialect.learn(fault, {}), "a request that asked for none has nothing to learn from it"
    for other in (Fault("HTTP 403: wrong key", 403), Fault("HTTP 500: logprobs", 500), Fault("logprobs")):
        assert not Dialect("there/m", "auto").learn(other, asked)


async def test_who_insists_on_probabilities_is_told_before_anything_is_paid(court):
    async with court(Script(rejects=("logprobs",)), graded="logprobs") as (judge, server, _):
        with pytest.raises(ConfigError, match=r'refuses log-probabilities; set roles\.judge\.graded = "auto"'):
            await judge.judge(CASES[0])
        assert server.stats()["answered"] == 0


async def test_the_ledger_holds_the_choice_alone_and_gives_the_same_score_again(court, tmp_path):
    scores = []
    for script in (Script(logprobs=graded), Script(faults={"500": 1.0})):
        async with court(script) as (judge, server, play):
            scores.append([(await judge.judge(case)).score for case in CASES])
            assert server.stats()["requests"] == (40 if not scores[1:] else 0)
            assert play.models.stats().notes == ()
    assert scores[0] == scores[1]
    with sqlite3.connect(tmp_path / "l.sqlite") as ledger:
        answers = [orjson.loads(answer) for (answer,) in ledger.execute("SELECT answer FROM calls")]
    ledger.close()
    for answer in answers:
        assert len(orjson.dumps(answer["logprobs"])) < 400
        written = chances(answer["text"])
        head, marks, tokens = answer["logprobs"]["steps"][-1]
        assert (head, marks) == ("", "")
        assert {text: math.exp(share) for text, share in tokens} == pytest.approx(written)
    told = [chances(answer["text"]) for answer in answers]
    assert sorted(scores[0]) == pytest.approx(sorted(one["good"] / (one["good"] + one["bad"]) for one in told))


async def test_votes_are_the_calls_that_they_always_were_and_grades_are_others(court):
    """A ledger from before there were grades goes on with graded = "votes"; no answer stands for both."""
    for setting, asked in (("votes", 1), ("auto", 1), ("logprobs", 0), ("votes", 0)):
        async with court(Script(logprobs=graded), graded=setting) as (judge, server, _):
            verdict = await judge.judge(CASES[0])
            assert server.stats()["requests"] == asked
            assert (verdict.score in (0.0, 1.0)) == (setting == "votes")
            assert all(("logprobs" in body) == (setting == "auto") for body in server.bodies)


async def test_faults_make_no_grades_and_grades_outlive_faults(court):
    async with court(Script(logprobs=graded)) as (judge, _, _):
        whole = [(await judge.judge(case)) for case in CASES]
    faults = dict.fromkeys([*(name for name in BROKEN if name != "hang"), "length", "refusal", "empty_choices"], 0.06)
    script = Script(logprobs=graded, faults=faults, retry_after="0")
    async with court(script, ledger="m.sqlite", retries=8) as (judge, server, _):
        spotty = await asyncio.gather(*(judge.judge(case) for case in CASES))
        assert server.stats()["repeated"] == 0
    lost = [verdict for verdict in spotty if verdict.unscored is not None]
    assert 0 < len(lost) < 20
    for one, other in zip(spotty, whole, strict=True):
        assert one == other or one.unscored is not None


async def test_a_repaired_answer_is_weighed_where_it_was_repaired(court):
    broken = '{"reason": "真诚", "verdict": "好"}'
    pieces = [BEFORE, '": "', "good", '"}']
    answers = (broken, graded(broken)), (GOOD, spell(pieces, {2: {"good": 0.7, "bad": 0.3}}))
    async with court(script_of(*answers)) as (judge, server, play):
        assert (await judge.judge(CASES[0])).score == pytest.approx(0.7)
        assert server.stats()["requests"] == 2
        assert play.models.stats().notes == ()


@pytest.mark.parametrize("votes", [(), ("bad",), ("good", "bad", "bad")])
@pytest.mark.parametrize("score", [0.0, 0.2, math.nextafter(0.5, 0), 0.5, math.nextafter(0.5, 1), 0.7, 1.0])
@pytest.mark.parametrize("label", ["good", "bad"])
def test_a_probability_that_is_overturned_has_the_label_of_the_reflector(votes, score, label):
    first = Verdict.of(score, "初判", "llm", votes=votes)
    stands = settle(first, label, "复核", "llm")
    assert stands.label == label
    assert stands.score == pytest.approx(score if label == first.label else 1 - score, abs=1e-12)
    assert stands.votes == votes


async def test_other_roles_have_no_grades():
    with pytest.raises(ValueError, match=r"roles\.reflector: graded is the judge's alone"):
        async with scripted_models(
            "http://127.0.0.1:1/v1",
            None,
            roles={"reflector": {"endpoint": "scripted", "model": "m", "graded": "votes"}},
        ):
            pass
