"""Group relative policy optimisation by TRL's `GRPOTrainer`, with one reward function and a firewall beside it.

    a step   the policy answers some prompts `group` times each, the reward scores every answer, the firewall looks at
             the numbers, and the weights move towards answers that are better than the others of their group

A checkpoint is only made where a rollout ends, so that a run that goes on from it draws the same texts as one that
never stopped. With a shadow judge the weights that are left at the end are those of the checkpoint that *it* liked
best, not the last ones: the reward is what the run has learned to please. One look is at few texts, to other queries
than the next, so what counts for a checkpoint is the mean of all that the shadow has seen since the one before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree, ignore_patterns, rmtree
from statistics import fmean
from typing import TYPE_CHECKING, Any

from kindling.errors import ConfigError, InputError
from kindling.rl.firewall.shadow import ShadowScore, ShadowWatch
from kindling.rl.rewards.judging import CachedJudge
from kindling.rl.training import vllm as rollouts
from kindling.rl.training.arguments import is_main, lora, processes, shared
from kindling.rl.training.checkpoints import PREFIX
from kindling.rl.training.completions import Completions
from kindling.rl.training.data import Row
from kindling.rl.training.runner import Job, Result, dataset, loading, merge, run, save
from kindling.rl.training.settings import GrpoSettings, VllmSettings, micro_batch

if TYPE_CHECKING:
    from trl import GRPOConfig, GRPOTrainer

    from kindling.rl.firewall.callback import FirewallCallback
    from kindling.rl.rewards.reward import Reward

# of a checkpoint, what a model does not need
STATE = ("optimizer*", "scheduler*", "scaler*", "rng_state*", "trainer_state.json", "*.bin", "whole", "firewall.json")


class RememberedShadow(ShadowWatch):
    """A shadow that remembers what was drained last, to compare checkpoints by."""

    def __init__(self, judge: CachedJudge, every: int, stride: int) -> None:
        super().__init__(judge, every, stride=stride)
        self.latest: tuple[ShadowScore, ...] = ()

    def drain(self) -> list[ShadowScore]:
        """The scores since the last call."""
        scores = super().drain()
        self.latest = tuple(scores)
        return scores


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run is made of, besides its settings. `shadow` is one of the reward's watches, and the firewall's too."""

    reward: "Reward"
    firewall: "FirewallCallback"
    completions: Completions
    vllm: VllmSettings
    shadow: RememberedShadow | None = None


def check(settings: GrpoSettings, prompts: int, *, shadow: bool) -> None:
    """See that the settings go together. Raises `ConfigError` or `InputError` in one line."""
    if prompts < settings.prompts:
        raise InputError(f"{prompts} prompts are fewer than one rollout takes; set train.prompts={prompts} or less")
    if settings.log_every != 1:
        raise ConfigError("--set train.log_every: the firewall looks at every step, so it is 1")
    if settings.save_every % settings.steps_per_rollout:
        raise ConfigError(
            f"--set train.save_every ({settings.save_every}): must be a multiple of {settings.steps_per_rollout},"
            " since a checkpoint is made where a rollout ends"
        )
    if shadow and settings.save_every % settings.shadow_every:
        raise ConfigError(
            f"--set train.save_every ({settings.save_every}): must be a multiple of train.shadow_every"
            f" ({settings.shadow_every}), so that the shadow judge sees what every checkpoint writes"
        )
    if settings.prompts % processes():
        raise ConfigError(
            f"--set train.prompts ({settings.prompts}): must be a multiple of the {processes()} processes,"
            " since the completions of one prompt are compared in one process"
        )
    micro_batch(settings.batch, settings.micro_batch, processes())


def short_enough(model: str, rows: Sequence[Row], settings: GrpoSettings) -> list[bool]:
    """For each row whether its prompt has at most `prompt_tokens` tokens, the chat template's included."""
    from transformers import AutoTokenizer

    with loading(model):
        tokenizer = AutoTokenizer.from_pretrained(model)
    texts = [tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True) for row in rows]
    return [len(ids) <= settings.prompt_tokens for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def train(job: Job, rows: Sequence[Row], parts: Parts) -> Result:
    """Train on the prompts of `rows`; leave the weights in the run folder when done, or when a breach has ended it."""
    from trl import GRPOTrainer

    settings = job.settings
    assert isinstance(settings, GrpoSettings)
    with loading(job.model), rollouts.starting(parts.vllm):
        trainer = GRPOTrainer(
            model=job.model,
            reward_funcs=parts.reward,
            args=arguments(job, settings, parts.vllm),
            train_dataset=dataset(rows),
            peft_config=lora(settings),
            callbacks=[parts.firewall],
        )
    if parts.vllm.mode != "off":
        trainer.add_callback(rollouts.proof(trainer, parts.vllm.tolerance))
    trainer.add_callback(_keeper(job, parts))
    result = run(trainer, job, len(rows), settings.steps_per_rollout)
    if result.stopped is None or job.stop.kind == "breach":
        best = _best(trainer)
        made = save(trainer, job) if best is None else _take(job, best)
        if job.merge and settings.mode == "lora" and is_main():
            merge(made)
        result = replace(result, measured=_measured(trainer, result, best))
    return result


def arguments(job: Job, settings: GrpoSettings, vllm: VllmSettings) -> "GRPOConfig":
    """The settings as TRL's."""
    from trl import GRPOConfig

    size, _ = micro_batch(settings.batch, settings.micro_batch, processes())
    return GRPOConfig(
        **shared(settings, settings.batch, job.folder, job.seed, job.log),
        steps_per_generation=settings.completions // (size * processes()),
        num_generations=settings.group,
        num_iterations=settings.iterations,
        max_completion_length=settings.completion_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        beta=settings.kl,
        entropy_coef=settings.entropy,
        epsilon=settings.clip,
        epsilon_high=settings.clip_high,
        loss_type=settings.loss,
        scale_rewards=settings.scale_rewards,
        mask_truncated_completions=settings.mask_truncated,
        num_completions_to_print=0,
        **rollouts.arguments(vllm),
    )


def _keeper(job: Job, parts: Parts) -> Any:
    """Tells the run of breaches, the best checkpoint of what the shadow judge says, and writes the completions."""
    from accelerate.utils import gather_object
    from transformers import TrainerCallback

    from kindling.rl.firewall.firewall import BREACH

    class Keeper(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self._seen: list[float] = []  # since the last checkpoint, so that a resumed run sees the same

        def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            breach = parts.firewall.breach
            if breach is not None:
                lost = breach.measure == "judge"  # nothing can be scored: the step at hand has learned from too little
                job.stop.ask(breach.line, "budget" if lost else "breach", keep=not lost)
                control.should_save = job.stop.keep
                if lost and is_main():  # it says nothing of the policy
                    (job.out / BREACH).unlink(missing_ok=True)
            if parts.shadow is not None:
                self._compare(state, gather_object(list(parts.shadow.latest)), saving=control.should_save)
                parts.shadow.latest = ()

        def _compare(self, state: Any, scores: list[Any], *, saving: bool) -> None:
            known = [one.score for one in scores if one.score is not None]
            if known:
                state.log_history[-1]["shadow"] = fmean(known)
            self._seen += known
            if saving and self._seen:
                _prefer(state, job.folder / f"{PREFIX}{state.global_step}", fmean(self._seen))
            if saving:
                self._seen = []

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            parts.completions.write(state.global_step)

    return Keeper()


def _prefer(state: Any, checkpoint: Path, mean: float) -> None:
    """Take `checkpoint`, which is about to be made, for the best one if the mean that led to it is the highest."""
    if state.best_metric is None or mean > state.best_metric:
        state.best_metric, state.best_global_step = mean, state.global_step
        state.best_model_checkpoint = str(checkpoint)


def _best(trainer: "GRPOTrainer") -> Path | None:
    """The checkpoint that the shadow judge liked best, if it has looked at one."""
    found = trainer.state.best_model_checkpoint
    return Path(found) if found else None


def _take(job: Job, checkpoint: Path) -> Path:
    """Copy the weights of `checkpoint` to RUN/model."""
    target, made = job.out / "model", job.out / ".model.tmp"
    if is_main():
        rmtree(made, ignore_errors=True)
        copytree(checkpoint, made, ignore=ignore_patterns(*STATE))
        rmtree(target, ignore_errors=True)
        made.rename(target)
    return target


def _measured(trainer: "GRPOTrainer", result: Result, best: Path | None) -> dict[str, Any]:
    """What the card says of the run: the shadow's means at the start, at the best checkpoint, and last."""
    looks = [line["shadow"] for line in result.history if "shadow" in line]
    if not looks:
        return {}
    found = {"shadow at the start": looks[0], "shadow at the last look": looks[-1]}
    if best is not None:
        found |= {"shadow up to the best checkpoint": trainer.state.best_metric, "best checkpoint": best.name}
    return found
