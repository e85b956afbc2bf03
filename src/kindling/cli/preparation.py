"""What `kindling eval` was asked for, understood and checked before anything is written: models, queries, judges.

What defines a run is who writes, to which queries, and how (`Evaluation.settings`). Judges, certificates, training
files, the tie band and what is long may differ on a resume.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kindling.agents.requests import case_of
from kindling.cli import casting, contestants, evaluators
from kindling.config import Config
from kindling.errors import InputError
from kindling.eval.scorecard.card import ALL
from kindling.eval.scorecard.novelty import Training
from kindling.eval.scorecard.sheets import Row
from kindling.prompts.taskpack import TaskPack, load_pack
from kindling.records import Case
from kindling.tables import read_rows, sha256

GROUPS = ("group", "frequency")  # columns that are taken for groups where they are there


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    models: tuple[str, ...]
    queries: Path
    out: Path
    config: Config
    judges: tuple[str, ...]
    certificates: tuple[Path, ...]
    taught_by: tuple[str, ...]
    allow_reward_judge: bool
    training: tuple[Path, ...]
    samples: int
    column: str
    group: str | None
    limit: int | None
    long: int | None
    band: float
    sampling: dict[str, Any]
    batch: int
    threads: int | None
    seed: int
    compare: bool = False
    resume: bool = False
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that was checked before anything is written."""

    request: Request
    pack: TaskPack
    rows: tuple[Row, ...]
    group: str | None
    entrants: tuple[contestants.Entrant, ...]
    bench: evaluators.Bench
    training: Training | None
    comparer: casting.CastPlan | None = None
    comparer_free_of: tuple[str, ...] = ()

    @property
    def make(self) -> Callable[[str, str], Case]:
        """Makes a case of a query and a response, with its facts measured."""
        return partial(case_of, brief_chars=self.pack.settings.brief_chars)

    def settings(self) -> dict[str, Any]:
        """What defines the run: a resume with anything else here is another run."""
        asked, config = self.request, self.request.config
        writes = any(one.plan for one in self.entrants)
        return {
            "task": config.project.task,
            "queries": {"file": asked.queries.name, "sha256": sha256(asked.queries), "column": asked.column},
            "limit": asked.limit,
            "samples": asked.samples,
            "models": {one.name: one.identity for one in self.entrants},
            "sampling": asked.sampling,
            "seed": asked.seed,
            "retriever": config.retriever.model_dump(mode="json") if writes else None,
        }


def prepare(request: Request) -> Evaluation:
    """Check everything that can be wrong with the input. Raises `UsageError` for the first that is."""
    config = request.config
    pack = load_pack(config.project.task, config.prompts_dir / config.project.task)
    found = contestants.entrants(request.models, config, request.seed, request.taught_by)
    rows, group = _rows(request)
    for one in found:
        if one.recorded is not None:
            contestants.read_texts(one.recorded, rows)
    plans = [casting.plan_cast(config, judge, seed=request.seed) for judge in request.judges]
    models = [one.contestant for one in found]
    bench = evaluators.bench(plans, models, request.certificates, allowed=request.allow_reward_judge)
    training = Training.of(_training_texts(request.training)) if request.training else None
    comparer, free_of = None, tuple[str, ...]()
    if request.compare:
        comparer = casting.plan_cast(config, "llm", seed=request.seed)
        pack.prompt("comparer")
        (judge,) = evaluators.bench([comparer], models, (), allowed=request.allow_reward_judge).judges
        free_of = judge.independent_of
    return Evaluation(request, pack, rows, group, found, bench, training, comparer, free_of)


def _rows(request: Request) -> tuple[tuple[Row, ...], str | None]:
    """Each distinct query with its group, as often as it is asked, and the column that groups come from."""
    column = request.column
    read = read_rows(request.queries, (column,), column)
    group = request.group or next((name for name in GROUPS if name in read[0] and name != column), None)
    groups: dict[str, str] = {}
    for number, row in enumerate(read, 1):
        text = row[column].strip() if isinstance(row[column], str) else ""
        if group is not None and group not in row:
            raise InputError(f"{request.queries}: row {number}: no column {group!r} to tell groups by")
        of = "" if group is None or row[group] is None else str(row[group]).strip()
        if of == ALL:
            raise InputError(f"{request.queries}: row {number}: a group cannot be called {ALL!r}, which is every query")
        if text:
            groups.setdefault(text, of)
    queries = list(groups)[: request.limit]
    if not queries:
        raise InputError(f"{request.queries}: no queries in column {column!r}")
    return tuple(Row(query, index, groups[query]) for query in queries for index in range(request.samples)), group


def _training_texts(files: Sequence[Path]) -> list[str]:
    """The texts that a model may have learned from: of pairs, both."""
    from kindling.rl.training import data

    texts = []
    for file in files:
        path = file / data.IN_RUN["sft"] if file.is_dir() and (file / data.IN_RUN["sft"]).is_file() else file
        pairs = path.is_dir() or (path.suffix != ".txt" and "chosen" in read_rows(path, ())[0])
        found = data.read("rm" if pairs else "sft", path).rows
        texts += [
            data.text(row, name) for row in found for name in (("chosen", "rejected") if pairs else ("completion",))
        ]
    return texts
