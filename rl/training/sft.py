"""Supervised fine-tuning by TRL's `SFTTrainer`: the loss is of the response alone, never of the request."""

from collections.abc import Sequence
from typing import Any

from kindling.rl.training.arguments import is_main, lora, shared
from kindling.rl.training.runner import Job, Result, dataset, loading, merge, run, save
from kindling.rl.training.settings import SftSettings


def train(job: Job, rows: Sequence[dict[str, Any]]) -> Result:
    """Train on `rows` of prompt and completion, and leave the weights in the run folder when all steps are taken."""
    from trl import SFTConfig, SFTTrainer

    settings = job.settings
    assert isinstance(settings, SftSettings)
    config = SFTConfig(
        **shared(settings, settings.batch, job.folder, job.seed, job.log),
        max_length=settings.max_tokens,
        packing=settings.packing,
        completion_only_loss=True,
    )
    with loading(job.model):
        trainer = SFTTrainer(model=job.model, args=config, train_dataset=dataset(rows), peft_config=lora(settings))
    result = run(trainer, job, len(rows))
    if result.stopped is None:
        made = save(trainer, job)
        if job.merge and settings.mode == "lora" and is_main():
            merge(made)
    return result
