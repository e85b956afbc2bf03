"""`accelerate launch -m kindling train …`: two processes on a CPU learn what one learns from the same batches."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import yaml

from kindling.tables import read_rows
from tests.cli.running import project, serve
from tests.rl.training import (
    ONE_THREAD,
    QUERIES,
    fork_with_trainers,
    kindling,
    metrics,
    sft_file,
)

# the libraries' own deprecations are not ours to mend
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("default")]
CONFIGS = Path(__file__).parents[2] / "rl/configs"
LAUNCH = (
    "--config_file", str(CONFIGS / "ddp.yaml"), "--num_processes", "2", "--mixed_precision", "no",
    "--main_process_port", "0",
)  # fmt: skip
DEADLINE_S = 240


@pytest.fixture(scope="module", autouse=True)
def _forks():
    fork_with_trainers()


def launch(folder, *arguments):
    """Run `kindling ARGUMENTS` in two processes; gives how it ended, and what they printed together."""
    command = [sys.executable, "-m", "accelerate.commands.launch", *LAUNCH, "-m", "kindling", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run(
        command, cwd=folder, env={**environment, **ONE_THREAD, "HF_HUB_OFFLINE": "1"}, timeout=DEADLINE_S,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_two_processes_have_the_loss_curve_of_one_with_the_same_batch(tiny_model, tmp_path):
    file = sft_file(tmp_path)
    small = [f"--set=train.{one}" for one in ("batch=8", "epochs=2", "learning_rate=3e-3", "micro_batch=4")]
    command = ("train", "sft", "--data", file, "--model", tiny_model, "--full", *small)
    one = kindling(tmp_path, *command, "--out", "one")
    assert one.status == 0, one.err
    status, said = launch(tmp_path, *command, "--out", "two")
    assert status == 0, said
    assert orjson.loads((tmp_path / "two/run.json").read_bytes())["processes"] == 2
    curve = metrics(tmp_path / "one")
    assert len(curve) == 6
    assert curve[-1] < curve[0]
    assert metrics(tmp_path / "two") == pytest.approx(curve, rel=1e-4)
    assert said.count("of 6 steps") == 1, "only the first process speaks"


def test_grpo_in_two_processes_judges_every_completion_once_and_ends_as_one(tiny_model, tmp_path):
    (tmp_path / "queries.txt").write_text("\n".join(QUERIES), encoding="utf-8")
    small = [
        f"--set=train.{one}"
        for one in ("prompts=2", "group=4", "completion_tokens=8", "max_steps=2", "save_every=1", "shadow_every=1")
    ]
    with serve() as server:
        project(tmp_path, server, roles=("judge",))
        status, said = launch(
            tmp_path, "train", "grpo", "--data", "queries.txt", "--model", tiny_model, "--full", "--judge", "embedded",
            "--uncertified", "--shadow", "llm", "--out", "run", *small,
        )  # fmt: skip
        assert status == 0, said
        # a look at every step
        assert (server.stats()["answered"], server.stats()["repeated"]) == (8 + 8, 0)
    assert len(metrics(tmp_path / "run", "shadow")) == 2
    rows = [read_rows(file, ()) for file in sorted((tmp_path / "run/completions").iterdir())]
    assert [len(one) for one in rows] == [4] * 4  # a file for each process and checkpoint
    assert (tmp_path / "run/model/model.safetensors").is_file()


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "deepspeed"])
def test_the_shipped_configurations_are_what_accelerate_reads(name):
    from accelerate.commands.config.config_args import ClusterConfig

    file = CONFIGS / f"{name}.yaml"
    config = ClusterConfig.from_yaml_file(file)
    assert config.to_dict().keys() >= yaml.safe_load(file.read_text()).keys()
    assert config.num_processes == 4
