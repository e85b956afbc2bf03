"""The steps that the demo and the experiment have in common: from queries to all that GRPO takes.

    queries ─ curate ─▶ good texts ─ train sft ─▶ a policy ─ curate its texts ─▶ pairs ─ train rm ─▶ a reward model
                          └ fit-judge ─▶ a learned judge

Paths are relative to the folder of the whole.
"""

from collections.abc import Sequence

from kindling.cli.steps import Step

LEARNED = "lexical:learned.npz"


def groundwork(
    queries: Sequence[str],
    sampled: str,
    judge: str,
    start: Sequence[str],
    seed: int,
    same: Sequence[str],
    training: Sequence[str] = (),
) -> list[Step]:
    """The commands, up to GRPO.

    `queries` is the file to curate, with what its curation takes. SFT begins at `start` and writes to the queries of
    `sampled`, for pairs by `judge`. All but fit-judge take the options `same`, the trainings those of `training` too.
    """
    fitted = LEARNED.removeprefix("lexical:")
    source = ("--source", "policy:sft/model", "--judge", judge)
    return [
        Step("curate", ("curate", *queries, "--out", "curate", *same), "curate"),
        Step("SFT", ("train", "sft", "--data", "curate", *start, "--out", "sft", *same, *training), "sft"),
        Step("curate what SFT writes", ("curate", sampled, *source, "--out", "samples", *same), "samples"),
        Step(
            "reward model",
            ("train", "rm", "--data", "samples", "--model", "sft/model", "--out", "rm", *same, *training),
            "rm",
        ),
        Step("learn a judge", ("fit-judge", "curate/pairs.jsonl", "--out", fitted, "--seed", str(seed)), fitted),
    ]
