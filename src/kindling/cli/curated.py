"""What a curation leaves in its run folder: datasets that TRL reads as they are, all records, and a dataset card.

    pairs.jsonl, pairs.parquet   preference pairs, TRL's conversational format
    sft.jsonl, sft.parquet       the best good response of each query that has one
    records.jsonl                every input row with every candidate and its whole debate, dropped rows too
    README.md                    the dataset card; its configurations make `load_dataset(RUN, "pairs")` work

All files are in the order of the input, so the same run writes the same bytes. Everything is rewritten at every stop of
a run, finished or not: what stands so far is always usable.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kindling.eval.length_bias import LengthBias, length_bias
from kindling.records import Judgement, Outcome
from kindling.rl.formats import preference_row, sft_row
from kindling.tables import atomic_file, write_jsonl, write_parquet


@dataclass(slots=True)
class Datasets:
    """The rows of the datasets and the counts of what became of every input row.

    `troubles` counts why verdicts are unscored and rows failed.
    """

    pairs: list[dict[str, Any]] = field(default_factory=list)
    sft: list[dict[str, Any]] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    texts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> Outcome:
        """Take one outcome in and hand it on, so that a stream of outcomes is read once."""
        self.statuses[outcome.status] += 1
        self.reasons[outcome.status, outcome.reason] += 1
        self.verdicts.update(one.verdict.label or "unscored" for one in outcome.judgements)
        self.troubles.update(one.verdict.unscored for one in outcome.judgements if one.verdict.unscored)
        if outcome.status == "failed":
            # what befell the first candidate speaks for the row; records.jsonl has all of it
            self.troubles[outcome.detail.partition("; ")[0]] += 1
        for pair in outcome.pairs:
            self.pairs.append(preference_row(pair))
            self.texts.append((pair.chosen, pair.rejected))
        best = best_good(outcome.judgements)
        if best is not None:
            self.sft.append(sft_row(outcome.query, best))
        return outcome

    def bias(self) -> LengthBias | None:
        """How far length alone decides the pairs."""
        return length_bias(self.texts)


def best_good(judgements: Iterable[Judgement]) -> Judgement | None:
    """The good response with the highest score; of equals the first."""
    good = [one for one in judgements if one.verdict.label == "good"]
    return max(good, key=lambda one: (one.verdict.score or 0, -one.candidate.index), default=None)


def write_datasets(folder: Path, outcomes: Iterable[Outcome], title: str, language: str, facts: list[str]) -> Datasets:
    """Write every file from `outcomes`, which come in input order; `facts` are lines for the card."""
    data = Datasets()
    write_jsonl(folder / "records.jsonl", (data.add(outcome) for outcome in outcomes))
    for name, rows in (("pairs", data.pairs), ("sft", data.sft)):
        write_jsonl(folder / f"{name}.jsonl", rows)
        if rows:
            write_parquet(folder / f"{name}.parquet", rows)
        else:
            # Parquet without rows has no columns either; a stale file of an earlier stop would be worse than none
            (folder / f"{name}.parquet").unlink(missing_ok=True)
    with atomic_file(folder / "README.md") as file:
        file.write(_card(data, title, language, facts).encode())
    return data


def _card(data: Datasets, title: str, language: str, facts: list[str]) -> str:
    """The dataset card, with the front matter that the datasets library reads."""
    configs = [
        f"- config_name: {name}\n  data_files: {name}.parquet" for name in ("pairs", "sft") if getattr(data, name)
    ]
    front = [f"language: {language}", "tags: [preference, kindling]", *(["configs:", *configs] if configs else [])]
    bias = data.bias()
    lines = [
        "---", *front, "---", "", f"# {title}", "",
        "Made by `kindling curate`: candidates drawn for each query, each debated and judged by AI agents, and paired",
        "only where the scores differ. The labels are the judge's, not people's.", "",
        "| file | rows | what |", "|---|---|---|",
        f"| pairs.jsonl, pairs.parquet | {len(data.pairs)} | `prompt`, `chosen`, `rejected` and their provenance |",
        f"| sft.jsonl, sft.parquet | {len(data.sft)} | `messages`: the best good response of a query |",
        f"| records.jsonl | {data.statuses.total()} | every input row with every candidate and its debate |", "",
        "## What became of the rows", "",
        *(f"- {status}, {reason}: {count}" for (status, reason), count in sorted(data.reasons.items())), "",
        "## What length decides", "", _bias_line(bias), "",
        "## How it was made", "", *(f"- {fact}" for fact in facts), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _bias_line(bias: LengthBias | None) -> str:
    if bias is None:
        return "There are no pairs."
    return (
        f"The longer text is the chosen one in {bias.longer_chosen:.1%} of {bias.pairs} pairs (95 % interval"
        f" {bias.low:.1%} to {bias.high:.1%}; {bias.equal} of equal length count half). Mean length in characters:"
        f" chosen {bias.mean_chosen:.1f}, rejected {bias.mean_rejected:.1f}."
    )
