"""A reward model by TRL's `RewardTrainer`: a scalar head, the Bradley-Terry loss on pairs.

Before it trains, queries are set apart to measure with; what it learns from may be controlled for length and request
(see `settings`). Afterwards it says how often it prefers the chosen text among pairs that it has never seen: over all
of them, over those of about equal length, and for a text under its own query against the same text under another, which
a model that reads no request cannot tell apart. The same pairs calibrate it, so that it can judge (see `calibration`).
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kindling.errors import InputError
from kindling.records import fingerprint
from kindling.rl.training import calibration, data
from kindling.rl.training.arguments import is_main, lora, shared
from kindling.rl.training.calibration import Calibration
from kindling.rl.training.data import CLOSE, Row
from kindling.rl.training.runner import Job, Result, dataset, loading, merge, run, save
from kindling.rl.training.scoring import LEARNED, Scorer
from kindling.rl.training.settings import RewardModelSettings
from kindling.tables import write_json

SIDES = ("chosen", "rejected")
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
    held_out = f"{settings.held_out:g} of the queries, held out with seed {job.seed}"
    measured, calibrated = measure(Scorer(made), pairs.measure, job.seed, held_out)
    write_json(made / LEARNED, sorted(_fingerprints((*pairs.learn, *pairs.measure))))
    if calibrated is not None:
        calibration.save(made, calibrated)
    return replace(result, measured=measured)


def _fingerprints(rows: Sequence[Row]) -> set[str]:
    """Of every text, so that nobody measures the judge that comes of it on what it knows."""
    return {fingerprint(data.text(row, side)) for row in rows for side in SIDES}


def _conversations(row: Row) -> Row:
    """The pair with the prompts in its texts, since a swapped one may have two."""
    return {
        "chosen": [*row["prompt"], *row["chosen"]],
        "rejected": [*(row.get("under") or row["prompt"]), *row["rejected"]],
    }


def measure(scorer: Scorer, rows: Sequence[Row], seed: int, source: str) -> tuple[dict[str, Any], Calibration | None]:
    """Shares of held-out pairs on which the better text scores higher, and the calibration that the pairs give.

    A tie is half, None is for no such pair. `matched` is over pairs whose lengths differ by at most `CLOSE` characters.
    `longer` is what length alone would reach. `reading` compares a chosen text under its own query with the same text
    under another one. `source` says which pairs these are.
    """
    chosen, rejected = (_scores(scorer, [(row["prompt"], data.text(row, side)) for row in rows]) for side in SIDES)
    prefers = _preferred(chosen, rejected)
    near = [value for value, row in zip(prefers, rows, strict=True) if abs(data.gap(row)) <= CLOSE]
    swaps = list(_under_another_query(rows, seed))
    own, other = (_scores(scorer, [swap[side] for swap in swaps]) for side in range(2))
    calibrated = calibration.fit(chosen, rejected, source)
    figures = {
        "pairs": len(rows),
        "accuracy": _mean(prefers),
        "matched_pairs": len(near),
        "matched": _mean(near),
        "longer": _mean([(data.gap(row) > 0) + 0.5 * (data.gap(row) == 0) for row in rows]),
        "reading": _mean(_preferred(own, other)),
        "slope": calibrated.slope if calibrated else None,
    }
    return figures, calibrated


def _under_another_query(rows: Sequence[Row], seed: int) -> Iterator[tuple[Text, Text]]:
    """Each chosen text under its own query, and under one drawn from those that ask for something else."""
    coin = random.Random(seed)  # noqa: S311 - which query is drawn is no secret
    prompts = {data.asks(row): row["prompt"] for row in rows}
    for row in rows:
        others = [prompt for key, prompt in prompts.items() if key != data.asks(row)]
        if others:
            said = data.text(row, "chosen")
            yield (row["prompt"], said), (coin.choice(others), said)


def _scores(scorer: Scorer, texts: Sequence[Text]) -> list[float]:
    return scorer.score([prompt for prompt, _ in texts], [said for _, said in texts])


def _preferred(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    return [(one > other) + 0.5 * (one == other) for one, other in zip(ones, others, strict=True)]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
