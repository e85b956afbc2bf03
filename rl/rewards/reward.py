"""The reward as a trainer calls it, and the record of everything that it rewarded.

TRL's GRPO trainer awaits `reward(prompts=…, completions=…, **columns)` once a batch and turns None into NaN. As the
*only* reward function of the run that is what is wanted: the row gets advantage 0 and its group's mean and standard
deviation are taken without it. (Beside a second function, TRL would sum None as 0; hence one function for all terms.)

No exception leaves a call. A term that fails makes the batch's rows None and is logged; what no later call could mend
(no key, no server, the budget) is put down in `stopped`, from then on every row is None, and the run is to be stopped
by whoever watches it (`kindling.rl.firewall`).
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from kindling.errors import BudgetSpent, UsageError
from kindling.records import Label
from kindling.rl.rewards.length_control import LengthControl, Lengths, Rated
from kindling.rl.rewards.shape import CaseOf, asks_for_size
from kindling.rl.rewards.terms import Answer, Gate, Score, Weighted

LOG = logging.getLogger("kindling.rl.rewards")
UNREAD = ValueError("the batch cannot be read")


@dataclass(frozen=True, slots=True)
class Row:
    """One completion with what it got. `reward` is None where a term failed, and `why` says which and why.

    `scores` has (term, value, reason) of every term; `label` is the judge's. `step` is the trainer's global step when
    the text was written.
    """

    step: int
    query: str
    response: str
    reward: float | None
    why: str
    label: Label | None
    scores: tuple[tuple[str, float | None, str], ...]

    def flat(self) -> dict[str, Any]:
        """The row for a table: a column a term, and one for its reason."""
        columns: dict[str, Any] = {}
        for name, value, reason in self.scores:
            columns |= {name: value, f"{name}_reason": reason}
        fixed = {"step": self.step, "query": self.query, "response": self.response, "reward": self.reward}
        return {**fixed, "why": self.why, "verdict": self.label or "unscored", **columns}


@dataclass(frozen=True, slots=True)
class Batch:
    """One call: its rows in the trainer's order, and the wall-clock `seconds` that it took, watches included."""

    step: int
    rows: tuple[Row, ...]
    seconds: float


Said = list[tuple[str, str]]
"""(query, text) pairs."""


class Watch(Protocol):
    """Looks at each batch while it is rewarded, and has no influence on the rewards."""

    async def watch(self, step: int, answers: Sequence[Answer]) -> None:
        """Judge whatever is to be judged besides; `UsageError` and `BudgetSpent` stop the reward like a term's."""
        ...


class Reward:
    """An async reward function for TRL's GRPO trainer, to be its only one.

    `qualities` and `gates` are the terms (the package's docstring has the formula), `case_of` measures a text's facts,
    `watches` go along with every batch, `sink` is handed each batch for good (a log), and `drain` gives those since the
    last `drain` to whoever checks the run. `gather` makes one list of the lists of all processes; each calls it twice a
    batch, whatever fails, so that none waits for another. `lengths` are held by `LengthControl`; none: left alone.
    `failures` counts the reasons of None rows, `stopped` is the line of what ended scoring for good.
    """

    def __init__(
        self,
        qualities: Sequence[Weighted],
        gates: Sequence[Gate],
        case_of: CaseOf,
        *,
        watches: Sequence[Watch] = (),
        sink: Callable[[Batch], None] | None = None,
        gather: Callable[[list[Any]], list[Any]] = list,
        lengths: Lengths | None = None,
    ) -> None:
        """Raises `ValueError` without a quality, or if two terms have one name."""
        names = [*(part.term.name for part in qualities), *(part.term.name for part in gates)]
        if not qualities or len(set(names)) < len(names) or any(part.weight <= 0 for part in qualities):
            raise ValueError(f"a reward has qualities with weights above 0, and terms with names of their own: {names}")
        self.__name__ = "kindling"  # how TRL names its metrics: rewards/kindling/mean
        self.failures: Counter[str] = Counter()
        self.stopped: str | None = None
        self._qualities = tuple(qualities)
        self._gates = tuple(gates)
        self._terms = [*(part.term for part in qualities), *(part.term for part in gates)]
        self._case_of = case_of
        self._watches = tuple(watches)
        self._sink = sink
        self._gather = gather
        self._lengths = lengths or Lengths(strength=0.0)
        self._batches: list[Batch] = []
        self._calls = 0

    async def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """The reward of each completion: texts, or conversations whose last assistant turn is the text.

        The query is the column `query`, or else the prompt (its last user turn, where it is a conversation). TRL's
        `trainer_state` tells the step, `log_metric` takes the means of the terms.
        """
        started = time.monotonic()
        state = columns.get("trainer_state")
        step = state.global_step if state is not None else self._calls
        self._calls += 1
        queries = columns.get("query") or [text_of(prompt, "user") for prompt in prompts]
        texts = [text_of(completion, "assistant") for completion in completions]
        answers = self._answers(queries, texts, self._gather(list(zip(queries, texts, strict=True))))
        scores = await self._score(step, answers) if answers else [_all_failed(UNREAD, len(texts))] * len(self._terms)
        each = [[one[place] for one in scores] for place in range(len(texts))]
        rewards, control = await self._controlled(answers, [self._composed(one) for one in each])
        rows = tuple(map(partial(self._row, step), queries, texts, each, rewards))
        self._keep(Batch(step, rows, time.monotonic() - started), control, columns.get("log_metric"))
        return [row.reward for row in rows]

    def drain(self) -> list[Batch]:
        """The batches since the last call, oldest first."""
        batches, self._batches = self._batches, []
        return batches

    def _answers(self, queries: Sequence[str], texts: Sequence[str], everywhere: Said) -> list[Answer]:
        """The batch with its measured facts; empty if it cannot be read."""
        groups = {query: place for place, query in enumerate(dict.fromkeys(queries))}
        elsewhere = {query: tuple(one for one in everywhere if one[0] != query) for query in groups}
        try:
            return [
                Answer(query, text, self._case_of(query, text), groups[query], elsewhere[query])
                for query, text in zip(queries, texts, strict=True)
            ]
        except Exception:
            LOG.exception("the batch cannot be read")
            return []

    async def _score(self, step: int, answers: Sequence[Answer]) -> list[list[Score]]:
        """The scores of each term, in order. Everything that failed is a score without value."""
        if self.stopped is not None:
            return [[Score(None, self.stopped)] * len(answers)] * len(self._terms)
        asked = [
            *(term.score(answers) for term in self._terms),
            *(watch.watch(step, answers) for watch in self._watches),
        ]
        results: list[list[Score] | BaseException | None] = await asyncio.gather(*asked, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                self._failed(result)
        return [_checked(result, len(answers)) for result in results[: len(self._terms)]]

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, (UsageError, BudgetSpent)):
            self.stopped = self.stopped or str(error)
        else:
            LOG.error("a part of the reward failed: %s", error, exc_info=error)

    def _composed(self, scores: Sequence[Score]) -> float | None:
        """The formula of the package's docstring, from an answer's scores; None if any has no value."""
        values = [score.value for score in scores if score.value is not None]
        if len(values) < len(scores):
            return None
        parts = zip(self._qualities, values, strict=False)
        reward = sum(part.weight * value for part, value in parts) / sum(part.weight for part in self._qualities)
        for gate, value in zip(self._gates, values[len(self._qualities) :], strict=True):
            reward *= 1 - gate.strength * (1 - value)
        return reward

    async def _controlled(
        self, answers: Sequence[Answer], rewards: Sequence[float | None]
    ) -> tuple[list[float | None], LengthControl]:
        """The rewards without what lengths explain of them, and the control; as they are where a size was asked for."""
        rated = {
            place: Rated(answer.query, len(answer.response), reward, await self._usual(answer.query))
            for place, (answer, reward) in enumerate(zip(answers, rewards, strict=False))
            if reward is not None and not asks_for_size(answer.case)
        }
        control = LengthControl(self._gather(list(rated.values())), self._lengths.strength, self._lengths.before)
        return [control(rated[place]) if place in rated else one for place, one in enumerate(rewards)], control

    async def _usual(self, query: str) -> float | None:
        try:
            return await self._lengths.usual(query)
        except Exception:  # the other processes wait for this one's batch
            LOG.exception("the usual length of answers to a query is not known")
            return None

    def _row(self, step: int, query: str, text: str, scores: Sequence[Score], reward: float | None) -> Row:
        named = list(zip((term.name for term in self._terms), scores, strict=True))
        failed = [f"{name}: {score.reason}" for name, score in named if score.value is None]
        label = next((score.label for score in scores if score.label is not None), None)
        record = tuple((name, score.value, score.reason) for name, score in named)
        return Row(step, query, text, reward, "; ".join(failed), label, record)

    def _keep(self, batch: Batch, control: LengthControl, log_metric: Callable[[str, float], None] | None) -> None:
        self.failures.update(row.why for row in batch.rows if row.reward is None)
        self._batches.append(batch)
        if log_metric is not None and batch.rows:
            lengths = {"reward_terms/per_character": control.slope, "reward_terms/length_drift": control.drift}
            for name, value in {**_means(batch.rows), **lengths}.items():
                log_metric(name, value)
        if self._sink is not None:
            try:
                self._sink(batch)
            except Exception:  # a full disk loses the log, not the run
                LOG.exception("the batch of step %d could not be logged", batch.step)


def text_of(message: str | Sequence[Mapping[str, Any]], role: str) -> str:
    """The text itself, or what the last message of `role` in a conversation says; empty where there is none."""
    if isinstance(message, str):
        return message
    return next((str(turn["content"]) for turn in reversed(message) if turn.get("role") == role), "")


def _checked(result: list[Score] | BaseException | None, count: int) -> list[Score]:
    """A term's scores, with whatever is no score in [0, 1] turned into a failure."""
    if isinstance(result, BaseException):
        return _all_failed(result, count)
    if result is None or len(result) != count:
        return [Score(None, f"it gave {len(result or ())} scores for {count} answers")] * count
    return [
        score if score.value is None or 0 <= score.value <= 1 else Score(None, f"its value is {score.value}")
        for score in result
    ]


def _all_failed(error: BaseException, count: int) -> list[Score]:
    return [Score(None, f"{type(error).__name__}: {error}")] * count


def _means(rows: Sequence[Row]) -> dict[str, float]:
    """Metrics of a batch: the mean of every term over the rows that it scored, and the share of unscored rows."""
    means = {"reward_terms/unscored": sum(row.reward is None for row in rows) / len(rows)}
    for place, (name, _, _) in enumerate(rows[0].scores):
        values = [value for row in rows if (value := row.scores[place][1]) is not None]
        if values:
            means[f"reward_terms/{name}"] = sum(values) / len(values)
    return means
