"""TRL's own GRPO trainer with our reward and firewall, on a random model on the CPU: real steps, real checkpoints.

Failed rows move nothing, and nothing shifts for the others; a run that must stop does so with a checkpoint and why.
"""

import random
from contextlib import nullcontext

import orjson
import pytest

from kindling.errors import BudgetSpent, ConfigError
from kindling.records import Case, Verdict, text_id
from kindling.rl.firewall.canaries import Canary, CanaryWatch
from kindling.rl.firewall.firewall import Firewall
from kindling.rl.firewall.settings import Limits
from kindling.rl.firewall.shadow import ShadowWatch
from kindling.rl.rewards.judging import CachedJudge
from kindling.rl.rewards.quality import JudgeScore
from kindling.rl.rewards.reward import Reward
from kindling.rl.rewards.terms import Weighted

GROUP = 5
OPEN: list[CachedJudge] = []
QUERIES = ["一", "二", "三", "四"]
SETTINGS = {
    "use_cpu": True, "bf16": False, "logging_steps": 1, "report_to": "none", "disable_tqdm": True, "seed": 3,
    "gradient_checkpointing": False, "per_device_train_batch_size": 20, "num_generations": GROUP, "optim": "sgd",
    "learning_rate": 0.5, "lr_scheduler_type": "constant", "max_completion_length": 12, "save_strategy": "no",
    "max_steps": 1, "beta": 0.0,
}  # fmt: skip

# the libraries' own deprecations are not ours to mend
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("offline")]


class Hashing:
    """A judge whose score follows from the text alone; about every fifth fails, and all when `most` calls are spent."""

    name = "hashing"
    template = ""

    def __init__(self, failing=True, most=10**9):
        self.failing = failing
        self.most = most
        self.asked = 0

    async def judge(self, case, critiques=()):
        self.asked += 1
        if self.asked > self.most:
            raise BudgetSpent(f"max_calls = {self.most} is used up")
        if self.failing and fails(case.response):
            return Verdict.none("timed out", self.name)
        return Verdict.of(score(case.response), "a reason", self.name)


def fails(text):
    return int(text_id("fails", text), 16) % 5 == 0


def score(text):
    return random.Random(text_id("score", text)).random()


def reward_of(judge, **options):
    return Reward([Weighted(JudgeScore(opened(judge)))], [], Case, **options)


def opened(judge):
    OPEN.append(CachedJudge(lambda: nullcontext(judge)))
    return OPEN[-1]


def trainer_of(tiny_model, reward, out, kind=None, callbacks=(), **changed):
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    rows = [{"prompt": [{"role": "user", "content": query}]} for query in QUERIES]
    return (kind or GRPOTrainer)(
        model=str(tiny_model),
        reward_funcs=reward,
        args=GRPOConfig(output_dir=str(out), **(SETTINGS | changed)),
        train_dataset=Dataset.from_list(rows),
        callbacks=list(callbacks),
    )


def weights(trainer):
    import torch

    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_the_update_with_failed_rows_is_the_update_without_them(tiny_model, tmp_path, scale):
    """Same seed, same completions: once with a judge that fails on a fifth of them, once with those rows taken out.

    They are taken out by hand: advantages from the other rows' rewards alone, and no token of theirs in the loss.
    """
    import torch
    from trl import GRPOTrainer

    class WithoutFailedRows(GRPOTrainer):
        def _generate_and_score_completions(self, inputs):
            output = super()._generate_and_score_completions(inputs)
            texts = self.processing_class.batch_decode(output["completion_ids"], skip_special_tokens=True)
            kept = torch.tensor([not fails(text) for text in texts])
            rewards = torch.tensor([score(text) for text in texts])
            advantages = torch.zeros(len(texts))
            for first in range(0, len(texts), GROUP):
                rows = torch.arange(first, first + GROUP)[kept[first : first + GROUP]]
                advantages[rows] = rewards[rows] - rewards[rows].mean()
                if scale != "none" and len(rows) > 1:
                    advantages[rows] /= (rewards[rows] if scale == "group" else rewards[kept]).std() + 1e-4
            output["advantages"] = advantages
            output["completion_mask"] = output["completion_mask"] * kept.unsqueeze(1)
            return output

    failing = reward_of(Hashing())
    with_failures = trainer_of(tiny_model, failing, tmp_path / "a", scale_rewards=scale)
    before = weights(with_failures)
    with_failures.train()
    (batch,) = failing.drain()
    assert 0.05 < sum(row.reward is None for row in batch.rows) / len(batch.rows) < 0.5
    whole = reward_of(Hashing(failing=False))
    without = trainer_of(tiny_model, whole, tmp_path / "b", WithoutFailedRows, scale_rewards=scale)
    without.train()
    assert [row.response for row in whole.drain()[0].rows] == [row.response for row in batch.rows]
    moved = (weights(without) - before).abs().max()
    assert moved > 1e-4
    assert (weights(with_failures) - weights(without)).abs().max() < 1e-3 * moved


def test_a_batch_without_any_score_moves_nothing_and_trl_logs_our_terms(tiny_model, tmp_path):
    class Failing(Hashing):
        async def judge(self, case, critiques=()):
            return Verdict.none("down", self.name)

    trainer = trainer_of(tiny_model, reward_of(Failing()), tmp_path / "a")
    before = weights(trainer)
    trainer.train()
    assert (weights(trainer) == before).all()
    step = trainer.state.log_history[0]
    assert step["reward_terms/unscored"] == 1.0
    assert step["rewards/kindling/mean"] is None


@pytest.fixture(autouse=True)
def closing():
    """Close every judge that a test has opened."""
    yield
    while OPEN:
        OPEN.pop().close()


def firewalled(tiny_model, out, judge, limits=None, canaries=True, **changed):
    """A trainer with everything around it: canaries, shadow, firewall."""
    from kindling.rl.firewall.callback import FirewallCallback

    cached, shadow = opened(judge), opened(Hashing(failing=False))
    known = [Canary(kind, f"q{n}", f"{kind}{n}", "good") for kind in ("good", "bad") for n in range(20)]
    watches = {"canaries": CanaryWatch(cached, known, Case, 0, per_step=4), "shadow": ShadowWatch(shadow, every=2)}
    reward = Reward([Weighted(JudgeScore(cached))], [], Case, watches=[*watches.values()])
    firewall = Firewall(limits or Limits(canaries={"good": 0.0, "bad": 0.0}))
    callback = FirewallCallback(firewall, reward, out / "firewall", **watches)
    return trainer_of(tiny_model, reward, out, callbacks=[callback], **changed), callback, reward


def logged(out):
    return [orjson.loads(line) for line in (out / "firewall/firewall.jsonl").read_bytes().splitlines()]


def test_a_spent_budget_stops_the_run_with_a_checkpoint_and_its_line(tiny_model, tmp_path):
    trainer, callback, _ = firewalled(tiny_model, tmp_path, Hashing(most=60), max_steps=10)
    trainer.train()
    assert trainer.state.global_step < 10
    breach = orjson.loads((tmp_path / "firewall/breach.json").read_bytes())
    assert breach["measure"] == "judge"
    assert "max_calls = 60 is used up" in breach["line"] == callback.breach.line
    assert (tmp_path / f"checkpoint-{trainer.state.global_step}/model.safetensors").is_file()


def test_a_judge_that_takes_bad_for_good_is_stopped_by_its_canaries(tiny_model, tmp_path):
    class Kind(Hashing):
        async def judge(self, case, critiques=()):
            return Verdict.of(0.2 if case.response.startswith("bad") else score(case.response), "", self.name)

    trainer, callback, _ = firewalled(
        tiny_model, tmp_path, Kind(), Limits(canaries={"good": 0.0, "bad": 0.9}), max_steps=20
    )
    trainer.train()
    assert callback.breach.measure == "canaries/bad"
    assert trainer.state.global_step == callback.breach.step + 1 < 10


def test_canaries_are_judged_and_never_trained_on_and_every_step_is_logged(tiny_model, tmp_path):
    judge = Hashing()
    trainer, callback, reward = firewalled(tiny_model, tmp_path, judge, max_steps=4, eval_strategy="no")
    kept = []
    reward._sink = kept.append
    trainer.train()
    assert callback.breach is None
    steps = logged(tmp_path)
    assert [step["step"] for step in steps] == [0, 1, 2, 3]
    for step in steps:
        assert {"reward", "length", "limit_share", "entropy", "unscored"} <= {*step}
        assert step["limit_share"] is not None
        assert step["entropy"] > 0
    assert {"canaries/bad", "canaries/good"} <= {*steps[-1]}
    trained_on = {row.response for batch in kept for row in batch.rows}
    assert len(kept) == 4
    assert not any(text.startswith(("good", "bad")) for text in trained_on)
    assert len(callback._firewall.memory.shadow_first) == 2


def test_a_resumed_run_reads_its_memory_and_logs_each_step_once(tiny_model, tmp_path):
    changed = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    first, _, _ = firewalled(tiny_model, tmp_path, Hashing(), **changed)
    first.train()
    again, callback, _ = firewalled(tiny_model, tmp_path, Hashing(), **changed)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert [step["step"] for step in logged(tmp_path)] == [0, 1, 2, 3]
    assert [report.step for report in callback._firewall.memory.reference] == [0, 1, 2, 3]
    (tmp_path / "checkpoint-2/firewall.json").unlink()
    lost, _, _ = firewalled(tiny_model, tmp_path, Hashing(), **changed)
    with pytest.raises(ConfigError, match="nothing to compare with"):
        lost.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))


def test_a_trainer_that_does_not_log_every_step_is_refused(tiny_model, tmp_path):
    trainer, _, _ = firewalled(tiny_model, tmp_path, Hashing(), logging_steps=5)
    with pytest.raises(ConfigError, match="logging_steps 1"):
        trainer.train()
