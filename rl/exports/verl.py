"""verl: Parquet files with the columns of its RL and SFT datasets, and the reward function that asks our judge.

    train.parquet, val.parquet   data_source, prompt, ability, reward_model, extra_info
    sft.parquet                  messages
    reward.py                    `kindling.rl.exports.reward`, as it is

verl has no trainer for preference pairs, so they are not written.
"""

from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from kindling.rl.exports.folder import Export, Step, Wishes, Writer, batch, serve_step
from kindling.rl.exports.parts import Parts, hold_out, messages
from kindling.rl.training.data import Row
from kindling.tables import atomic_file, write_parquet

BATCH = 64
NOTES = """
- An unscored text raises in `reward.py` after five tries. The default trainer of verl 0.9 leaves it out of its group
  and trains on the others; the older trainer (`trainer.use_v1=False`) ends the run, and `trainer.resume_mode=auto`
  goes on from the last checkpoint. It never counts as 0, unless you set `reward.reward_manager.name=rate_limited`,
  which turns every exception into 0: do not.
- verl validates its rewards on `val.parquet` with the same judge. Give it another judge's URL to see whether the policy
  has learned to please the one that rewards it.
- The judge alone is the reward here. It is not shaped, and nobody watches it: the length band, the other terms and the
  firewall are `kindling train grpo`'s. Watch the response length at least.
"""


def make(parts: Parts, wishes: Wishes) -> Export:
    """The export of `parts`. Raises `InputError` for fewer than two queries."""
    learn, held = hold_out(parts.queries, wishes.share, wishes.seed)
    splits = {"train": learn, "val": held}
    tables = {
        f"{split}.parquet": [_rl_row(row, split, index) for index, row in enumerate(rows)]
        for split, rows in splits.items()
    }
    if parts.sft:
        tables["sft.parquet"] = [{"messages": messages(row)} for row in parts.sft]
    files: dict[str, Writer] = {name: partial(write_parquet, rows=rows) for name, rows in tables.items()}
    files["reward.py"] = _write_reward
    sft = [_sft_step(wishes, len(parts.sft))] if parts.sft else []
    steps = [*sft, serve_step(wishes), _grpo_step(wishes, len(learn))]
    return Export("verl 0.9", files, {name: len(rows) for name, rows in tables.items()}, steps, NOTES)


def _rl_row(row: Row, split: str, index: int) -> dict[str, Any]:
    """A row of verl's RL dataset. There is no ground truth: the judge needs the query alone, in `extra_info`."""
    return {
        "data_source": "kindling",
        "prompt": row["prompt"],
        "ability": "writing",
        "reward_model": {"style": "rule", "ground_truth": ""},
        "extra_info": {"split": split, "index": index, "query": row["query"]},
    }


def _write_reward(path: Path) -> None:
    source = resources.files("kindling.rl.exports").joinpath("reward.py").read_bytes()
    with atomic_file(path) as file:
        file.write(source)


def _grpo_step(wishes: Wishes, rows: int) -> Step:
    size = batch(rows, BATCH)
    return Step(
        "GRPO with our judge",
        (
            "python3 -m verl.trainer.main_ppo",
            "algorithm.adv_estimator=grpo",
            'data.train_files="$PWD/train.parquet" data.val_files="$PWD/val.parquet"',
            f"data.train_batch_size={size} data.max_prompt_length=512 data.max_response_length=512",
            f"actor_rollout_ref.model.path={wishes.model}",
            "actor_rollout_ref.actor.optim.lr=1e-6",
            f"actor_rollout_ref.actor.ppo_mini_batch_size={size}",
            "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
            "actor_rollout_ref.actor.use_kl_loss=True actor_rollout_ref.actor.kl_loss_coef=0.001",
            "actor_rollout_ref.rollout.name=vllm actor_rollout_ref.rollout.n=8",
            "actor_rollout_ref.rollout.tensor_model_parallel_size=1",
            "actor_rollout_ref.rollout.gpu_memory_utilization=0.5",
            "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
            "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=8",
            'reward.custom_reward_function.path="$PWD/reward.py"',
            "reward.custom_reward_function.name=compute_score",
            f"\"+reward.custom_reward_function.reward_kwargs.judge_url='{wishes.judge_url}'\"",
            "trainer.n_gpus_per_node=1 trainer.nnodes=1 'trainer.logger=[console]'",
            "trainer.project_name=kindling trainer.experiment_name=grpo",
            "trainer.save_freq=20 trainer.test_freq=10 trainer.total_epochs=3",
        ),
    )


def _sft_step(wishes: Wishes, rows: int) -> Step:
    size = batch(rows, 32)
    return Step(
        "SFT first, if you like",
        (
            "torchrun --standalone --nproc_per_node=1 -m verl.trainer.sft_trainer",
            'data.train_files="$PWD/sft.parquet" data.messages_key=messages',
            f"data.train_batch_size={size} data.micro_batch_size_per_gpu={min(size, 4)}",
            f"model.path={wishes.model} optim.lr=1e-5",
            "trainer.project_name=kindling trainer.experiment_name=sft 'trainer.logger=[console]'",
            "trainer.total_epochs=3",
        ),
    )
