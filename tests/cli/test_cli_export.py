"""`kindling export` from a curated run to a folder, and everything that it refuses in one line."""

import pytest

from kindling.tables import write_jsonl
from tests.cli.running import queries

SYSTEMS = ("verl", "openrlhf", "llamafactory")


def test_a_curated_run_goes_to_every_system(kindling, tmp_path):
    run = kindling("curate", queries(tmp_path, 20), "--out", "run", "--judge", "embedded", "--json").answer
    assert run["pairs"] > 0, run
    for system in SYSTEMS:
        said = kindling("export", "run", "--to", system, "--out", f"out/{system}", "--json").answer
        there = {file.name for file in (tmp_path / "out" / system).iterdir()}
        assert set(said["files"]) == there
        assert said["found"]["pairs"] == run["pairs"]
        assert said["found"]["queries"] == 20
        assert all(said["rows"].values())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(SYSTEMS)
    shown = kindling("export", "run", "--to", "verl", "--out", "again")
    assert (shown.status, "train.parquet" in shown.out, "again/README.md" in shown.out) == (0, True, True)


def test_the_same_export_has_the_same_bytes(kindling, tmp_path):
    source = queries(tmp_path, 30)
    for name in ("one", "two"):
        assert kindling("export", source, "--to", "verl", "--out", name).status == 0
    one, two = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["in.jsonl", "--to", "ray"], ["--to ray", "verl, openrlhf, llamafactory"]),
        (["missing.jsonl", "--to", "verl"], ["missing.jsonl: no such file"]),
        (["empty", "--to", "verl"], ["empty: none of sft.jsonl, pairs.jsonl, records.jsonl"]),
        (["in.jsonl", "--to", "verl", "--column", "text"], ["no column 'text'"]),
        (["in.jsonl", "--to", "llamafactory"], ["only queries"]),
        (["in.jsonl", "--to", "verl", "--judge-url", "http://me:secret@host"], ["--judge-url"]),
        (["in.jsonl", "--to", "verl", "--judge-url", "http://h/'; rm -rf"], ["--judge-url"]),
        (["in.jsonl", "--to", "verl", "--judge-url", "ftp://host"], ["--judge-url"]),
        (["in.jsonl", "--to", "verl", "--model", "a b"], ["--model 'a b'"]),
        (["in.jsonl", "--to", "verl", "--out", "used"], ["used: already used"]),
        (["in.jsonl", "--to", "verl", "--out", "in.jsonl"], ["in.jsonl: already used"]),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(kindling, tmp_path, arguments, words):
    write_jsonl(tmp_path / "in.jsonl", [{"query": "写一句"}, {"query": "给老师写一句"}])
    (tmp_path / "empty").mkdir()
    (tmp_path / "used").mkdir()
    (tmp_path / "used/file").touch()
    before = sorted(tmp_path.rglob("*"))
    out = () if "--out" in arguments else ("--out", "out")
    done = kindling("export", *arguments, *out)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1), done.err
    assert all(word in done.err for word in words), done.err
    assert "secret" not in done.err
    assert sorted(tmp_path.rglob("*")) == before
