"""The GPU benchmark without a GPU: its plan, its pieces, what becomes of failures, and all of it run small."""

import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import orjson
import pytest

from bench.gpu import curve, isolation
from bench.gpu.isolation import Outcome
from bench.gpu.plan import DEFAULT_SHAPES, NAMES, Measurement, make_plan, minutes
from bench.gpu.results import Results, rollout_share
from bench.gpu.shapes import GB, SHAPES, engine_bytes, engine_share
from bench.gpu.steps import summary

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/gpu.md").read_text(encoding="utf-8")
TINY = ("--device", "cpu", "--shapes", "tiny")


def bench(*arguments: object, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m bench.gpu ARGUMENTS` as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "bench.gpu", *map(str, arguments)],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def test_the_dry_run_needs_neither_torch_nor_a_driver():
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = sys.modules['vllm'] = None;"
        "from bench.gpu.__main__ import main; main(['--dry-run'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PATH": ""}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for one in make_plan(NAMES, DEFAULT_SHAPES, "cuda"):
        assert re.search(rf"^{one.name} +│ {re.escape(one.shape)} ", done.stdout, re.MULTILINE), one


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "no CUDA device here"),
        (("--only", "speed"), "--only speed: there are vllm"),
        (("--shapes", "70B"), "--shapes 70B: there are tiny"),
        (("--only", "curve", "--shapes", "7B"), "nothing to measure"),
    ],
)
def test_what_cannot_be_run_is_said_at_once(arguments, says, tmp_path):
    done = bench(*arguments, "--out", tmp_path / "out.json", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert says in done.stderr
    assert not (tmp_path / "out.json").exists()


def test_the_shapes_are_those_of_the_models_they_are_named_after():
    counts = {"0.5B": 494_032_768, "1.5B": 1_543_714_304, "7B": 7_615_616_512}
    assert {name: SHAPES[name].parameters for name in counts} == counts


def test_the_pieces_on_the_page_fit_into_ten_minutes_and_leave_nothing_out():
    found = re.findall(r"^    python -m bench\.gpu --minutes ([\d.]+) --only (\S+) --shapes (\S+)$", PAGE, re.MULTILINE)
    plans = [make_plan(only.split(","), shapes.split(","), "cuda") for _, only, shapes in found]
    assert all(float(limit) < 10 for limit, _, _ in found)
    assert all(minutes(plan) < 8.5 for plan in plans), "too near to the limit, for guesses"
    planned = [one.key for plan in plans for one in plan]
    assert sorted(planned) == sorted(one.key for one in make_plan(NAMES, DEFAULT_SHAPES, "cuda"))


def test_a_colocated_engine_is_given_what_it_needs_and_never_all():
    for shape in ("0.5B", "1.5B", "7B"):
        for device in (24 * GB, 80 * GB, 141 * GB):
            share = engine_share(shape, device)
            assert 0.05 <= share <= 0.9
            if engine_bytes(shape) * 1.2 < 0.9 * device:
                assert share * device >= engine_bytes(shape)


def test_the_parts_of_a_step_sum_up_to_it():
    step = {"step_s": 10.0, "rollout_s": 6.0, "sync_s": 1.0, "reward_s": 1.0, "tokens": 600.0}
    found = summary([step, {**step, "step_s": 12.0}], texts=6)
    assert found["rollout_s"] + found["reward_s"] + found["update_s"] == pytest.approx(found["step_s"])
    assert (found["rollout_tokens_s"], found["tokens_a_text"], found["step_spread_s"]) == (100, 100, 2)


def test_a_curve_compares_ends_that_do_not_overlap():
    points = [{"step": n, "reward": float(n), "length": 10, "limit_share": None, "canaries/bad": 0.5} for n in range(4)]
    found = curve.summary(points)
    assert found["reward"] == [0.5, 2.5]
    assert found["limit_share"] == [None, None]
    assert found["canaries"] == {"bad": 0.5}


def test_a_process_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path):
    told = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {told}; wait"
    process = subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True)
    began = time.monotonic()
    assert isolation._wait(process, 1.0) is True
    assert time.monotonic() - began < 10
    grandchild = int(told.read_text())
    for _ in range(100):
        state = Path(f"/proc/{grandchild}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the grandchild is still there")


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        ("Loading\ntorch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB\n", 1, "out of memory on the device"),
        ("  File x\nValueError: no such head\nException ignored in: y", 1, "ValueError: no such head"),
        ("INFO all\nkindling: --vllm server: no vLLM answers\n", 2, "kindling: --vllm server: no vLLM answers"),
        ("half a line", -9, "killed by SIGKILL (out of memory?)"),
        ("", 3, "ended with status 3 and said nothing"),
    ],
)
def test_a_failure_says_why_in_one_line(said, status, why):
    assert isolation.reason(said, status) == why


def test_a_file_keeps_what_earlier_commands_measured_and_takes_new_figures_for_old(tmp_path):
    file = tmp_path / "gpu.json"
    first = Results(file, {"devices": []})
    alone, colocated = Measurement("vllm", "7B", "cuda"), Measurement("grpo-colocate", "7B", "cuda")
    first.add(colocated, Outcome(9.0, None, "out of memory on the device", "the end"))
    first.add(alone, Outcome(5.0, {"rollout_tokens_s": 2000.0}))
    second = Results(file, {"devices": []})
    second.add(colocated, Outcome(8.0, {"rollout_tokens_s": 1500.0}))
    rows = orjson.loads(file.read_bytes())["rows"]
    assert [(row["name"], row["why"]) for row in rows] == [("vllm", ""), ("grpo-colocate", "")]
    assert rollout_share(rows[1], rows) == 0.75
    assert rollout_share(rows[0], rows) is None
    assert rollout_share(rows[1], rows[1:]) is None


def test_a_file_of_something_else_is_not_overwritten(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text('{"rows": [{"name": "mine"}]}')
    done = bench(*TINY, "--only", "grpo", "--out", file)
    assert done.returncode == 2
    assert "name another file with --out" in done.stderr
    assert file.read_text() == '{"rows": [{"name": "mine"}]}'


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed")
def test_a_missing_package_is_a_row_and_the_others_go_on(tmp_path):
    file = tmp_path / "out.json"
    done = bench(*TINY, "--only", "grpo,curve", "--out", file)
    assert done.returncode == 0, done.stderr
    rows = orjson.loads(file.read_bytes())["rows"]
    assert [row["name"] for row in rows] == ["grpo", "curve"]
    assert all("is not installed; pip install 'kindling[train]'" in row["why"] for row in rows)
    assert done.stdout.count("no figures: ") == 2


def test_without_time_nothing_is_begun_and_every_row_says_so(tmp_path):
    file = tmp_path / "out.json"
    assert bench(*TINY, "--minutes", 0.1, "--out", file).returncode == 0
    rows = orjson.loads(file.read_bytes())["rows"]
    assert [row["name"] for row in rows] == list(NAMES)
    assert all("no time was left" in row["why"] for row in rows)


def measured(tmp_path: Path, *names: str) -> dict[str, dict]:
    """The rows of the measurements `names`, really made on the CPU."""
    file = tmp_path / "tiny.json"
    done = bench(*TINY, "--only", ",".join(names), "--out", file, timeout=580, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in orjson.loads(file.read_bytes())["rows"]}
    assert list(rows) == list(names)
    return rows


def check_step(row: dict) -> None:
    """Figures of a step whose parts are there and sum up to it."""
    found = row["figures"]
    assert found is not None, row["log"]
    parts = [found[part] for part in ("rollout_s", "reward_s", "update_s")]
    assert min(parts) > 0
    assert sum(parts) == pytest.approx(found["step_s"])
    assert found["steps"] == 2
    assert 1 <= found["tokens_a_text"] <= 16


@pytest.mark.train
def test_the_measurements_without_vllm_run_on_the_cpu(tmp_path):
    rows = measured(tmp_path, "grpo", "grpo-server", "curve")
    check_step(rows["grpo"])
    assert rows["grpo"]["figures"]["sync_s"] == 0
    assert rows["grpo-server"]["figures"] is None
    learned = rows["curve"]["figures"]
    assert learned is not None, rows["curve"]["log"]
    assert [point["step"] for point in learned["points"]] == [0, 1, 2, 3]
    assert set(learned["canaries"]) == {"good", "bad", "off-topic", "attack", "padded"}


@pytest.mark.vllm
def test_the_measurements_with_vllm_run_on_the_cpu(tmp_path):
    rows = measured(tmp_path, "vllm", "grpo-colocate")
    check_step(rows["grpo-colocate"])
    assert 0 < rows["grpo-colocate"]["figures"]["sync_s"] < rows["grpo-colocate"]["figures"]["rollout_s"]
    assert rows["vllm"]["figures"]["rollout_tokens_s"] > 0
