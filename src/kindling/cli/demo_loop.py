"""The long demo: round the whole loop with a policy of 4 M parameters, as the commands that a user would type.

    queries ─ curate ─▶ good texts ─ train sft ─▶ a policy ─ curate its texts ─▶ pairs ─ train rm, fit-judge
                                                      └──────── train grpo ◀─ the judge ─ certify
                                                                    └▶ a better policy, or a breach that says why not

Every step is a command of its own, printed before it runs. The policy is measured on the shipped sample queries, which
none of the steps has seen: by the judge that rewarded it, which says what was asked for, and by a judge learned from
pairs, which was no part of the reward and says more. The embedded judge does not pass its own certificate; the demo
shows that and trains all the same, with `--uncertified`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kindling.cli import console
from kindling.config import FILE
from kindling.errors import ConfigError, UsageError
from kindling.prompts.taskpack import load_pack
from kindling.tables import read_rows

QUERIES = 600
STEPS = 40
SAMPLED = 200  # queries that the policy writes to for its own pairs
THREADS = "2"


@dataclass(frozen=True, slots=True)
class Step:
    """A command and how it may end: `kindling certify` says 1 where the judge fails."""

    title: str
    arguments: tuple[str, ...]
    may_end: tuple[int, ...] = (0,)


def go_round(folder: Path, task: str, seed: int) -> int:
    """Run the loop in the new `folder`; returns the exit status."""
    _check()
    pack = load_pack(task)
    folder.mkdir(parents=True)
    (folder / FILE).write_text(f'[project]\ntask = "{task}"\n', encoding="utf-8")
    held_out = [str(row["query"]) for row in read_rows(pack.file("queries.txt"), ("query",), "query")]
    _write_queries(folder, pack.file("queries.toml"), tuple(held_out), seed)
    took: list[tuple[str, str]] = []
    for step in _steps(seed):
        console.note(f"\n$ kindling {' '.join(step.arguments)}")
        started = time.monotonic()
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "kindling", *step.arguments],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", THREADS)},
            check=False,
        )
        took.append((step.title, console.duration(time.monotonic() - started)))
        if done.returncode not in step.may_end:
            console.note(f"{step.title} ended with status {done.returncode}; what was made lies in {folder}")
            return done.returncode
    _show(folder, took)
    return 0


def _check() -> None:
    """See that what trains is installed. Raises `ConfigError`."""
    from importlib.util import find_spec

    if missing := [name for name in ("torch", "trl") if find_spec(name) is None]:
        raise ConfigError(f"{missing[0]} is not installed: pip install 'kindling[train]', or leave --train out")


def _write_queries(folder: Path, made_of: Path, held_out: tuple[str, ...], seed: int) -> None:
    from kindling.agents.embedded.queries import QueryWriter

    queries = QueryWriter(made_of).write(QUERIES, seed, held_out)
    for name, texts in (
        ("queries.txt", queries), ("sampled.txt", queries[:SAMPLED]), ("held-out.txt", held_out),
    ):  # fmt: skip
        (folder / name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def _steps(seed: int) -> list[Step]:
    """The loop. Paths are relative to its folder."""
    same = ("--seed", str(seed))
    learned = "lexical:shadow.npz"
    grpo = (
        "train", "grpo", "--data", "queries.txt", "--model", "sft/model", "--judge", "embedded", "--rm", "rm/model",
        "--uncertified", "--shadow", learned, "--out", "grpo", "--set", f"train.max_steps={STEPS}", *same,
    )  # fmt: skip
    return [
        Step("curate", ("curate", "queries.txt", "--source", "embedded", "--out", "curate", *same)),
        Step("SFT, base included", ("train", "sft", "--data", "curate", "--base", "base", "--out", "sft", *same)),
        Step(
            "curate what it writes",
            ("curate", "sampled.txt", "--source", "policy:sft/model", "--judge", "embedded", "--out", "samples", *same),
        ),
        Step("reward model", ("train", "rm", "--data", "samples", "--model", "sft/model", "--out", "rm", *same)),
        Step("learn a judge", ("fit-judge", "curate/pairs.jsonl", "--out", "shadow.npz", *same)),
        Step("certify", ("certify", "--judge", "embedded", "--out", "certificate.json", *same), (0, 1)),
        Step("GRPO", grpo, (0, 1)),
        *(_write(name, model, same) for name, model in MODELS.items()),
        *(
            Step(f"judge {name}", ("judge", f"{name}.jsonl", "--judge", judge, "--out", f"{name}.{kind}.jsonl"))
            for name in MODELS
            for kind, judge in (("embedded", "embedded"), ("learned", learned))
        ),
    ]


MODELS = {"base": "base", "sft": "sft/model", "grpo": "grpo/model"}


def _write(name: str, model: str, same: tuple[str, ...]) -> Step:
    return Step(f"{name} writes", ("generate", model, "held-out.txt", "-n", "2", "--out", f"{name}.jsonl", *same))


def _show(folder: Path, took: Sequence[tuple[str, str]]) -> None:
    """The tables at the end."""
    console.table("Steps", ("step", "took"), list(took))
    rows = []
    for name in MODELS:
        texts = [str(row["response"]) for row in read_rows(folder / f"{name}.jsonl", ("response",))]
        shares = (_good(folder / f"{name}.{kind}.jsonl") for kind in ("embedded", "learned"))
        length = sum(map(len, texts)) / len(texts)
        rows.append((name, len(texts), *shares, f"{length:.0f}", f"{len(set(texts)) / len(texts):.0%}"))
    columns = ("model", "texts", "the reward's judge", "another judge", "characters", "different")
    console.table("Called good, on sample queries that no step has seen, by", columns, rows)
    console.note(f"everything lies in {folder}; the judges' opinions are rules and statistics, not people")


def _good(file: Path) -> str:
    """The share of good among the texts that have a verdict."""
    verdicts = [row["verdict"] for row in read_rows(file, ("verdict",)) if row["verdict"] != "unscored"]
    if not verdicts:
        raise UsageError(f"{file}: no text has a verdict")
    return f"{verdicts.count('good') / len(verdicts):.0%}"
