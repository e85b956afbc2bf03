"""`kindling judge` end to end: rows and columns as they were, every case judged once, nothing paid twice."""

import csv
import resource
import signal
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kindling.rl.training import data
from kindling.tables import write_jsonl
from tests.cli.running import Started, project, rows_of, serve
from tests.scripted_server import Script

TEXTS = ["清风徐来,山路转弯。", "灯火可亲,茶香渐浓。", "清风徐来,山路转弯。", "归鸟成行。"]
ADDED = {"verdict", "score", "reason", "judge", "template"}


def rows(count=4):
    """Rows with columns of several kinds; the first and third are the same case."""
    return [
        {
            "id": number,
            "query": "给老师的祝福",
            "tags": ["a", {"b": None}],
            "response": TEXTS[number % 4],
            "score_of": 0.5,
        }
        for number in range(count)
    ]


def refused(done, *words):
    """Check that the command said one line with all `words` and nothing else."""
    assert done.status == 2, (done.status, done.out, done.err)
    assert (done.out, done.err.count("\n")) == ("", 1)
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err


def test_rows_and_columns_stay_as_they_were(kindling, tmp_path):
    write_jsonl(tmp_path / "in.jsonl", rows())
    report = kindling("judge", "in.jsonl", "--out", "out.jsonl", "--judge", "embedded", "--json").answer
    judged = rows_of(tmp_path / "out.jsonl")
    assert [{name: value for name, value in row.items() if name not in ADDED} for row in judged] == rows()
    assert all(list(row)[-5:] == ["verdict", "score", "reason", "judge", "template"] for row in judged)
    assert all((row["score"] > 0.5) == (row["verdict"] == "good") and row["reason"] for row in judged)
    assert (report["rows"], sum(report["verdicts"].values()), report["calls"]) == (4, 4, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_who_learns_from_the_file_is_known_for_the_judges_pupil(kindling, tmp_path):
    write_jsonl(tmp_path / "in.jsonl", [*rows(), {**rows()[0], "response": " "}])
    assert kindling("judge", "in.jsonl", "--out", "out.jsonl", "--judge", "embedded").status == 0
    judged = rows_of(tmp_path / "out.jsonl")
    good = [row for row in judged if row["verdict"] == "good"]
    learned = data.read("sft", tmp_path / "out.jsonl")
    assert [data.text(row, "completion") for row in learned.rows] == [row["response"] for row in good] != []
    assert learned.judged_by == (("embedded", good[0]["template"]),)
    assert good[0]["template"]


def test_every_kind_of_file_is_judged_alike(kindling, tmp_path):
    plain = [{"query": row["query"], "response": row["response"]} for row in rows()]
    write_jsonl(tmp_path / "in.jsonl", plain)
    pq.write_table(pa.Table.from_pylist(plain), tmp_path / "in.parquet")
    with (tmp_path / "in.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["query", "response"])
        writer.writeheader()
        writer.writerows(plain)
    made = set()
    for kind in ("jsonl", "parquet", "csv"):
        out = tmp_path / f"{kind}.out.jsonl"
        assert kindling("judge", f"in.{kind}", "--out", out, "--judge", "embedded").status == 0
        made.add(out.read_bytes())
    assert len(made) == 1


@pytest.mark.parametrize(
    ("judge", "roles"),
    [("llm", {"judge": 9}), ("debate", {"positive": 3, "negative": 3, "judge": 9, "reflector": 3}), ("embedded", {})],
)
def test_a_text_that_stands_twice_is_judged_once(kindling, tmp_path, judge, roles):
    write_jsonl(tmp_path / "in.jsonl", rows())
    with serve() as server:
        project(tmp_path, server)
        command = ("judge", "in.jsonl", "--out", "out.jsonl", "--judge", judge, "--set", "roles.judge.votes=3")
        planned = kindling(*command, "--dry-run", "--json").answer
        assert not (tmp_path / "out.jsonl").exists()
        assert (planned["rows"], planned["distinct"], planned["calls"]) == (4, 3, roles)
        report = kindling(*command, "--json").answer
        assert server.stats()["roles"] == roles
    assert report["calls"] == sum(roles.values())
    judged = rows_of(tmp_path / "out.jsonl")
    assert [judged[0][name] for name in ADDED] == [judged[2][name] for name in ADDED]
    if judge == "llm":
        assert {row["score"] for row in judged} <= {0, 1 / 3, 2 / 3, 1}


def test_rows_that_could_not_be_judged_say_why(kindling, tmp_path):
    write_jsonl(tmp_path / "in.jsonl", [{"query": "给老师的祝福", "response": f"清风徐来{n}。"} for n in range(20)])
    with serve(faults={"refusal": 0.2, "500": 0.2, "length": 0.2}) as server:
        project(tmp_path, server, "retries = 0")
        report = kindling("judge", "in.jsonl", "--out", "out.jsonl", "--judge", "llm", "--json").answer
    judged = rows_of(tmp_path / "out.jsonl")
    unscored = [row for row in judged if row["verdict"] == "unscored"]
    assert report["verdicts"]["unscored"] == len(unscored) == sum(report["unscored"].values()) > 0
    assert all(row["score"] is None and len(row["reason"]) > 10 for row in unscored)
    assert all(row["score"] in (0, 1) for row in judged if row not in unscored)
    assert {"the model refused", "truncated: the answer reached max_tokens"} <= set(report["unscored"])


def test_a_row_without_a_text_is_not_judged(kindling, tmp_path):
    write_jsonl(tmp_path / "in.jsonl", [*rows(2), {**rows()[0], "response": None}, {**rows()[0], "query": " "}])
    with serve() as server:
        project(tmp_path, server)
        assert kindling("judge", "in.jsonl", "--out", "out.jsonl", "--judge", "llm").status == 0
        assert server.stats()["requests"] == 2
    judged = rows_of(tmp_path / "out.jsonl")
    assert [row["verdict"] == "unscored" for row in judged] == [False, False, True, True]
    assert (judged[2]["reason"], judged[3]["reason"]) == ("the row has no response", "the row has no query")


def test_a_budget_ends_it_without_output_and_the_next_run_goes_on(kindling, tmp_path):
    write_jsonl(tmp_path / "in.jsonl", rows())
    with serve() as server:
        project(tmp_path, server)
        command = ("judge", "in.jsonl", "--out", "out.jsonl", "--json")
        stopped = kindling(*command, "--max-calls", 5)
        assert (stopped.status, stopped.out) == (3, "")
        assert "max_calls = 5 is used up" in stopped.err
        assert "larger limit" in stopped.err
        assert not (tmp_path / "out.jsonl").exists()
        assert server.stats()["requests"] == 5
        assert kindling(*command, "--max-calls", 100).answer["calls"] == 12
        assert (server.stats()["requests"], server.stats()["repeated"]) == (12, 0)
    assert len(rows_of(tmp_path / "out.jsonl")) == 4


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_after_a_stop_nothing_is_paid_twice(kindling, tmp_path, number):
    cases = [{"query": "给老师的祝福", "response": f"清风徐来{n}。"} for n in range(30)]
    write_jsonl(tmp_path / "in.jsonl", cases)
    with serve(latency_s=0.05) as server:
        project(tmp_path, server, "max_in_flight = 4")
        command = ("judge", "in.jsonl", "--out", "out.jsonl", "--judge", "llm")
        process = Started(*command, cwd=tmp_path)
        process.wait_for(lambda: sum(server.answered.values()) >= 10)
        process.send(number)
        done = process.finish()
        assert done.status == (130 if number == signal.SIGINT else -number), done.err
        assert "Traceback" not in done.err
        if number == signal.SIGINT:
            assert "the same command goes on" in done.err
        assert not (tmp_path / "out.jsonl").exists()
        server.script = Script()
        assert kindling(*command).status == 0
        # what was in flight at the interrupt was waited for; only a kill may lose it
        assert server.stats()["repeated"] <= (0 if number == signal.SIGINT else 4)
        assert server.stats()["distinct"] == 30
    assert [row["response"] for row in rows_of(tmp_path / "out.jsonl")] == [row["response"] for row in cases]
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.jsonl", "out.jsonl.ledger.sqlite"]


def test_a_full_disk_costs_one_line_and_leaves_nothing_half_written(kindling, tmp_path):
    write_jsonl(tmp_path / "in.jsonl", rows(40))
    done = Started(
        "judge", "in.jsonl", "--out", "out.jsonl", "--judge", "embedded", cwd=tmp_path, first=small_files
    ).finish()
    refused(done, "out.jsonl", "cannot be written")
    assert not [path.name for path in tmp_path.iterdir() if "out.jsonl" in path.name]


def small_files():
    """Let this process write files of at most 4 KB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


REFUSED = {
    "an output that is there": ({"out.jsonl": b"precious"}, ["out.jsonl", "exists already"]),
    "a missing file": ({"in.jsonl": None}, ["in.jsonl", "no such file"]),
    "an empty file": ({"in.jsonl": b""}, ["in.jsonl", "the file"]),
    "no response": ({"in.jsonl": b'{"query": "a"}\n'}, ["in.jsonl", "no column 'response'"]),
    "a verdict that is there": (
        {"in.jsonl": b'{"query": "a", "response": "b"}\n{"query": "a", "response": "b", "score": 1}\n'},
        ["in.jsonl", "'score'", "rename"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_before_anything_is_paid(kindling, tmp_path, case):
    files, words = REFUSED[case]
    for name, content in {"in.jsonl": b'{"query": "a", "response": "b"}\n', **files}.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refused(kindling("judge", "in.jsonl", "--out", "out.jsonl", "--judge", "embedded"), *words)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_arguments_that_cannot_be_used(kindling, tmp_path):
    write_jsonl(tmp_path / "in.jsonl", rows())
    (tmp_path / "in.txt").write_text("一句话\n", encoding="utf-8")
    for arguments, word in (
        (("in.jsonl", "--out", "out.csv"), ".jsonl"),
        (("in.jsonl", "--out", "no/out.jsonl"), "no: no such folder"),
        (("in.jsonl", "--out", f"{'长' * 100}.jsonl"), "too long"),
        (("in.txt", "--out", "out.jsonl"), "has no columns"),
        (("in.jsonl", "--out", "out.jsonl", "--judge", "oracle"), "unknown judge 'oracle'"),
        (("in.jsonl", "--out", "out.jsonl", "--judge", "llm"), "roles.judge"),
        (("in.jsonl", "--out", "out.jsonl", "--config", "no.toml"), "no.toml"),
    ):
        refused(kindling("judge", *arguments), word)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "in.txt"]


@pytest.mark.parametrize("value", [b"\x00", Decimal("0.1")])
def test_a_column_that_jsonl_cannot_hold_is_refused_before_anything_is_paid(kindling, tmp_path, value):
    table = [{"query": "给老师的祝福", "response": "清风徐来。", "extra": value}]
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "in.parquet")
    with serve() as server:
        project(tmp_path, server)
        refused(kindling("judge", "in.parquet", "--out", "out.jsonl"), "in.parquet", "row 1", "extra")
        assert server.stats()["requests"] == 0


def test_an_endpoint_that_is_not_there_leaves_nothing(kindling, tmp_path):
    write_jsonl(tmp_path / "in.jsonl", rows())
    with serve() as server:
        project(tmp_path, server, "retries = 0")
    refused(kindling("judge", "in.jsonl", "--out", "out.jsonl"), "is the server up?")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "kindling.toml"]
