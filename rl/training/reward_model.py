"""A reward model by TRL's `RewardTrainer`: a scalar head, the Bradley-Terry loss on pairs.

Before it trains, queries are set apart to measure with; what it learns from may be controlled for length and request
(see `settings`). Afterwards it says how often it prefers the chosen text among pairs that it has never seen: over all
of them, over those of about equal length, and for a text under its own query against the same text under another, which
a model that reads no request cannot tell apart.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kindling.errors import InputError
from kindling.rl.training import data
from kindling.rl.training.arguments import is_main, lora, shared
from kindling.rl.training.data import CLOSE, Row
from kindling.rl.training.runner import Job, Result, dataset, loading, merge, run, save
from kindling.rl.training.scoring import Scorer
from kindling.rl.training.settings import RewardModelSettings

Text = tuple[Any, str]
"""A prompt, as messages, and a response to it."""


@dataclass(frozen=True, slots=True)
class PairData:
    """Pairs to learn from, the swapped ones among them, and pairs of other queries to measure with."""

    learn: tuple[Row, ...]
    swapped: int
    measure: tuple[Row, ...]


def prepare_pairs(rows: Sequence[Row], settings: RewardModelSettings, seed: int) -> PairData:
    """Split `rows` by query, and control those to learn from. Raises `InputError` if that leaves none."""
    learn, measure = data.split_by_query(rows, settings.held_out, seed)
    if settings.max_gap is not None:
        learn = [row for row in learn if abs(data.gap(row)) <= settings.max_gap]
    if not learn:
        raise InputError("no pair is left to learn from: lower train.held_out or raise train.max_gap")
    swapped = data.swapped_pairs(learn, settings.swapped, seed)
    return PairData((*learn, *swapped), len(swapped), tuple(measure))


def train(job: Job, pairs: PairData) -> Result:
    """Train on the pairs, measure on those held out, and leave the weights in the run folder."""
    from trl import RewardConfig, RewardTrainer

    settings = job.settings
    assert isinstance(settings, RewardModelSettings)
    config = RewardConfig(
        **shared(settings, settings.batch, job.folder, job.seed, job.log),
        max_length=settings.max_tokens,
        center_rewards_coefficient=settings.center,
    )
    adapter = lora(settings, scalar_head=True)
    rows = dataset([_conversations(row) for row in pairs.learn])
    with loading(job.model):
        trainer = RewardTrainer(model=job.model, args=config, train_dataset=rows, peft_config=adapter)
    result = run(trainer, job, len(pairs.learn))
    if result.stopped is not None:
        return result
    made = save(trainer, job)
    if not is_main():
        return result
    if job.merge and adapter is not None:
        merge(made, scalar_head=True)
    return replace(result, measured=measure(Scorer(made), pairs.measure, job.seed))


def _conversations(row: Row) -> Row:
    """The pair with the prompts in its texts, since a swapped one may have two."""
    return {
        "chosen": [*row["prompt"], *row["chosen"]],
        "rejected": [*(row.get("under") or row["prompt"]), *row["rejected"]],
    }


def measure(scorer: Scorer, rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Shares of held-out pairs on which the better text scores higher; a tie is half, None is for no such pair.

    `matched` is over pairs whose lengths differ by at most `CLOSE` characters. `longer` is what length alone would
    reach. `reading` compares a chosen text under its own query with the same text under another one.
    """
    pairs = [((row["prompt"], data.text(row, "chosen")), (row["prompt"], data.text(row, "rejected"))) for row in rows]
    near = [pair for pair, row in zip(pairs, rows, strict=True) if abs(data.gap(row)) <= CLOSE]
    return {
        "pairs": len(pairs),
        "accuracy": _preferred(scorer, pairs),
        "matched_pairs": len(near),
        "matched": _preferred(scorer, near),
        "longer": _mean([(data.gap(row) > 0) + 0.5 * (data.gap(row) == 0) for row in rows]),
        "reading": _preferred(scorer, list(_under_another_query(rows, seed))),
    }


def _under_another_query(rows: Sequence[Row], seed: int) -> Iterator[tuple[Text, Text]]:
    """Each chosen text under its own query, and under one drawn from those that ask for something else."""
    coin = random.Random(seed)  # noqa: S311 - which query is drawn is no secret
    prompts = {data.asks(row): row["prompt"] for row in rows}
    for row in rows:
        others = [prompt for key, prompt in prompts.items() if key != data.asks(row)]
        if others:
            said = data.text(row, "chosen")
            yield (row["prompt"], said), (coin.choice(others), said)


def _preferred(scorer: Scorer, pairs: Sequence[tuple[Text, Text]]) -> float | None:
    flat = [text for pair in pairs for text in pair]
    scores = scorer.score([prompt for prompt, _ in flat], [said for _, said in flat])
    return _mean([(one > other) + 0.5 * (one == other) for one, other in zip(scores[::2], scores[1::2], strict=True)])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
