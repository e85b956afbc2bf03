"""LLaMA-Factory: `dataset_info.json` and the data that it names, as sharegpt with OpenAI's tags.

    sft.json     messages
    pairs.json   messages (the prompt), chosen, rejected (one message each), ranking

LLaMA-Factory trains from files: SFT, reward models, DPO. It has no GRPO, and the server that its PPO may ask gets texts
without a word on where the response begins, so no reward is exported.
"""

from functools import partial
from typing import Any

from kindling.errors import InputError
from kindling.rl.exports.folder import Export, Step, Wishes, Writer
from kindling.rl.exports.parts import Parts, messages
from kindling.tables import write_json

SFT, PAIRS = "kindling_sft", "kindling_pairs"
_TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
_TAGS |= {"system_tag": "system"}
_INFO: dict[str, dict[str, Any]] = {
    SFT: {"file_name": "sft.json", "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": _TAGS},
    PAIRS: {
        "file_name": "pairs.json",
        "formatting": "sharegpt",
        "ranking": True,
        "columns": {"messages": "messages", "chosen": "chosen", "rejected": "rejected"},
        "tags": _TAGS,
    },
}
NOTES = """
- `--template` must be that of the model: `qwen` is Qwen 2.5's, `qwen3_nothink` Qwen 3's, `llama3` Llama 3's.
- There is no GRPO in LLaMA-Factory, so our judge is not asked while it trains: what it judged is in the data. Train on,
  from the model that comes out, with `kindling train grpo`, or export for verl or OpenRLHF.
"""


def make(parts: Parts, wishes: Wishes) -> Export:
    """The export of `parts`. Raises `InputError` if there are neither pairs nor SFT rows."""
    tables = {
        SFT: [{"messages": messages(row)} for row in parts.sft],
        PAIRS: [
            {"messages": row["prompt"], "chosen": row["chosen"][-1], "rejected": row["rejected"][-1]}
            for row in parts.pairs
        ],
    }
    tables = {name: rows for name, rows in tables.items() if rows}
    if not tables:
        raise InputError("there are only queries, and LLaMA-Factory trains on responses: export a run of curate")
    files: dict[str, Writer] = {
        _INFO[name]["file_name"]: partial(write_json, data=rows) for name, rows in tables.items()
    }
    files["dataset_info.json"] = partial(write_json, data={name: _INFO[name] for name in tables})
    rows = {_INFO[name]["file_name"]: len(rows) for name, rows in tables.items()}
    stages = [("SFT", "sft", SFT), ("DPO on the pairs", "dpo", PAIRS), ("A reward model on the pairs", "rm", PAIRS)]
    steps = [_step(title, stage, name, wishes) for title, stage, name in stages if name in tables]
    return Export("LLaMA-Factory 0.9", files, rows, steps, NOTES)


def _step(title: str, stage: str, dataset: str, wishes: Wishes) -> Step:
    rate = {"sft": "1e-4", "dpo": "5e-6", "rm": "1e-4"}[stage]
    beta = ("--pref_beta 0.1 --pref_loss sigmoid",) if stage == "dpo" else ()
    return Step(
        title,
        (
            f"llamafactory-cli train --stage {stage} --do_train",
            f"--model_name_or_path {wishes.model} --template qwen --finetuning_type lora",
            f'--dataset_dir "$PWD" --dataset {dataset} --cutoff_len 1024',
            *beta,
            f"--learning_rate {rate} --num_train_epochs 3 --lr_scheduler_type cosine --bf16",
            "--per_device_train_batch_size 4 --gradient_accumulation_steps 8",
            f"--output_dir {stage}",
        ),
    )
