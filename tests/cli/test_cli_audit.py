"""`kindling audit` as a user runs it: status, one line for bad input, JSON, and tables that name what was planted."""

import random
import sys

import orjson
import pytest

from kindling.cli import main
from kindling.tables import write_jsonl


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["kindling", "audit", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture
def pairs(tmp_path):
    rng = random.Random(1)
    rows = [
        {
            "query": f"写一句简短的话{at}",
            "chosen": "".join(rng.choices("天地玄黄宇宙洪荒", k=60)),
            "rejected": "".join(rng.choices("日月盈昃辰宿列张", k=20)),
        }
        for at in range(60)
    ]
    rows[3]["chosen"] = "亲爱的[姓名]，" + rows[3]["chosen"]
    rows[5]["chosen"] = rows[5]["rejected"]
    path = tmp_path / "pairs.jsonl"
    write_jsonl(path, rows)
    return path


@pytest.fixture
def dev(tmp_path, pairs):
    rows = [orjson.loads(line) for line in pairs.read_bytes().splitlines()]
    cases = [{"query": row["query"], "response": row["chosen"], "label": "good"} for row in rows[20:40]]
    cases += [{"query": f"另外{at}", "response": f"短短一句{at}", "label": "bad"} for at in range(20)]
    path = tmp_path / "dev.jsonl"
    write_jsonl(path, cases)
    return path


def test_json_holds_every_finding_with_rows_and_is_the_same_twice(run, pairs, dev):
    status, out, err = run(pairs, dev, "--json")
    assert (status, err) == (0, "")
    data = orjson.loads(out)
    assert data["files"] == [
        {"file": str(pairs), "kind": "pairs", "rows": 60},
        {"file": str(dev), "kind": "labelled", "rows": 40},
    ]
    found = {(finding["check"], finding["file"]): finding for finding in data["findings"]}
    assert found["length", str(pairs)]["figures"]["longer_chosen"] == pytest.approx(59.5 / 60)
    assert found["equal_pair", str(pairs)]["rows"] == [6]
    assert found["placeholder", str(pairs)]["rows"] == [4]
    assert found["shared_texts", str(dev)]["count"] == 20
    assert found["shared_queries", str(dev)]["figures"]["accuracy"] == 1.0
    assert found["unmet_request", str(pairs)]["count"] == 59  # brief was asked, sixty characters came
    assert found["style", str(pairs)]["figures"]["auc"] > 0.95
    order = [finding["severity"] for finding in data["findings"]]
    assert order == sorted(order, key=["severe", "warning", "note"].index)
    assert data["severe"] == order.count("severe")
    assert run(pairs, dev, "--json")[1] == out


def test_strict_says_no_only_for_severe_findings(run, pairs, tmp_path):
    assert run(pairs, "--strict")[0] == 1
    clean = tmp_path / "clean.jsonl"
    write_jsonl(clean, [{"query": "写点什么", "response": "山高水长"}, {"query": "再写一点", "response": "风清月白"}])
    assert run(clean, "--strict")[0] == 0


def test_people_get_tables_and_are_told_what_went(run, pairs, tmp_path):
    status, out, _ = run(pairs, "--fix", tmp_path / "fixed.jsonl")
    assert status == 0
    for word in ("equal_pair", "placeholder", "severe", "rows"):
        assert word in out
    joined = " ".join(out.split())
    assert "kept 58 of 60 rows; gone: equal_pair 1, placeholder 1" in joined
    assert len((tmp_path / "fixed.jsonl").read_bytes().splitlines()) == 58
    assert len((tmp_path / "fixed.removed.jsonl").read_bytes().splitlines()) == 2


def test_several_files_are_fixed_into_a_folder(run, pairs, dev, tmp_path):
    status, out, _ = run(pairs, dev, "--fix", tmp_path / "fixed", "--json")
    assert status == 0
    assert sorted(path.name for path in (tmp_path / "fixed").iterdir()) == [
        "dev.jsonl", "dev.removed.jsonl", "pairs.jsonl", "pairs.removed.jsonl",
    ]  # fmt: skip
    assert [(done["kept"], done["of"]) for done in orjson.loads(out)["fixed"]] == [(58, 60), (40, 40)]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b'{"text": "x"}\n', "needs query"),
        (b'{"query": "x", "response": "y", "label": 7}\n', "label"),
        (b"\xff\xfe\n", "UTF-8"),
        (b"{", "JSON"),
    ],
)
def test_bad_input_is_one_line_and_status_2(run, tmp_path, content, word):
    path = tmp_path / "bad.jsonl"
    if content is not None:
        path.write_bytes(content)
    status, out, err = run(path, "--fix", tmp_path / "out.jsonl")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert word in err
    assert not (tmp_path / "out.jsonl").exists()


def test_a_target_that_exists_stops_it_before_the_work(run, pairs):
    before = pairs.read_bytes()
    status, _, err = run(pairs, "--fix", pairs)
    assert status == 2
    assert "exists already" in err
    assert pairs.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_one_line(run, pairs, dev, tmp_path):
    status, _, err = run(pairs, dev, "--fix", tmp_path / "dev.jsonl")
    assert status == 2
    assert err.count("\n") == 1


def test_a_text_with_markup_is_shown_as_it_is(run, tmp_path):
    path = tmp_path / "m.jsonl"
    write_jsonl(path, [{"query": "写", "response": "[bold]致[姓名][/bold]"}])
    assert "[bold]" in run(path)[1]
