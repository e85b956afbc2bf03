"""OpenRLHF: JSON lines for its four trainers, and the URL of our server as its remote reward.

prompts.jsonl      input (messages), label (the plain query, which the server judges by)
sft.jsonl          input (messages, the response last)
preference.jsonl   prompt, chosen, rejected (messages)
"""

from functools import partial
from typing import Any

from kindling.rl.exports.folder import Export, Step, Wishes, Writer, batch, serve_step
from kindling.rl.exports.parts import Parts, messages
from kindling.tables import write_jsonl

BATCH = 64
GROUP = 8
NOTES = """
- The reward has no null in OpenRLHF's protocol. A text that could not be judged is answered 503; OpenRLHF asks five
  times, a second apart, and each time the judge is asked anew. If all fail, the sample has no reward and OpenRLHF 0.11
  ends the run with an error: `--ckpt.load_enable` goes on from the last checkpoint. It never counts as 0.
- `--data.label_key label` sends the plain query along. Without it the server reads the last user turn out of the
  prompt, for the chat templates that it knows.
- A server on another machine wants a token. OpenRLHF sends one if it stands in the URL as a password
  (`http://kindling:TOKEN@HOST:8000/reward`), and prints its arguments, with the token, when it starts.
- Several servers share the load: `--reward.remote_url` takes URLs separated by commas.
- The judge alone is the reward here. It is not shaped, and nobody watches it: the length band, the other terms and the
  firewall are `kindling train grpo`'s. Watch the response length at least.
"""


def make(parts: Parts, wishes: Wishes) -> Export:
    """The export of `parts`."""
    tables: dict[str, list[dict[str, Any]]] = {
        "prompts.jsonl": [{"input": row["prompt"], "label": row["query"]} for row in parts.queries],
        "sft.jsonl": [{"input": messages(row)} for row in parts.sft],
        "preference.jsonl": [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in parts.pairs],
    }
    tables = {name: rows for name, rows in tables.items() if rows}
    files: dict[str, Writer] = {name: partial(write_jsonl, rows=rows) for name, rows in tables.items()}
    steps = [
        *([_sft_step(wishes, len(parts.sft))] if parts.sft else []),
        *(_preference_step(wishes, kind, len(parts.pairs)) for kind in ("dpo", "rm") if parts.pairs),
        serve_step(wishes),
        _grpo_step(wishes, len(parts.queries)),
    ]
    return Export("OpenRLHF 0.11", files, {name: len(rows) for name, rows in tables.items()}, steps, NOTES)


def _grpo_step(wishes: Wishes, rows: int) -> Step:
    size = batch(rows, BATCH)
    return Step(
        "GRPO with our judge",
        (
            "python3 -m openrlhf.cli.train_ppo_ray",
            f"--actor.model_name_or_path {wishes.model}",
            f"--reward.remote_url {wishes.judge_url}/reward",
            '--data.prompt_dataset "$PWD/prompts.jsonl"',
            "--data.input_key input --data.label_key label --data.apply_chat_template",
            "--data.max_len 1024 --rollout.max_new_tokens 512",
            f"--algo.advantage.estimator group_norm --rollout.n_samples_per_prompt {GROUP}",
            "--algo.kl.use_loss --algo.kl.estimator k3 --algo.kl.init_coef 1e-3",
            f"--rollout.batch_size {size} --train.batch_size {size * GROUP}",
            "--rollout.micro_batch_size 8 --train.micro_batch_size 4",
            "--actor.adam.lr 1e-6 --actor.gradient_checkpointing_enable",
            "--actor.num_nodes 1 --actor.num_gpus_per_node 1 --ref.num_nodes 1 --ref.num_gpus_per_node 1",
            "--train.colocate_all --vllm.num_engines 1 --vllm.tensor_parallel_size 1",
            "--vllm.gpu_memory_utilization 0.5 --vllm.enable_sleep --ds.enable_sleep",
            "--ckpt.output_dir model --ckpt.path checkpoints --ckpt.save_steps 20",
        ),
    )


def _sft_step(wishes: Wishes, rows: int) -> Step:
    size = batch(rows, 32)
    return Step(
        "SFT",
        (
            "deepspeed --module openrlhf.cli.train_sft",
            f"--model.model_name_or_path {wishes.model}",
            '--data.dataset "$PWD/sft.jsonl" --data.input_key input --data.apply_chat_template',
            f"--train.batch_size {size} --train.micro_batch_size {min(size, 4)}",
            "--train.max_epochs 3 --data.max_len 1024",
            "--ckpt.output_dir sft",
        ),
    )


def _preference_step(wishes: Wishes, kind: str, rows: int) -> Step:
    size = batch(rows, 32)
    return Step(
        {"dpo": "DPO on the pairs", "rm": "A reward model on the pairs"}[kind],
        (
            f"deepspeed --module openrlhf.cli.train_{kind}",
            f"--model.model_name_or_path {wishes.model}",
            '--data.dataset "$PWD/preference.jsonl"',
            "--data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected --data.apply_chat_template",
            f"--train.batch_size {size} --train.micro_batch_size {min(size, 2)}",
            "--train.max_epochs 1 --data.max_len 1024",
            f"--ckpt.output_dir {kind}",
        ),
    )
