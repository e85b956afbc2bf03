"""`kindling generate` and `--source policy:PATH`, as a user runs them, on a model too small to write anything."""

import json
import shutil
import sys

import pytest

from kindling.cli import main
from kindling.rl.policy.base import Schedule, Shape, make_base

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("default")]

SMALL = Shape(hidden=32, layers=2, heads=2, key_value_heads=1, feed_forward=64, entries=400)
PAIRS = [(f"写{one}", f"{one}在左，茶在右。") for one in "山海风雨雪月花茶"] * 12
QUERIES = "写山和海\n\n写风\n写风\n写雪\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        schedule = Schedule(epochs=15, batch=16, learning_rate=1e-2)
        return make_base(PAIRS, tmp_path_factory.mktemp("base") / "model", shape=SMALL, schedule=schedule)


@pytest.fixture
def kindling(tmp_path, monkeypatch, capsys):
    """Exit status, stdout and stderr of `kindling` in the test's folder; in this process, which has loaded torch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kindling", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


def test_a_file_of_queries_becomes_rows_that_judges_and_trl_read(kindling, model, tmp_path):
    from trl import is_conversational

    (tmp_path / "q.txt").write_text(QUERIES, encoding="utf-8")
    arguments = ("generate", model, "q.txt", "--n", "2", "--out", "a.jsonl", "--max-new-tokens", "30", "--json")
    status, out, error = kindling(*arguments)
    assert status == 0, error
    assert error == ""
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["query"], row["index"]) for row in rows] == [
        (query, index) for query in ("写山和海", "写风", "写雪") for index in range(2)
    ]
    report = json.loads(out)
    assert (report["texts"], report["tokens"]) == (6, sum(row["tokens"] for row in rows))
    assert report["cut_off"] == sum(not row["finished"] for row in rows)
    for row in rows:
        assert is_conversational({"prompt": row["prompt"], "completion": row["completion"]})
        assert row["completion"] == [{"role": "assistant", "content": row["response"]}]
        assert row["prompt"][0]["content"] == row["query"]

    status, _, error = kindling("judge", "a.jsonl", "--out", "judged.jsonl", "--judge", "embedded", "--json")
    assert status == 0, error


def test_a_single_query_is_printed_and_is_the_same_text_as_in_a_file(kindling, model, tmp_path):
    (tmp_path / "q.txt").write_text("写风\n", encoding="utf-8")
    assert kindling("generate", model, "q.txt", "--out", "a.jsonl", "--seed", "5")[0] == 0
    text = json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8"))["response"]
    status, out, error = kindling("generate", model, "--query", "写风", "--seed", "5")
    assert (status, error) == (0, "")
    assert out.strip() == text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("MODEL",), "name a file, or give --query"),
        (("MODEL", "q.txt", "--query", "写风", "--out", "b.jsonl"), "not both"),
        (("MODEL", "q.txt"), "--out"),
        (("MODEL", "--query", "写风", "--out", "b.jsonl"), "--out goes with a file"),
        (("MODEL", "q.txt", "--out", "there.jsonl"), "exists already"),
        (("MODEL", "none.txt", "--out", "b.jsonl"), "no such file"),
        (("empty", "q.txt", "--out", "b.jsonl"), "empty: no tokenizer"),
        (("torn", "--query", "写风"), "torn: no model to be had"),
        (("MODEL", "--query", " "), "--query is empty"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_leaves_no_output(kindling, model, tmp_path, arguments, says):
    (tmp_path / "q.txt").write_text("写风\n", encoding="utf-8")
    (tmp_path / "there.jsonl").write_text("{}\n")
    (tmp_path / "empty").mkdir()
    shutil.copytree(model, tmp_path / "torn")
    with (tmp_path / "torn/model.safetensors").open("r+b") as weights:
        weights.truncate(5000)
    before = sorted(path.name for path in tmp_path.iterdir())
    given = [str(model) if one == "MODEL" else one for one in arguments]
    status, out, error = kindling("generate", *given)
    assert (status, out) == (2, "")
    assert len(error.splitlines()) == 1
    assert says in error
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_curate_judges_what_a_policy_wrote_and_names_it(kindling, model, tmp_path):
    (tmp_path / "q.txt").write_text("祝妈妈生日快乐\n给朋友的新年祝福\n", encoding="utf-8")
    source = ("--source", f"policy:{model}", "--judge", "embedded", "--candidates", "3")
    status, _, error = kindling("curate", "q.txt", "--out", "run", *source, "--json")
    assert status == 0, error
    rows = [json.loads(line) for line in (tmp_path / "run/records.jsonl").read_text(encoding="utf-8").splitlines()]
    written = [one["candidate"] for row in rows for one in row["judgements"]]
    assert {one["source"] for one in written} == {"policy:model"}
    for row in rows:
        lines = kindling("generate", model, "--query", row["query"]["text"], "--n", "3", "--json")[1]
        drawn = {one["index"]: one["response"] for one in json.loads(lines)}
        assert all(drawn[one["candidate"]["index"]] == one["candidate"]["text"] for one in row["judgements"])
