"""Run folders: one run each, one process at a time, and a resume only of the same run."""

import subprocess
import sys

import orjson
import pytest

from kindling.errors import RunFolderError
from kindling.runs import FORMAT, open_run, read_record
from kindling.tables import write_json

SETTINGS = {"seed": 7, "queries": "abc"}


def opened(path, resume=False, command="curate", settings=SETTINGS):
    run = open_run(path, command, settings, resume=resume)
    run.save(status="running")
    return run


def test_a_used_folder_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    for resume in (False, True):
        with pytest.raises(RunFolderError, match="already used" if not resume else r"no run\.json"):
            open_run(tmp_path, "curate", SETTINGS, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_resume_goes_on_only_with_the_same_settings_and_command(tmp_path):
    opened(tmp_path / "r").close()
    opened(tmp_path / "r", resume=True).close()
    with pytest.raises(RunFolderError, match="started with seed = 7, not 8"):
        opened(tmp_path / "r", resume=True, settings={**SETTINGS, "seed": 8})
    with pytest.raises(RunFolderError, match="made by 'kindling curate'"):
        opened(tmp_path / "r", resume=True, command="refine")


def test_start_time_and_events_survive_a_resume(tmp_path):
    opened(tmp_path / "r").close()
    before = orjson.loads((tmp_path / "r/run.json").read_bytes())
    opened(tmp_path / "r", resume=True).close()
    after = orjson.loads((tmp_path / "r/run.json").read_bytes())
    assert after["started"] == before["started"]
    events = [orjson.loads(line)["event"] for line in (tmp_path / "r/events.jsonl").read_bytes().splitlines()]
    assert events == ["started", "resumed"]


def test_what_a_kill_left_half_written_is_cleared_away_be_it_a_file_or_a_folder(tmp_path):
    run = tmp_path / "r"
    opened(run).close()
    (run / ".records.jsonl.x1.tmp").write_text("half")
    (run / ".model.tmp").mkdir()
    (run / ".model.tmp/model.safetensors").write_text("half")
    opened(run, resume=True).close()
    assert sorted(path.name for path in run.iterdir()) == [".lock", "events.jsonl", "run.json"]


def test_two_processes_never_share_a_run_folder(tmp_path):
    run = opened(tmp_path / "r")
    code = (
        "import sys; from pathlib import Path; from kindling.runs import open_run\n"
        f"open_run(Path(sys.argv[1]), 'curate', {SETTINGS!r}, resume=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "r")], capture_output=True, text=True, timeout=60, check=False
    )
    assert "another process works in this run folder" in done.stderr
    run.close()
    opened(tmp_path / "r", resume=True).close()


def test_a_file_in_the_way_and_a_torn_record_are_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="is a file"):
        opened(tmp_path / "file")
    (tmp_path / "r").mkdir()
    (tmp_path / "r/run.json").write_text('{"sett')
    with pytest.raises(RunFolderError, match="not a run record"):
        opened(tmp_path / "r", resume=True)


def test_a_run_of_a_newer_version_is_refused_and_one_from_before_formats_is_not(tmp_path):
    opened(tmp_path / "r").close()
    record = read_record(tmp_path / "r")
    assert record["format"] == FORMAT
    write_json(tmp_path / "r/run.json", {name: value for name, value in record.items() if name != "format"})
    opened(tmp_path / "r", resume=True).close()
    newer = {**record, "format": FORMAT + 1, "versions": {"kindling": "9.9"}}
    write_json(tmp_path / "r/run.json", newer)
    for read in (lambda: opened(tmp_path / "r", resume=True), lambda: read_record(tmp_path / "r")):
        with pytest.raises(
            RunFolderError, match=rf"format {FORMAT + 1}, made by kindling 9\.9; .* install a newer one"
        ):
            read()
    assert read_json(tmp_path / "r/run.json") == newer


def read_json(path):
    return orjson.loads(path.read_bytes())
