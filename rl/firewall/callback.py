"""The firewall as a callback of TRL's GRPO trainer.

At every log it takes the batches that the reward has seen since the last one, what its watches found, and three numbers
of the trainer's own: `completions/clipped_ratio`, `kl` (only logged with a reference model) and `entropy`. TRL's other
counts are not used: `completions/mean_length` is in tokens, whose number depends on the tokenizer, and
`frac_reward_zero_std` takes a group with one scored row for one that teaches.

On a breach it writes `breach.json` and has the trainer save a checkpoint and stop, in this order and within the step.
Every process gathers the same completions and comes to the same decision, so none waits for one that has stopped.
The firewall's memory goes into every checkpoint (`firewall.json`) and is read when training resumes from it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kindling.errors import ConfigError
from kindling.records import load
from kindling.rl.firewall.canaries import CanaryWatch
from kindling.rl.firewall.firewall import BREACH, Breach, Firewall, Memory
from kindling.rl.firewall.report import Sample, StepReport
from kindling.rl.firewall.shadow import ShadowWatch
from kindling.rl.rewards.reward import Reward
from kindling.tables import write_json

MEMORY = "firewall.json"
LOG = "firewall.jsonl"


class FirewallCallback(TrainerCallback):  # type: ignore[misc]
    """Stops a run at a breach, which is then in `breach`.

    `folder` takes firewall.jsonl (the numbers of every step) and breach.json. `typical` gives the usual length of good
    answers to a query (`LengthBand.typical`). The trainer must log every step.
    """

    def __init__(
        self,
        firewall: Firewall,
        reward: Reward,
        folder: Path,
        *,
        canaries: CanaryWatch | None = None,
        shadow: ShadowWatch | None = None,
        typical: Callable[[str], float | None] = lambda query: None,
    ) -> None:
        self.breach: Breach | None = None
        self._firewall = firewall
        self._reward = reward
        self._folder = folder
        self._canaries = canaries
        self._shadow = shadow
        self._typical = typical

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Refuse a trainer that does not log every step (`ConfigError`); on resuming, read the memory."""
        if args.logging_strategy != "steps" or args.logging_steps != 1:
            raise ConfigError("the firewall looks at every step: set logging_strategy steps and logging_steps 1")
        if state.global_step == 0:
            return
        memory = Path(args.output_dir) / f"checkpoint-{state.global_step}" / MEMORY
        if not memory.is_file():
            raise ConfigError(f"{memory}: missing, so the firewall has nothing to compare with; start the run anew")
        self._firewall.memory = load(Memory, orjson.loads(memory.read_bytes()), str(memory))
        if state.is_world_process_zero and (log := self._folder / LOG).is_file():
            lines = log.read_bytes().splitlines(keepends=True)
            # steps after the checkpoint are about to be taken again
            log.write_bytes(b"".join(line for line in lines if orjson.loads(line)["step"] < state.global_step))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Check the step that was logged; numbers of an evaluation and of the end are no step."""
        report = self._report(state, logs or {})
        if any(name.startswith("eval_") for name in logs or {}) or "train_runtime" in (logs or {}) or self.breach:
            return
        self.breach = self._firewall.check(report)
        if state.is_world_process_zero:
            self._write(report)
        if self.breach is not None:
            control.should_save = True
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Put the memory into the checkpoint."""
        if state.is_world_process_zero:
            write_json(Path(args.output_dir) / f"checkpoint-{state.global_step}" / MEMORY, self._firewall.memory)

    def _report(self, state: TrainerState, logs: dict[str, Any]) -> StepReport:
        """What happened since the last report, in all processes."""
        from accelerate.utils import gather_object

        rows = [row for batch in self._reward.drain() for row in batch.rows]
        samples = [Sample(row.query, row.response, row.reward, self._typical(row.query)) for row in rows]
        canaries = self._canaries.drain() if self._canaries else []
        shadow = self._shadow.drain() if self._shadow else []
        stopped = [self._reward.stopped] if self._reward.stopped else []
        return StepReport(
            max((row.step for row in rows), default=state.global_step),
            tuple(gather_object(samples)),
            tuple(gather_object(canaries)),
            tuple(gather_object(shadow)),
            limit_share=logs.get("completions/clipped_ratio"),
            kl=logs.get("kl"),
            entropy=logs.get("entropy"),
            stopped=next(iter(gather_object(stopped)), None),
        )

    def _write(self, report: StepReport) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / LOG).open("ab") as log:
            log.write(orjson.dumps({"step": report.step, **self._firewall.measured}) + b"\n")
        if self.breach is not None:
            write_json(self._folder / BREACH, self.breach)
