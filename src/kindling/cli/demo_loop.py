"""The long demo: round the whole loop with a tiny policy, as the commands that a user would type.

    queries ─ curate ─▶ good texts ─ train sft ─▶ a policy ─ curate its texts ─▶ pairs ─ train rm, fit-judge
                                                      └──────── train grpo ◀─ the judge ─ certify
                                                                    └▶ a better policy, or a breach that says why not

Every step is a command of its own, printed before it runs. The policies are evaluated on the shipped sample queries,
which none of the steps has seen: by the judge that rewarded, which says what was asked for, and by a judge learned from
pairs, which was no part of the reward and says more. The embedded judge does not pass its own certificate; the demo
shows that and trains all the same, with `--uncertified`.
"""

from collections.abc import Sequence
from pathlib import Path

from kindling.cli import console
from kindling.cli.groundwork import LEARNED, groundwork
from kindling.cli.report import write
from kindling.cli.steps import Step, check, is_result, run_step
from kindling.prompts.taskpack import load_pack
from kindling.tables import read_rows

QUERIES = 1200
STEPS = 40
SAMPLED = 200  # queries that the policy writes to for its own pairs
MODELS = ("base=base", "sft=sft", "grpo=grpo")


def go_round(folder: Path, task: str, seed: int) -> int:
    """Run the loop in the new `folder`; returns the exit status."""
    check()
    pack = load_pack(task)
    folder.mkdir(parents=True)
    held_out = [str(row["query"]) for row in read_rows(pack.file("queries.txt"), ("query",), "query")]
    _write_queries(folder, pack.file("queries.toml"), tuple(held_out), seed)
    took: list[tuple[str, str]] = []
    for step in commands(task, seed):
        status, seconds = run_step(step, folder)
        took.append((step.title, console.duration(seconds)))
        if status and not (status == 1 and is_result(step, folder)):
            console.note(f"{step.title} ended with status {status}; what was made lies in {folder}")
            return status
    console.table("Steps", ("step", "took"), took)
    console.note(f"The judges' opinions are rules and statistics, not people.\nOpen {write(folder)} in a browser.")
    return 0


def _write_queries(folder: Path, made_of: Path, held_out: tuple[str, ...], seed: int) -> None:
    from kindling.agents.embedded.queries import QueryWriter

    queries = QueryWriter(made_of).write(QUERIES, seed, held_out)
    for name, texts in (
        ("queries.txt", queries), ("sampled.txt", queries[:SAMPLED]), ("held-out.txt", held_out),
    ):  # fmt: skip
        (folder / name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def commands(task: str, seed: int) -> Sequence[Step]:
    """The loop. Paths are relative to its folder."""
    same = ("--seed", str(seed), "--set", f"project.task={task}")
    queries = ("queries.txt", "--source", "embedded")
    return [
        *groundwork(queries, "sampled.txt", "embedded", ("--base", "base"), seed, same),
        Step(
            "certify",
            ("certify", "--judge", "embedded", "--out", "certificate.json", *same),
            "certificate.json",
            may_fail=True,
        ),
        Step("GRPO", (*_GRPO, *same), "grpo", may_fail=True),
        Step("evaluate", (*_EVALUATE, *same), "eval"),
    ]


_GRPO = (
    "train", "grpo", "--data", "queries.txt", "--model", "sft/model", "--judge", "embedded", "--uncertified",
    "--shadow", LEARNED, "--out", "grpo", "--set", f"train.max_steps={STEPS}",
)  # fmt: skip
_EVALUATE = (
    "eval", *MODELS, "--queries", "held-out.txt", "--judge", LEARNED, "--judge", "embedded",
    "--allow-reward-judge", "--train", "curate", "-n", "2", "--out", "eval",
)  # fmt: skip
