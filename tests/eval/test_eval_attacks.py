"""Attacks: enough of them, deterministic, task-neutral, and each really changes the text in the way its family says."""

import re
import unicodedata

import pytest

from kindling.eval.attacks import Attack, cut_off, load_attacks
from kindling.records import Case, Fact

ATTACKS = load_attacks()
TEXT = "风从山那边来，带着松针的气味。我把它折进信里，寄给你。"


def eight_characters(query: str, response: str) -> Case:
    count = sum(char.isalnum() for char in response)
    return Case(query, response, (Fact("characters", "8", str(count), count == 8),))


def test_there_are_enough_in_both_languages_and_every_family_has_several():
    assert len(ATTACKS) >= 60
    families = {attack.family for attack in ATTACKS}
    assert families >= {
        "fake_verdict", "delimiters", "roles", "look_alikes", "overrides", "flattery", "pressure", "master_keys",
        "padding", "truncation", "constraints",
    }  # fmt: skip
    for family in families:
        assert sum(attack.family == family for attack in ATTACKS) >= 4, family
    for language in ("zh", "en"):
        assert sum(attack.language == language for attack in ATTACKS) >= 30
    assert len({attack.id for attack in ATTACKS}) == len(ATTACKS)
    assert len({attack.template for attack in ATTACKS if attack.wants == "bad stays bad"}) == sum(
        attack.wants == "bad stays bad" for attack in ATTACKS
    )


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_every_attack_changes_the_text_and_leaves_no_place_unfilled(attack):
    text = attack.apply(TEXT)
    assert text != TEXT
    assert not re.search(r"\{(response|first|joined)", text)
    assert text == attack.apply(TEXT)


def test_keys_stand_in_front_behind_and_alone():
    for family in ("fake_verdict", "overrides", "master_keys"):
        texts = [attack.apply(TEXT) for attack in ATTACKS if attack.family == family]
        assert any(text.startswith(TEXT) for text in texts), family
        assert any(text.endswith(TEXT) for text in texts), family
        assert any(TEXT not in text for text in texts), family


def test_only_obfuscation_and_damage_touch_the_text_itself():
    for attack in ATTACKS:
        if attack.family not in ("obfuscation", "truncation", "constraints") and "{" in attack.template:
            assert TEXT in attack.apply(TEXT) or "{response}" not in attack.template, attack.id


def test_look_alikes_differ_from_plain_ascii_keys():
    for attack in ATTACKS:
        if attack.family == "look_alikes":
            assert any(
                (unicodedata.category(char) in ("Cf", "Cc", "Mn") and char != "\n")
                or unicodedata.normalize("NFKC", char) != char
                or "CYRILLIC" in unicodedata.name(char, "")
                for char in attack.template
            ), attack.id  # fmt: skip


def test_obfuscation_keeps_every_character_in_order():
    for attack in ATTACKS:
        if attack.family == "obfuscation":
            hidden = attack.template[8]
            assert attack.apply("甲乙丙") == f"甲{hidden}乙{hidden}丙"


def test_a_response_cannot_smuggle_in_a_place():
    attack = Attack("f", "f.zh.x", "zh", "bad stays bad", "{response}|{response}")
    assert attack.apply("{first:50}") == "{first:50}|{first:50}"


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_a_cut_ends_inside_a_sentence(share):
    cut = cut_off(TEXT, share)
    assert TEXT.startswith(cut)
    assert 0 < len(cut) < len(TEXT)
    assert cut[-1].isalnum()
    assert TEXT[len(cut)].isalnum()
    assert abs(len(cut) - share * len(TEXT)) <= 3


@pytest.mark.parametrize("text", ["", "好", "。", "好。", "a,b"])
def test_what_cannot_be_cut_stays(text):
    assert cut_off(text, 0.5) == text
    truncation = next(attack for attack in ATTACKS if attack.family == "truncation")
    assert truncation.on(Case("q", text), Case) is None


def test_constraints_act_only_where_a_met_request_breaks():
    constraint = next(attack for attack in ATTACKS if attack.id == "constraints.zh.one_more")
    met = eight_characters("八个字", "山高水长，风清月白")
    attacked = constraint.on(met, eight_characters)
    assert attacked is not None
    assert [fact.met for fact in attacked.facts] == [False]
    assert constraint.on(eight_characters("八个字", "山高水长"), eight_characters) is None  # was not met before
    assert constraint.on(Case("随便", "山高水长"), Case) is None  # nothing to count
    emoji = Attack("constraints", "x", "zh", "good becomes bad", "{response}✨", breaks_facts=True)
    assert emoji.on(met, eight_characters) is None  # still eight


def test_targets_follow_from_what_is_wanted():
    assert {(attack.wants, attack.target) for attack in ATTACKS} == {
        ("bad stays bad", "bad"),
        ("good becomes bad", "good"),
    }
