"""Stops of every kind: kill -9 at any moment, Ctrl-C once and twice. Resumed, a run is as if nothing had happened.

The server counts what was asked; a killed process may lose the answers that were in flight, and nothing else.
"""

import os
import signal
import time

import orjson
import pytest

from tests.cli.running import finish, project, queries, rows_of, serve, start, wait_for
from tests.scripted_server import Script

ROWS, CANDIDATES, IN_FLIGHT = 16, 2, 6
DATASETS = ("pairs.jsonl", "sft.jsonl", "records.jsonl", "pairs.parquet", "sft.parquet")
SETTINGS = ("--candidates", CANDIDATES, "--out", "run", "--seed", 5)
# kills itself instead of renaming the n-th file into its place
DIES = """
import os, pathlib, signal, sys
left, rename = int(sys.argv.pop(1)), pathlib.Path.replace
def replace(self, target):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
pathlib.Path.replace = replace
sys.argv[0] = "kindling"
from kindling.cli import main
main()
"""


def answered(server):
    return sum(server.answered.values())


def kill(process):
    """Kill -9, and wait until it is gone."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


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
        process = start(*command, "--resume", cwd=tmp_path)
        wait_for(lambda until=share * calls: answered(server) >= until, process)
        kill(process)
        kills += 1
        time.sleep(0.1)  # until the server has noticed
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
        done = finish(start(nth, *command, "--resume", cwd=tmp_path, program=("-c", DIES)))
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
    process = start(*command, "--set", "curate.in_flight=4", cwd=tmp_path)
    wait_for(lambda: answered(server) >= calls // 3, process)
    process.send_signal(signal.SIGINT)
    done = finish(process)
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
    process = start(*command, cwd=tmp_path)
    wait_for(lambda: answered(server) >= calls // 3, process)
    process.send_signal(signal.SIGINT)
    asked = answered(server)
    wait_for(lambda: answered(server) > asked + 2, process)
    process.send_signal(signal.SIGINT)
    done = finish(process)
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


def test_ctrl_c_before_anything_was_done(kindling, tmp_path):
    process = start("curate", queries(tmp_path, 3), "--out", "run", cwd=tmp_path)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.status == 130, done.err
    assert "Traceback" not in done.err
    assert kindling("curate", tmp_path / "queries.txt", "--out", "run", "--resume").status == 0


def test_a_process_that_works_keeps_the_second_out(kindling, tmp_path, scene):
    server, command, alone, calls = scene
    server.script = Script(latency_s=0.05)
    process = start(*command, cwd=tmp_path)
    wait_for(lambda: answered(server) > 3, process)
    os.kill(process.pid, signal.SIGSTOP)
    second = kindling(*command, "--resume")
    os.kill(process.pid, signal.SIGCONT)
    assert second.status == 2
    assert "another process works in this run folder" in second.err
    server.script = Script()
    assert finish(process).status == 0
    assert datasets(tmp_path / "run") == alone
    assert (len(server.answered), answered(server)) == (calls, calls)
