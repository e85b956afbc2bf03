"""Running a trainer of TRL inside a run folder: progress, checkpoints, stops, and the weights at the end.

    RUN/trainer/checkpoint-N    what --resume goes on from
    RUN/trainer/completions     GRPO's completions, Parquet, a file a logged step
    RUN/metrics.jsonl           every logged line, in the order of the steps, written anew with each checkpoint
    RUN/model                   the weights: safetensors, an adapter or a whole model, with the tokenizer

The weights appear under their name when they are whole. Under several processes each takes the same steps; the first
one writes.
"""

import atexit
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling.errors import ConfigError, InputError
from kindling.rl.policy.memory import LIGHTER, within_memory
from kindling.rl.training import checkpoints
from kindling.rl.training.arguments import is_main, processes
from kindling.rl.training.checkpoints import Stop
from kindling.rl.training.settings import TrainSettings
from kindling.tables import write_jsonl

if TYPE_CHECKING:
    from transformers import Trainer, TrainerCallback

OnStep = Callable[[int, int, dict[str, Any]], None]
"""Told the step, how many there are, and the metrics logged last."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every stage needs to know. `model` is a folder or a hub name, `out` the run folder."""

    model: str
    out: Path
    settings: TrainSettings
    seed: int
    log: str = "none"
    merge: bool = False
    stop: Stop = field(default_factory=Stop)
    on_step: OnStep | None = None

    @property
    def folder(self) -> Path:
        """Where the trainer works."""
        return self.out / "trainer"


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended: `stopped` says why, if not in its own time or not well. `history` holds every logged line.

    `left_out` counts the rows that the trainer would not take, since they are longer than `max_tokens`.
    """

    steps: int
    planned: int
    stopped: str | None
    seconds: float
    history: tuple[dict[str, Any], ...]
    left_out: int = 0
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> dict[str, Any]:
        """The latest value of each metric."""
        return {name: value for line in self.history for name, value in line.items()}


def check_model(model: str) -> None:
    """See that `model` can be had and has a chat template, before anything is written. Raises `ConfigError`."""
    from transformers import AutoConfig, AutoTokenizer

    folder = Path(model)
    if folder.is_dir() and not (folder / "tokenizer_config.json").is_file():
        raise ConfigError(f"{model}: no tokenizer (tokenizer_config.json) in this folder")
    with loading(model):
        try:
            AutoConfig.from_pretrained(model)
            tokenizer = AutoTokenizer.from_pretrained(model)
        except ValueError as error:  # a kind of model that transformers does not know
            raise OSError(str(error)) from error
    if not tokenizer.chat_template:
        raise ConfigError(f"{model}: its tokenizer has no chat template; take an instruct model, or add one")


@contextmanager
def loading(model: str) -> Iterator[None]:
    """Turn what libraries raise for a model that is not there, not whole or too large into a `ConfigError`."""
    from safetensors import SafetensorError

    try:
        with within_memory(f"loading {model}", LIGHTER):
            yield
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{model}: cannot be loaded: {str(error).splitlines()[0]}") from error


class _AllDone(Exception):
    """Every step has been taken: by a run that was killed after its last checkpoint."""


def _part() -> None:
    """Leave the other processes: threads of theirs that still wait when the interpreter ends abort it."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def run(trainer: "Trainer", job: Job, rows: int, align: int = 1) -> Result:
    """Train to the end, or until `job.stop`; go on from the newest whole checkpoint, if there is one.

    A checkpoint that is taken for a stop waits for a step that is a multiple of `align`: one that ends a rollout.
    `rows` is how many the trainer was given. Raises `InputError` if it took none, `ConfigError` out of memory.
    """
    from transformers import PrinterCallback

    taken = len(trainer.train_dataset)
    if not taken:
        raise InputError(f"all {rows} rows are longer than train.max_tokens = {_longest(job.settings)}; raise it")

    if is_main():
        checkpoints.clear(job.folder)
    start = checkpoints.newest(job.folder)
    trainer.remove_callback(PrinterCallback)  # standard output is the command's
    trainer.add_callback(_watch(job, align))
    if processes() > 1:
        atexit.register(_part)
    began = time.monotonic()
    with (
        checkpoints.stop_on_signal(job.stop),
        suppress(_AllDone),
        within_memory("training", f"lower {' or '.join(_lower(job.settings))}"),
    ):
        trainer.train(resume_from_checkpoint=str(start) if start else None)
    state = trainer.state
    # a signal at the last step changes nothing; a breach or an empty budget is what the run ended with
    done = state.global_step >= state.max_steps and job.stop.kind in (None, "signal")
    return Result(
        steps=state.global_step,
        planned=state.max_steps,
        stopped=None if done else job.stop.why,
        seconds=time.monotonic() - began,
        history=tuple(state.log_history),
        left_out=max(0, rows - taken),  # packing makes fewer rows of more text, and leaves none out
    )


def _longest(settings: TrainSettings) -> Any:
    return getattr(settings, "max_tokens", None)


def _lower(settings: TrainSettings) -> Iterator[str]:
    """The settings that memory depends on most, with their values."""
    for name in ("micro_batch", "max_tokens", "prompt_tokens", "completion_tokens"):
        value = getattr(settings, name, None)
        if value is not None and value > 1:
            yield f"train.{name} (now {value})"
    if not settings.gradient_checkpointing:
        yield "the activations that are kept, by train.gradient_checkpointing=true"


def _watch(job: Job, align: int) -> "TrainerCallback":
    """Reports each step, marks whole checkpoints, keeps the metrics, ends the run when it is asked to."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step >= state.max_steps:  # weights and state are loaded, and the trainer would step on
                raise _AllDone

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if job.on_step is not None and is_main():
                job.on_step(state.global_step, state.max_steps, state.log_history[-1] if state.log_history else {})
            if processes() > 1:  # a signal may have come to some of them first
                _agree(job.stop)
            if job.stop.why is not None and (not job.stop.keep or state.global_step % align == 0):
                control.should_training_stop = True
                control.should_save = job.stop.keep

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if is_main():
                checkpoints.seal(job.folder, state.global_step)
                keep_metrics(job, state)

    return Watch()


def keep_metrics(job: Job, state: Any) -> None:
    """Write what was logged so far to RUN/metrics.jsonl."""
    write_jsonl(job.out / "metrics.jsonl", state.log_history)


def _agree(stop: Stop) -> None:
    """Let every process stop if one is to, so that none waits for one that has gone."""
    from accelerate.utils import gather_object

    asked = [one for one in gather_object([(stop.why, stop.kind, stop.keep)]) if one[0] is not None]
    if asked:
        stop.ask(asked[0][0], asked[0][1], keep=all(keep for _, _, keep in asked))


def save(trainer: "Trainer", job: Job, name: str = "model") -> Path:
    """Write the weights to RUN/`name`: an adapter as one, merged into its base where the job says so.

    Every process takes part, since each may hold a piece.
    """
    target, made = job.out / name, job.out / f".{name}.tmp"
    if is_main():
        shutil.rmtree(made, ignore_errors=True)
    trainer.save_model(str(made))
    if is_main():
        _drop_leftovers(made)
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    return target


def _drop_leftovers(folder: Path) -> None:
    """Remove what a trainer leaves beside the weights: its pickled arguments and its own card."""
    for name in ("training_args.bin", "README.md"):
        (folder / name).unlink(missing_ok=True)


def merge(adapter: Path, *, scalar_head: bool = False) -> None:
    """Replace the adapter in `adapter` by the whole model with its changes in it. For one process."""
    from peft import AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification
    from transformers import AutoTokenizer

    kind = AutoPeftModelForSequenceClassification if scalar_head else AutoPeftModelForCausalLM
    more = {"num_labels": 1} if scalar_head else {}
    made = adapter.with_name(f".{adapter.name}.tmp")
    whole = kind.from_pretrained(str(adapter), **more).merge_and_unload()
    whole.save_pretrained(made)
    AutoTokenizer.from_pretrained(adapter).save_pretrained(made)
    shutil.rmtree(adapter)
    made.rename(adapter)


def dataset(rows: Sequence[dict[str, Any]]) -> Any:
    """`rows` as the dataset that trainers take."""
    from datasets import Dataset

    return Dataset.from_list(list(rows))
