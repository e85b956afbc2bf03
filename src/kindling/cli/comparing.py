"""Comparing texts of two models directly: every pair of whole texts to one query, in both orders, each asked once.

The model that judges by kindling.toml compares, by a prompt of its own (`comparer.j2`). A pair of texts is the same
pair whichever models wrote them, and equal texts are a tie without being asked about.

    preferences.jsonl   a line each pair of texts that was asked about
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import ClassVar

import numpy as np
from pydantic import ConfigDict

from kindling.agents.budget import Budget
from kindling.agents.comparer import LLMComparer, Preference
from kindling.cli import casting, console, writing
from kindling.cli.appended import Appended
from kindling.eval.scorecard.sheets import Duels, Row, Sheet
from kindling.records import Case
from kindling.runs import RunFolder

NAME = "llm, in pairs"
ROLE = "judge"  # whose section of kindling.toml says which model compares
ORDERS = 2
WORTH = {"one": 1.0, "other": 0.0, "tie": 0.5}
Pair = tuple[str, str, str]
"""A query and two texts, in the order of their characters."""


@dataclass(frozen=True, slots=True)
class PreferenceLine:
    """A line of preferences.jsonl; `one` and `other` are in the order of their characters."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    template: str
    played: str
    query: str
    one: str
    other: str
    preference: Preference


@dataclass(frozen=True, slots=True)
class Comparing:
    """Who compares, what stands so far, and how cases are made."""

    plan: casting.CastPlan
    lines: Appended[PreferenceLine]
    make: Callable[[str, str], Case]

    @property
    def template(self) -> str:
        """The hash of the comparer's prompt."""
        return self.plan.pack.prompt("comparer").hash

    def known(self) -> dict[Pair, Preference]:
        """The last preference of every pair of texts by this prompt and model."""
        found = (one for one in self.lines.records if (one.template, one.played) == (self.template, self.plan.models))
        return {(one.query, one.one, one.other): one.preference for one in found}

    async def ask(
        self,
        pairs: Sequence[Pair],
        run: RunFolder,
        budget: Budget,
        stop: asyncio.Event,
        *,
        retry: bool,
        quiet: bool,
    ) -> None:
        """Ask about the pairs that there is no preference about; on a retry, also those that could not be had."""
        known = self.known()
        waiting = [pair for pair in pairs if pair not in known or (retry and known[pair].better is None)]
        if not waiting or stop.is_set():
            return
        done = 0
        async with casting.open_till(self.plan, run.path / casting.LEDGER, budget) as till:
            assert till.models is not None, "--compare takes a model"
            pack = self.plan.pack
            comparer = LLMComparer(till.models.role(ROLE), pack.prompt("comparer"), pack.settings.language)
            with console.progress(f"{NAME}: compares", len(waiting), quiet=quiet) as advance:

                async def compare(pair: Pair) -> None:
                    nonlocal done
                    query, one, other = pair
                    preference = await comparer.compare(self.make(query, one), self.make(query, other))
                    self.lines.add(PreferenceLine(self.template, self.plan.models, *pair, preference))
                    done += 1
                    advance(done)

                await writing.at_once(waiting, compare, self.plan.config.curate.in_flight, stop)

    def duels(self, rows: Sequence[Row], sheets: Sequence[Sheet], independent_of: tuple[str, ...]) -> Duels:
        """What stands between every two models, row by row."""
        known = self.known()
        won, turned = {}, {}
        for one, other in combinations(sheets, 2):
            found = list(map(partial(_between, known), rows, _texts(one), _texts(other)))
            won[one.name, other.name] = np.array([value for value, _ in found])
            turned[one.name, other.name] = np.array([swapped for _, swapped in found])
        return Duels(NAME, independent_of, won, turned)


def pairs_of(rows: Sequence[Row], sheets: Sequence[Sheet]) -> list[Pair]:
    """The distinct pairs of different texts, in the order of models and rows."""
    found: dict[Pair, None] = {}
    for one, other in combinations(sheets, 2):
        for row, mine, theirs in zip(rows, _texts(one), _texts(other), strict=True):
            if mine is not None and theirs is not None and mine != theirs:
                found[row.query, *_sorted(mine, theirs)] = None
    return list(found)


def _texts(sheet: Sheet) -> list[str | None]:
    """The whole texts of a model, row by row; None where there is none."""
    return [one.text if one.failure is None else None for one in sheet.written]


def _sorted(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def _between(known: Mapping[Pair, Preference], row: Row, mine: str | None, theirs: str | None) -> tuple[float, bool]:
    """What the first text did against the other (1, 0, .5; NaN for nothing known), and whether the order decided."""
    if mine is None or theirs is None:
        return float("nan"), False
    if mine == theirs:
        return WORTH["tie"], False
    found = known.get((row.query, *_sorted(mine, theirs)))
    if found is None or found.better is None:
        return float("nan"), False
    value = WORTH[found.better]
    return value if mine < theirs else 1 - value, found.turned
