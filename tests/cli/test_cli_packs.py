"""The commands on the second task pack, offline: nothing in them knows what the first one is about."""

import orjson
import pytest

from kindling.agents.requests import measure
from kindling.prompts.taskpack import load_pack
from tests.cli.running import rows_of

TASK = ("--set", "project.task=slogans")
# certificates as small as they can be
SMALL = ("--set", "certify.attack_cases=1", "--set", "certify.repeats=1", "--set", "certify.repeat_cases=1")
PACK = load_pack("slogans")


def chinese(text: str) -> bool:
    return any("\u3400" <= char < "\ua000" for char in text)


@pytest.fixture
def curated(kindling, tmp_path):
    """A run over the shipped sample queries, in a project that was made for the task."""
    assert kindling("init", ".", "--task", "slogans").status == 0
    queries = PACK.file("queries.txt").read_text(encoding="utf-8").splitlines()[:48]
    (tmp_path / "queries.txt").write_text("\n".join(queries) + "\n", encoding="utf-8")
    done = kindling("curate", "queries.txt", "--source", "embedded", "--out", "run", "--json")
    assert sum(done.answer["rows"].values()) == len(queries)
    return tmp_path / "run"


def test_curate_makes_pairs_in_english_whose_good_texts_keep_to_the_limits(curated):
    pairs = rows_of(curated / "pairs.jsonl")
    assert len(pairs) >= 30
    for pair in pairs:
        query, chosen = pair["prompt"][-1]["content"], pair["chosen"][-1]["content"]
        assert all(fact.met for fact in measure(query, chosen, PACK.settings.brief_chars)), (query, chosen)
        assert "\n" not in chosen
    assert not chinese((curated / "records.jsonl").read_text(encoding="utf-8"))
    assert "language: en" in (curated / "README.md").read_text(encoding="utf-8")


def test_what_was_curated_is_judged_audited_and_learned_from(kindling, curated):
    assert kindling("audit", "run/pairs.jsonl", "--json").status == 0
    assert kindling("fit-judge", "run/pairs.jsonl", "--out", "judge.npz").status == 0
    golden = PACK.file("golden.jsonl")
    for judge in ("embedded", "lexical:judge.npz", "debate"):
        out = f"{judge.replace(':', '-')}.jsonl"
        done = kindling("judge", golden, "--judge", judge, "--out", out)
        assert done.status == 0, done.err
        rows = rows_of(curated.parent / out)
        assert len(rows) == len(rows_of(golden))
        assert all(row["verdict"] in ("good", "bad") and row["reason"] for row in rows)


def test_certify_measures_the_packs_own_golden_set(kindling, tmp_path):
    done = kindling("certify", "--judge", "embedded", "--out", "cert.json", *TASK, *SMALL)
    assert done.status == 1  # it fails, as docs/slogans.md says
    certificate = orjson.loads((tmp_path / "cert.json").read_bytes())
    assert certificate["data"]["cases"] == len(rows_of(PACK.file("golden.jsonl")))
    lines = {line["name"]: line for line in certificate["lines"]}
    assert lines["gain over length"]["passed"]
    assert not lines["kappa"]["passed"]


def test_the_game_is_played_in_english_from_the_packs_own_weak_principles(kindling, tmp_path):
    asked = ("refine", "--labelled", PACK.file("golden.jsonl"), "--principles", "weak", "--rounds", 2, "--out", "game")
    done = kindling(*asked, *TASK, *SMALL)
    assert done.status == 0, done.err
    rounds = rows_of(tmp_path / "game/history.jsonl")
    assert len(rounds) == 2
    assert any(played["proposals"] for played in rounds)
    assert not chinese((tmp_path / "game/history.jsonl").read_text(encoding="utf-8"))
    assert all(played["forged"] for played in rounds)


def test_the_templates_are_listed_checked_and_rendered(kindling):
    assert kindling("prompts", "list", "--task", "slogans").status == 0
    assert kindling("prompts", "check", "--task", "slogans").status == 0
    done = kindling("prompts", "render", "judge", "--task", "slogans", "--response", "Four pegs. One forest.")
    assert "Four pegs. One forest." in done.out
    assert not chinese(done.out)


def test_the_demo_takes_the_task(kindling, tmp_path):
    done = kindling("demo", "--task", "slogans", "--out", "demo")
    assert done.status == 0, done.err
    assert "One-line product slogans" in (tmp_path / "demo/curate/README.md").read_text(encoding="utf-8")
