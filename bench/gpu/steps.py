"""GRPO steps of `kindling train grpo` as users run it, with a stopwatch inside TRL's trainer.

    rollout   from the prompts to the tokens, with the sending of the weights to vLLM, which is also given alone
    reward    judge, gates and canaries, as the trainer waits for them
    update    the rest of the step: log-probabilities, gradients, optimizer

The command runs in this process; the trainer that it builds is a subclass that looks at the clock, after the device has
finished what it was given. Nothing else differs from a run without it.
"""

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.gpu.models import queries
from bench.gpu.shapes import Workload, engine_share, workload

Step = dict[str, float]


def measure(task: dict[str, Any], *more: str) -> dict[str, Any]:
    """Seconds of the parts of a step, and tokens a second."""
    work = workload(task["shape"])
    folder = Path(task["folder"])
    source = folder / "queries.txt"
    source.write_text("\n".join(queries()) + "\n", encoding="utf-8")
    clock = watched()
    began = time.monotonic()
    kindling("train", "grpo", "--data", source, "--out", folder / "run", *arguments(task, work), *more)
    whole_s = time.monotonic() - began
    steps = clock.steps[work.warm :]
    if not steps:
        sys.exit(f"bench: training ended after {len(clock.steps)} steps, and {work.warm} are not counted")
    return {"start_s": whole_s - sum(step["step_s"] for step in clock.steps), **summary(steps, work.texts)}


def arguments(task: dict[str, Any], work: Workload) -> list[str]:
    """The options of the run: the defaults of kindling, sized as `work` says, and one judge that costs nothing."""
    settings = {
        **{f"train.{name}": value for name, value in work.settings().model_dump(exclude_unset=True).items()},
        "vllm.max_model_tokens": work.prompt_tokens + work.tokens,
        "vllm.gpu_memory": colocated_share(task),
    }
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    mode = {"grpo-colocate": "colocate", "grpo-server": "server"}.get(task["name"], "off")
    return ["--model", task["model"], "--judge", "embedded", "--uncertified", "--vllm", mode, *sets]


def colocated_share(task: dict[str, Any]) -> float:
    """The share of the device that vLLM is given beside the trainer."""
    import torch

    if task["device"] == "cpu":
        return 0.1
    return engine_share(task["shape"], torch.cuda.mem_get_info()[1])


def summary(steps: list[Step], texts: int) -> dict[str, Any]:
    """Means of the parts, the spread of the whole, and rates; the parts of a step sum up to it."""
    mean = {name: statistics.fmean(step[name] for step in steps) for name in steps[0]}
    tokens = mean.pop("tokens")
    return {
        **mean,
        "update_s": mean["step_s"] - mean["rollout_s"] - mean["reward_s"],
        "step_spread_s": max(step["step_s"] for step in steps) - min(step["step_s"] for step in steps),
        "steps": len(steps),
        "rollout_tokens_s": tokens / mean["rollout_s"],
        "train_tokens_s": tokens / mean["step_s"],
        "tokens_a_text": tokens / texts,
    }


def kindling(*arguments: object) -> None:
    """Run a command in this process; a failed one ends it, having said why."""
    from kindling.cli import main

    sys.argv = ["kindling", *map(str, arguments)]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise


class Clock:
    """The seconds of every step by part."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._now: Step = defaultdict(float)
        self._began: float | None = None

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of the block to the step at hand; outside of steps it is not counted."""
        began = _settled()
        yield
        if self._began is not None:
            self._now[name] += _settled() - began

    def count(self, tokens: int) -> None:
        """Tokens that were drawn in the step at hand."""
        self._now["tokens"] += tokens

    def begin(self) -> None:
        """A step begins."""
        self._now = defaultdict(float)
        self._began = _settled()

    def end(self) -> None:
        """The step is over."""
        assert self._began is not None
        fixed = {name: self._now[name] for name in ("rollout_s", "sync_s", "reward_s", "tokens")}
        self.steps.append({"step_s": _settled() - self._began, **fixed})
        self._began = None


def _settled() -> float:
    """The time when the device has done all that it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def watched() -> Clock:
    """Put a trainer with a stopwatch in the place of TRL's, and return the stopwatch."""
    import trl
    from transformers import TrainerCallback

    clock = Clock()

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            clock.begin()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.end()

    class Watched(trl.GRPOTrainer):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.add_callback(Steps())
            if self.use_vllm:
                send = self.vllm_generation.sync_weights
                self.vllm_generation.sync_weights = lambda: _timed(clock, "sync_s", send)

        def _generate(self, prompts: list[Any]) -> Any:
            drawn = _timed(clock, "rollout_s", lambda: super(Watched, self)._generate(prompts))
            clock.count(sum(map(len, drawn[1])))
            return drawn

        def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Any:
            return _timed(clock, "reward_s", lambda: super(Watched, self)._calculate_rewards(*args, **kwargs))

    trl.GRPOTrainer = Watched
    return clock


def _timed(clock: Clock, name: str, work: Any) -> Any:
    with clock.part(name):
        return work()
