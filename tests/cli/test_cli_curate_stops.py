"""Stops of every kind: kill -9 at any moment, Ctrl-C once and twice. Resumed, a run is as if nothing had happened.

The server counts what was asked; a killed process may lose the answers that were in flight, and nothing else.
"""

import os
import resource
import signal
from pathlib import Path

import orjson
import pytest

from tests.cli.running import Started, project, queries, rows_of, serve
from tests.scripted_server import Script

ROWS, CANDIDATES, IN_FLIGHT = 12, 2, 6
DATASETS = ("pairs.jsonl", "sft.jsonl", "records.jsonl", "pairs.parquet", "sft.parquet")
SETTINGS = ("--candidates", CANDIDATES, "--out", "run", "--seed", 5)


class SmallFiles:
    """Lets a process write files of at most so many bytes, as a disk does that is full."""

    def __init__(self, size):
        self.size = size

    def __call__(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


class Dies:
    """Makes a process kill itself instead of renaming the n-th file into its place."""

    def __init__(self, left):
        self.left = left

    def __call__(self):
        rename = Path.replace

        def replace(path, target):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
            return rename(path, target)

        Path.replace = replace


def answered(server):
    return sum(server.answered.values())


def datasets(folder):
    return [(folder / name).read_bytes() for name in DATASETS]


@pytest.fixture
def scene(kindling, tmp_path):
    """A server, a project on it, and what a run left alone makes of it: (server, command, datasets, calls)."""
    with serve() as server:
        project(tmp_path, server, f"max_in_flight = {IN_FLIGHT}")
        command = ("curate", queries(tmp_path, ROWS), *SETTINGS)
        assert kindling(*command).status == 0
        alone, calls = datasets(tmp_path / "run"), answered(server)
        (tmp_path / "run").rename(tmp_path / "alone")
        server.answered.clear()
        server.seen.clear()
        yield server, command, alone, calls


def test_killed_twice_and_resumed_it_is_the_same_run(kindling, tmp_path, scene):
    server, command, alone, calls = scene
    server.script = Script(latency_s=0.03)
    kills = 0
    for share in (0.5, 0.75):
        process = Started(*command, "--resume", cwd=tmp_path)
        process.wait_for(lambda until=share * calls: answered(server) >= until)
        process.send(signal.SIGKILL)
        assert process.finish().status == -signal.SIGKILL
        kills += 1
    server.script = Script()
    done = kindling(*command, "--resume", "--json")
    assert sum(done.answer["rows"].values()) == ROWS
    assert datasets(tmp_path / "run") == alone
    assert len(server.answered) == calls
    assert answered(server) - calls <= kills * IN_FLIGHT
    assert done.answer["calls"] == calls


def test_killed_while_the_datasets_are_written_nothing_is_lost_or_half_written(kindling, tmp_path, scene):
    server, command, alone, calls = scene
    # renames: run.json twice, then records, pairs, their parquet, sft, its parquet, the card, run.json
    for nth in (1, 3, 5, 9):
        done = Started(*command, "--resume", cwd=tmp_path, first=Dies(nth)).finish()
        assert done.status == -signal.SIGKILL, done.err
        for name in DATASETS:
            file = tmp_path / "run" / name
            assert not file.exists() or file.read_bytes() == alone[DATASETS.index(name)]
    assert kindling(*command, "--resume").status == 0
    assert datasets(tmp_path / "run") == alone
    assert (len(server.answered), answered(server)) == (calls, calls)
    assert not list((tmp_path / "run").glob(".*.tmp"))
    assert orjson.loads((tmp_path / "run/run.json").read_bytes())["status"] == "finished"


def test_ctrl_c_finishes_what_is_in_flight_and_says_how_to_go_on(kindling, tmp_path, scene):
    server, command, alone, calls = scene
    server.script = Script(latency_s=0.03)
    process = Started(*command, "--set", "curate.in_flight=4", cwd=tmp_path)
    process.wait_for(lambda: answered(server) >= calls // 3)
    process.send(signal.SIGINT)
    done = process.finish()
    assert done.status == 130, done.err
    assert "pending: the same command with --resume goes on" in done.err
    assert "Traceback" not in done.err
    asked = answered(server)
    assert calls // 3 <= asked < calls
    records = rows_of(tmp_path / "run/records.jsonl")
    assert 0 < len(records) < ROWS
    assert all(one["status"] != "pending" for one in records)
    pairs = rows_of(tmp_path / "run/pairs.jsonl")
    assert len(pairs) == sum(len(one["pairs"]) for one in records)
    record = orjson.loads((tmp_path / "run/run.json").read_bytes())
    assert record["status"] == "stopped"
    assert sum(record["rows"].values()) == ROWS
    assert record["rows"]["pending"] == ROWS - len(records)
    # every row in flight was finished, so every call that was paid belongs to a row that stands
    assert record["calls"] == asked
    assert kindling(*command, "--resume").status == 0
    assert datasets(tmp_path / "run") == alone
    assert (len(server.answered), answered(server)) == (calls, calls)


def test_ctrl_c_twice_leaves_at_once_and_loses_nothing(kindling, tmp_path, scene):
    server, command, alone, calls = scene
    server.script = Script(latency_s=0.03)
    process = Started(*command, cwd=tmp_path)
    process.wait_for(lambda: answered(server) >= calls // 3)
    process.send(signal.SIGINT)
    asked = answered(server)
    process.wait_for(lambda: answered(server) > asked + 2)
    process.send(signal.SIGINT)
    done = process.finish()
    assert done.status == 130, done.err
    assert "Traceback" not in done.err
    assert "--resume" in done.err
    assert answered(server) < calls
    record = orjson.loads((tmp_path / "run/run.json").read_bytes())
    assert record["status"] == "interrupted"
    server.script = Script()
    assert kindling(*command, "--resume").status == 0
    assert datasets(tmp_path / "run") == alone
    # answers that were in flight were waited for and stored
    assert (len(server.answered), answered(server)) == (calls, calls)
    assert orjson.loads((tmp_path / "run/run.json").read_bytes())["error"] is None


def test_ctrl_c_in_an_offline_run(kindling, tmp_path):
    command = ("curate", queries(tmp_path, 60), "--out", "run")
    process = Started(*command, cwd=tmp_path)
    process.wait_for((tmp_path / "run/run.json").exists)
    process.send(signal.SIGINT)
    done = process.finish()
    assert done.status == 130, done.err
    assert "Traceback" not in done.err
    assert "--resume" in done.err
    assert sum(kindling(*command, "--resume", "--json").answer["rows"].values()) == 60


def test_a_full_disk_ends_a_run_in_one_line_and_room_lets_it_go_on(kindling, tmp_path):
    command = ("curate", queries(tmp_path, 40), "--out", "run")
    done = Started(*command, cwd=tmp_path, first=SmallFiles(100_000)).finish()
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert "journal.jsonl: the disk is full" in done.err
    finished = (tmp_path / "run/journal.jsonl").read_bytes().count(b"\n")
    assert 0 < finished < 40
    report = kindling(*command, "--resume", "--json").answer
    assert sum(report["rows"].values()) == 40
    assert kindling("curate", tmp_path / "queries.txt", "--out", "alone").status == 0
    assert datasets(tmp_path / "run") == datasets(tmp_path / "alone")


def test_a_process_that_works_keeps_the_second_out(kindling, tmp_path, scene):
    server, command, alone, calls = scene
    server.script = Script(latency_s=0.05)
    process = Started(*command, cwd=tmp_path)
    process.wait_for(lambda: answered(server) > 3)
    process.send(signal.SIGSTOP)
    second = kindling(*command, "--resume")
    process.send(signal.SIGCONT)
    assert second.status == 2
    assert "another process works in this run folder" in second.err
    server.script = Script()
    assert process.finish().status == 0
    assert datasets(tmp_path / "run") == alone
    assert (len(server.answered), answered(server)) == (calls, calls)
