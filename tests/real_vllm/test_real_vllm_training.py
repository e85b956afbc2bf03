"""GRPO with a real vLLM in the trainer's process, on the CPU: it samples with the trainer's weights, or the run ends.

One engine serves all tests of the proof, since it takes half a minute to start; the command starts one of its own.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.real_vllm.tiny_model import make
from tests.rl.training import ONE_THREAD, QUERIES, metrics

# the libraries' own deprecations are not ours to mend
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]
ENVIRONMENT = {**ONE_THREAD, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT", "RANK", "LOCAL_RANK", "WORLD_SIZE")  # the engine in this process sets them
DEADLINE_S = 300


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def trainer(model, tmp_path_factory):
    """A GRPO trainer with a colocated engine, as `kindling train grpo --vllm colocate` builds it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        from kindling.rl.training import grpo, vllm
        from kindling.rl.training.runner import Job, dataset
        from kindling.rl.training.settings import VllmSettings, resolve

        asked = VllmSettings(mode="colocate", max_model_tokens=256)
        small = {"prompts": 2, "group": 2, "completion_tokens": 8, "mode": "full"}
        job = Job(str(model), tmp_path_factory.mktemp("run"), resolve("grpo", given=small), 0)
        vllm.check(asked)
        from trl import GRPOTrainer

        rows = [{"prompt": [{"role": "user", "content": query}], "query": query} for query in QUERIES]
        with vllm.starting(asked):
            made = GRPOTrainer(
                model=str(model),
                reward_funcs=lambda completions, **_: [0.0] * len(completions),
                args=grpo.arguments(job, job.settings, asked),
                train_dataset=dataset(rows),
            )
        yield made


def state(trainer):
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


def test_the_proof_holds_and_leaves_weights_and_chance_as_they_were(trainer):
    import torch

    from kindling.rl.training.vllm import prove

    before, chance = state(trainer), torch.random.get_rng_state()
    own, moved = prove(trainer, tolerance=0.1)
    assert 0 <= own < 0.05
    assert 0 <= moved < 0.1
    assert all(torch.equal(weight, before[name]) for name, weight in trainer.model.named_parameters())
    assert torch.equal(torch.random.get_rng_state(), chance)


def sends_nothing(engine):
    return lambda: None


def sends_one_weight(engine):
    """As if a name did not match and was passed over."""
    load = engine.llm.llm_engine.model_executor.driver_worker.model_runner.model.load_weights
    return lambda: load([next(iter(engine._iter_named_params()))])


def breaks(engine):
    def broken():
        raise AttributeError("'Parameter' object has no attribute 'weight_loader'")

    return broken


@pytest.mark.parametrize(
    ("sabotage", "says"),
    [
        (sends_nothing, "new weights do not reach vLLM"),
        (sends_one_weight, "new weights do not reach vLLM"),
        (breaks, "weights cannot be sent to vLLM: AttributeError"),
    ],
)
def test_a_sabotaged_synchronisation_is_found_out(trainer, monkeypatch, sabotage, says):
    import torch

    from kindling.rl.training.vllm import StaleWeights, prove, sampled

    before = state(trainer)
    with monkeypatch.context() as patch:
        patch.setattr(trainer.vllm_generation, "sync_weights", sabotage(trainer.vllm_generation))
        with pytest.raises(StaleWeights, match=says):
            prove(trainer, tolerance=0.1)
    assert all(torch.equal(weight, before[name]) for name, weight in trainer.model.named_parameters())
    assert sampled(trainer)[1] < 0.05


def test_the_command_trains_with_vllm_as_it_does_without(model, tmp_path):
    (tmp_path / "queries.txt").write_text("\n".join(QUERIES), encoding="utf-8")
    command = [sys.executable, "-m", "kindling", "train", "grpo", "--data", "queries.txt", "--model", str(model)]
    command += ["--judge", "embedded", "--uncertified", "--full", "--json", "--set=reward.length=0"]
    command += [f"--set=train.{one}" for one in ("prompts=2", "group=4", "completion_tokens=12", "max_steps=3")]
    environment = {name: value for name, value in os.environ.items() if name not in RENDEZVOUS} | ENVIRONMENT
    found = {}
    for name, more in (("with", ["--vllm", "colocate", "--set=vllm.max_model_tokens=256"]), ("without", [])):
        done = subprocess.run(
            [*command, "--out", name, *more],
            cwd=tmp_path, env=environment, timeout=DEADLINE_S, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["steps"] == 3
        found[name] = metrics(tmp_path / name, "entropy")
    ratios = metrics(tmp_path / "with", "sampling/importance_sampling_ratio/mean")
    assert ratios == pytest.approx([1, 1, 1], abs=0.05)
    assert found["with"] == pytest.approx(found["without"], rel=0.02)
