"""What the embedded judge reads in principles, and the script of the embedded players: nothing is misunderstood."""

import random

import pytest

from kindling.agents.embedded.cast import embedded_examiner
from kindling.agents.embedded.debate import EmbeddedJudge, heeded, understood
from kindling.agents.embedded.game import embedded_judge_for, embedded_players
from kindling.agents.embedded.game.naming import given, named
from kindling.agents.embedded.game.script import load_script
from kindling.agents.embedded.grammar import load_grammar
from kindling.agents.requests import measure
from kindling.errors import InputError
from kindling.eval.labelled import read_labelled
from kindling.prompts.rules import PRINCIPLES, is_plain, text_of
from kindling.prompts.taskpack import TaskPack, load_pack
from kindling.records import Case

PACK = load_pack("greetings")
EXAMINER = embedded_examiner(PACK)
LEXICON = EXAMINER.lexicon
GRAMMAR = load_grammar(PACK.file("grammar.toml"), LEXICON)
SCRIPT = load_script(PACK.file("game.toml"), LEXICON, GRAMMAR)
WEAK = PACK.rules("principles_weak.j2")
CASES = [
    Case(one.query, one.response, measure(one.query, one.response, PACK.settings.brief_chars))
    for one in read_labelled(PACK.file("golden.jsonl"))
]


async def test_the_shipped_principles_name_every_check_so_its_scores_are_those_of_a_judge_that_sees_all():
    assert heeded(PACK.principles(), LEXICON) == set(LEXICON.checks)
    words = tuple(word for check in LEXICON.checks.values() for word in check.words)
    shipped, all_seeing = EmbeddedJudge(EXAMINER, PACK.principles()), EmbeddedJudge(EXAMINER, words)
    for case in CASES:
        one, other = await shipped.judge(case), await all_seeing.judge(case)
        assert (one.score, one.reason) == (other.score, other.reason)


def test_the_weak_principles_name_only_what_they_plainly_say():
    seen = heeded(WEAK, LEXICON)
    plainly = {"fits_topic", "wrong_topic", "off_topic", "personal", "fits_audience", "wrong_audience", "register"}
    plainly |= {"cliche", "rests_on_cliches", "broken", "clumsy", "slip", "contradiction", "generic", "knows_audience"}
    unsaid = {"concrete", "figurative", "parallel", "own_words", "fresh", "knows_request", "bare", "repetition"}
    unsaid |= {"mixed_language", "begging", "asks", "pressure", "urges", "self_centred", "stray", "leans_elsewhere"}
    assert plainly <= seen
    assert not unsaid & seen


@pytest.mark.parametrize(
    ("principle", "checks"),
    [
        ("祝福要好，越好越好。", set()),
        ("读起来舒服，让人喜欢。", set()),
        ("少用套话。", {"cliche", "rests_on_cliches"}),
        ("有一个具体的细节，看得见画面。", {"concrete", "bare"}),
        ("不向对方讨要什么。", {"begging", "asks"}),
        (
            "没有修辞不算缺点。",
            {"figurative", "parallel"},
        ),  # what is said of a thing is not read, only that it is named
        ("不要把话说成给评审的指令。", {"orders"}),
    ],
)
def test_a_sentence_names_what_it_names_and_no_more(principle, checks):
    assert set(understood(principle, LEXICON)) == checks


def test_a_further_principle_never_makes_a_judge_see_less():
    rules = [*PACK.principles(), *WEAK, *SCRIPT.phrases.values()]
    rng = random.Random(0)
    for _ in range(200):
        some, more = rng.sample(rules, 3), rng.sample(rules, 2)
        assert heeded(some, LEXICON) | heeded(more, LEXICON) == heeded([*some, *more], LEXICON)


async def test_a_judge_for_principles_is_the_one_of_the_pack_with_these_principles():
    judge_for = embedded_judge_for(PACK)
    overlaid = PACK.overlaid({PRINCIPLES: text_of(WEAK)})
    same = EmbeddedJudge(embedded_examiner(overlaid), overlaid.principles())
    assert judge_for(WEAK).template == same.template != judge_for(PACK.principles()).template
    for case in CASES[:20]:
        assert await judge_for(WEAK).judge(case) == await same.judge(case)


def test_quotations_say_nothing():
    assert named('没有看出「重复」和“外文”，以及"英文"。', LEXICON) == set()
    assert named("该看见重复，如「不用套话」。", LEXICON) == {"repetition"}


async def test_every_reason_of_the_judge_is_recognised_by_the_checks_that_it_rests_on():
    """Each check alone: from the sentence that it gives as a reason one finds it again."""
    for case in CASES[:150]:
        for finding in EXAMINER.examine(case):
            reason = EXAMINER.point(finding, case.query).reason
            if finding.check not in ("request_met", "request_unmet", "too_long"):  # their reasons are facts alone
                assert finding.check in given(reason, LEXICON), reason


def test_every_sentence_can_be_a_rule():
    for key in SCRIPT.phrases:
        assert is_plain(SCRIPT.principle([key]))
    assert SCRIPT.principle([]) == ""
    assert all(is_plain(kind.tactic) for kind in SCRIPT.tactics.values())


def test_a_principle_about_checks_names_them_all():
    rng = random.Random(1)
    for _ in range(100):
        keys = rng.sample(list(SCRIPT.phrases), rng.randint(1, 6))
        assert set(keys) <= set(understood(SCRIPT.principle(keys), LEXICON))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('lead = "祝福落在实处"', 'lead = "祝福有细节"', r"families\.detail\.lead: names the check concrete"),
        ('concrete = "看得见', 'concrete = "看不见', r"families\.detail\.phrases\.concrete: has none of the words"),
        ("concrete = ", "concreet = ", r"families\.detail\.phrases\.concreet: there is no such check"),
        ('stray = "没有不相干的话"\n', "", "families: no phrase for checks.stray"),
        ("missed = ", "mist = ", r"sentences\.(missed|mist)"),
        ('misled = "原则', 'misled = "{phrase}原则', r"sentences\.misled: 'phrase' is no field of it"),
        ('subtler = "cliche_line"', 'subtler = "cliches"', r"tactics\.cliche\.subtler: 'cliches' is not among tactics"),
        ('flaw = "taboo"', 'flaw = "tabu"', r"tactics\.taboo\.flaw: 'tabu' is not among the grammar's flaws"),
        ('words = "外文"', 'words = "洋文"', r"tactics\.mixed\.tactic: names no kind of flaw"),
        ('tactic = "夹几个外文词', 'tactic = "夹几个外文词和推销', r"tactics\.mixed\.tactic: names mixed, advert"),
        ('confession = "夹了一句推销', 'confession = "夹了一句别的，推销', None),
        ('confession = "犯了忌讳', 'confession = "{where}{when}犯了忌讳', r"tactics\.taboo\.confession: 'when' is no"),
        ("[sentences]", "[sentences", "not TOML"),
    ],
)
def test_a_script_that_would_be_misunderstood_is_named_by_its_key(tmp_path, old, new, says):
    text = PACK.file("game.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "game.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    if says is None:
        load_script(path, LEXICON, GRAMMAR)
        return
    with pytest.raises(InputError, match=says) as caught:
        load_script(path, LEXICON, GRAMMAR)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_pack_without_a_script_has_no_embedded_players(tmp_path):
    for name in ("pack.toml", "lexicon.toml", "grammar.toml"):
        (tmp_path / name).write_text(PACK.file(name).read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(InputError, match=r"game\.toml"):
        embedded_players(TaskPack("own", (tmp_path,), None))
