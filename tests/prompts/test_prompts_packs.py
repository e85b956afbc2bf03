"""What every shipped task pack must have, whatever it is about: one that is added is held to the same."""

from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from kindling.eval.labelled import read_labelled
from kindling.graphs.intake import take_in
from kindling.prompts.check import check_pack
from kindling.prompts.roles import ROLES
from kindling.prompts.rules import MAX_RULES
from kindling.prompts.samples import sample
from kindling.prompts.taskpack import load_pack
from kindling.records import request_key
from kindling.tables import read_rows

PACKS = sorted(path.parent.name for path in Path(str(files("kindling.prompts"))).glob("*/pack.toml"))
HAN = range(0x3400, 0xA000)


@pytest.fixture(params=PACKS)
def pack(request):
    return load_pack(request.param)


def queries(pack):
    return [str(row["query"]) for row in read_rows(pack.file("queries.txt"), ("query",), "query")]


def test_there_are_two_packs_in_two_languages():
    assert {load_pack(name).settings.language for name in PACKS} == {"zh", "en"}


def test_every_role_has_a_template_and_nothing_is_wrong_with_any(pack):
    assert pack.roles() == tuple(ROLES)
    assert check_pack(pack) == []


def test_lists_of_rules_are_full_enough_to_be_worth_refining(pack):
    assert len(pack.principles()) == MAX_RULES
    assert 3 <= len(pack.rules("principles_weak.j2")) < len(pack.principles())
    assert len(pack.rules("tactics.j2")) >= 3
    assert not set(pack.principles()) & set(pack.rules("principles_weak.j2"))


def test_prompts_are_in_the_language_of_the_pack(pack):
    """In the system message, which only the pack's author wrote; samples speak it too."""
    for role in pack.roles():
        for values in sample(role, pack.settings.language):
            system, user = (message["content"] for message in pack.prompt(role).render(**values))
            for text in (system, user):
                han = sum(ord(char) in HAN for char in text)
                assert (han > 0) == (pack.settings.language == "zh"), (role, text[:200])


def test_the_constant_part_comes_first_and_is_the_larger(pack):
    for role in pack.roles():
        full, bare = (pack.prompt(role).render(**values) for values in sample(role, pack.settings.language))
        assert full[0] == bare[0]
        assert full[1] != bare[1] or role == "generator"
        assert len(full[0]["content"]) > len(full[1]["content"])


def test_sample_queries_are_usable(pack):
    """Nearly all: a pack may have some to show what intake drops."""
    texts = queries(pack)
    found = take_in(texts, pack.settings.language, 200)
    assert len(found.queries) >= 50
    assert len(found.queries) >= 0.9 * len(texts)


def test_golden_cases_are_balanced_in_label_and_length_and_tell_what_they_are_about(pack):
    cases = read_labelled(pack.file("golden.jsonl"))
    labels = Counter(case.label for case in cases)
    assert labels["good"] == labels["bad"] >= 75
    assert len({case.occasion for case in cases}) >= 30
    assert all(case.occasion for case in cases)
    assert any(case.recipient for case in cases)
    assert all(bool(case.flaw) == (case.label == "bad") for case in cases)
    good = np.array([case.label == "good" for case in cases])
    assert abs(roc_auc_score(good, [len(case.response) for case in cases]) - 0.5) < 0.05
    assert pack.file("golden.md").read_text(encoding="utf-8").startswith("# The golden set")


def test_nothing_is_learned_from_that_is_measured_on(pack):
    """No text of the golden set stands in what others learn from, and no request of it in the training cases."""
    golden = read_labelled(pack.file("golden.jsonl"))
    asked, said = ({request_key(getattr(case, name)) for case in golden} for name in ("query", "response"))
    for name in ("training.jsonl", "corpus.jsonl"):
        rows = read_rows(pack.file(name), ("query", "response"))
        assert len(rows) >= 100
        assert not said & {request_key(str(row["response"])) for row in rows}, name
    assert not asked & {request_key(case.query) for case in read_labelled(pack.file("training.jsonl"))}
