"""`kindling eval` of a real policy: its texts are kept as they are drawn, and what is cut off is no bad text."""

import orjson
import pytest

from kindling.eval.scorecard.card import load_scorecard
from kindling.tables import write_jsonl
from tests.rl.training import fork_with_trainers, kindling

# the libraries' own deprecations are not ours to mend
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("default")]
QUERIES = [f"给第{number}位同事写一句祝福" for number in range(6)]


@pytest.fixture(scope="module", autouse=True)
def _forks():
    fork_with_trainers()


@pytest.fixture
def command(tiny_model, tmp_path):
    """An evaluation of a random model, two texts a query, cut off after a few tokens."""
    write_jsonl(tmp_path / "q.jsonl", [{"query": query} for query in QUERIES])
    return (
        "eval", f"tiny={tiny_model}", "--queries", "q.jsonl", "--judge", "embedded", "-n", "2", "--max-new-tokens", "6",
        "--batch", "4", "--out", "run",
    )  # fmt: skip


def test_a_policy_is_evaluated_and_what_is_cut_off_is_counted_apart(tmp_path, command):
    done = kindling(tmp_path, *command)
    assert done.status == 0, done.err
    found = load_scorecard(tmp_path / "run/scorecard.json")
    card, texts = found.card("tiny"), found.card("tiny").texts
    assert (texts.asked, texts.whole + texts.cut_off + texts.empty) == (2 * len(QUERIES), 2 * len(QUERIES))
    assert texts.cut_off > 0  # a random model hardly ever ends
    assert [one.scored + one.unscored for one in card.excellence] == [texts.whole]
    lines = [orjson.loads(line) for line in (tmp_path / "run/texts.jsonl").read_bytes().splitlines()]
    assert {one["reason"] for one in lines if one["failure"] == "cut_off"} == {"cut off at 6 tokens"}
    # part of the lines gone, as after a kill: the same texts are drawn again
    texts_file = tmp_path / "run/texts.jsonl"
    whole = texts_file.read_bytes()
    texts_file.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]) + b'{"model": "ti')
    assert kindling(tmp_path, *command, "--resume").status == 0
    assert texts_file.read_bytes() == whole


def test_a_model_that_does_not_load_leaves_no_run(tmp_path, command, tiny_model):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_model.iterdir():
        if file.suffix != ".safetensors":
            (broken / file.name).write_bytes(file.read_bytes())
    done = kindling(tmp_path, "eval", "broken", *command[2:])
    assert done.status == 2
    assert "broken: no model to be had" in done.err
    assert not (tmp_path / "run").exists()
