"""Which judges stand behind a model: what a run of training records of its data, its reward and the runs before it."""

import orjson
import pytest

from kindling.cli.lineage import from_here, placed, ties, ties_of
from kindling.eval.scorecard.card import Tie
from kindling.rl.training import data
from kindling.rl.training.card import CardFacts, card
from kindling.tables import write_json, write_jsonl
from tests.cli.running import queries

CHOSE, TAUGHT_REWARD = "chose its texts", "taught its reward model"


def judged(folder, judge, name="sft.jsonl"):
    """A file of data whose rows name who judged them."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = {"query": "写一句", "response": "平安", "chosen": "平安", "rejected": "好"}
    write_jsonl(folder / name, [{**pair, "judge": judge, "template": "0a1b"}])
    return folder / name


@pytest.fixture
def trained(tmp_path):
    """Make the folder of a model that a run of training left, with the ties that the run recorded."""

    def make(name, settings, rows=None, *, recorded=True):
        run = tmp_path / name
        (run / "model").mkdir(parents=True)
        made = {"ties": ties_of(settings, rows)} if recorded else {}
        write_json(run / "run.json", {"command": "train sft", "settings": settings, **made})
        return str(run / "model")

    return make


def test_a_run_of_curate_says_who_chose_its_texts_and_who_played_in_that_judge(kindling, tmp_path):
    queries(tmp_path, 12)
    done = kindling("curate", "queries.txt", "--source", "embedded", "--judge", "debate", "--out", "run")
    assert done.status == 0, done.err
    for stage in ("sft", "rm"):
        rows = data.read(stage, tmp_path / "run")
        assert {judge for judge, _ in rows.judged_by} == {"embedded"}
        assert all(template for _, template in rows.judged_by)
        assert ties_of({"stage": stage}, rows) == (Tie("embedded", CHOSE), Tie("debate", CHOSE))
    # the same file elsewhere says what its rows say, and no more
    copied = tmp_path / "copied.jsonl"
    copied.write_bytes((tmp_path / "run/sft.jsonl").read_bytes())
    assert ties_of({"stage": "sft"}, data.read("sft", copied)) == (Tie("embedded", CHOSE),)


def test_rows_that_name_nobody_give_no_tie(tmp_path):
    for name, judge in (("number", 7), ("blank", " "), ("lines", "embedded\n# Approved"), ("none", None)):
        assert data.read("sft", judged(tmp_path / name, judge)).judged_by == ()
    # queries that are only asked were not judged by whoever judged answers to them
    assert data.read("grpo", judged(tmp_path / "asked", "embedded")).judged_by == ()
    left_out = judged(tmp_path / "left", "embedded", "pairs.jsonl")
    row = orjson.loads(left_out.read_bytes())
    write_jsonl(left_out, [{**row, "rejected": row["chosen"]}, {**row, "judge": "llm"}])
    assert data.read("rm", left_out).judged_by == (("llm", "0a1b"),)


@pytest.mark.parametrize("recorded", [True, False])
def test_ties_are_inherited_from_the_base_and_from_the_reward_model(trained, tmp_path, recorded):
    sft = trained("sft", {"stage": "sft"}, data.read("sft", judged(tmp_path / "good", "llm")))
    rm = trained("rm", {"stage": "rm", "model": sft}, data.read("rm", judged(tmp_path / "pairs", "embedded")))
    settings = {"stage": "grpo", "model": sft, "reward_model": rm, "judge": "debate", "shadow": "lexical:gone.npz"}
    assert ties(tmp_path / trained("grpo", {**settings, "players": {"judge": "m @ e"}}, recorded=recorded)) == (
        Tie("debate", "reward"),
        Tie("m @ e", "reward"),
        Tie(f"rm:{rm}", "reward"),
        Tie("lexical:gone.npz", "shadow"),
        Tie("llm", CHOSE),
        Tie("embedded", TAUGHT_REWARD),
        Tie("llm", TAUGHT_REWARD),
    )


def test_a_reward_model_that_judges_is_one_by_its_run_and_by_its_model(trained, tmp_path):
    rm = trained("rm", {"stage": "rm"}, data.read("rm", judged(tmp_path / "pairs", "llm")))
    named = (f"rm:{tmp_path / 'rm'}", f"rm:{rm}")
    assert {placed(name) for name in named} == {named[1]}
    for name in named:
        assert ties_of({"stage": "grpo", "judge": name}) == (Tie(named[1], "reward"), Tie("llm", TAUGHT_REWARD))


def test_what_is_written_down_names_no_folder_above_and_is_found_again(trained, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    rm = trained("runs/rm", {"stage": "rm"})
    found = ties_of({"stage": "grpo", "reward_model": "runs/rm/model"})
    assert found == (Tie(f"rm:{rm}", "reward"),)
    assert from_here(found) == (Tie("rm:runs/rm/model", "reward"),)
    grpo = trained("runs/grpo", {"stage": "grpo"})
    write_json(tmp_path / "runs/grpo/run.json", {"command": "train grpo", "settings": {}, "ties": from_here(found)})
    for folder in (tmp_path, tmp_path / "elsewhere"):
        monkeypatch.chdir(folder)
        assert ties(tmp_path / grpo) == found


def test_a_circle_of_runs_ends(tmp_path, trained):
    one, other = str(tmp_path / "one/model"), str(tmp_path / "other/model")
    trained("one", {"stage": "grpo", "model": other, "judge": "llm"}, recorded=False)
    trained("other", {"stage": "grpo", "model": one, "judge": "debate"}, recorded=False)
    assert set(ties(tmp_path / "one/model")) == {Tie("llm", "reward"), Tie("debate", "reward")}


def test_the_card_names_the_judges_and_is_silent_where_nobody_judged(tmp_path):
    facts = {"stage": "sft", "model": "m", "adapter": False, "settings": {}, "seed": 0, "steps": 1}
    rows = data.read("sft", judged(tmp_path, "embedded"))
    said = card(CardFacts(**facts, data=rows.card, ties=(("embedded", CHOSE),)))
    assert "- judged by `embedded`, prompt `0a1b`" in said
    assert "## Judges behind it" in said
    assert "- `embedded`: chose its texts" in said
    write_jsonl(tmp_path / "plain.jsonl", [{"query": "写一句", "response": "平安"}])
    assert "udge" not in card(CardFacts(**facts, data=data.read("sft", tmp_path / "plain.jsonl").card))
