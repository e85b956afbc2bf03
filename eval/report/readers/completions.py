"""What a policy wrote in training, step by step, with what each text got and why."""

from collections.abc import Iterator
from typing import Any

from kindling.eval.report.blocks import Section, Words
from kindling.eval.report.browsing import Entry, Reading, Records
from kindling.eval.report.source import Run
from kindling.eval.report.words import number

PARTS = 5  # of a run, to be filtered by
FIXED = ("step", "query", "response", "reward", "why", "verdict")


def browse(run: Run) -> Iterator[Section]:
    """The section of completions; none where no checkpoint has written any."""
    rows = [row for file in sorted((run.path / "completions").glob("step-*.parquet")) for row in _table(file)]
    if not rows:
        return
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["step"] + 1, row["query"]), []).append(row)
    last = max(step for step, _ in groups)
    entries = [_entry(step, query, rows, last) for (step, query), rows in groups.items()]
    said = Words("Each step writes a group of texts to each request; the best of a group come first.")
    yield Section(
        "completions", "What it wrote", (said, Records.of("completions", "group", ("when",), entries, "completions/"))
    )


def _table(file: Any) -> list[dict[str, Any]]:
    from kindling.tables import read_rows

    return read_rows(file, FIXED)


def _entry(step: int, query: str, rows: list[dict[str, Any]], last: int) -> Entry:
    rewards = [row["reward"] for row in rows if row["reward"] is not None]
    ranked = sorted(rows, key=lambda row: -1.0 if row["reward"] is None else row["reward"], reverse=True)
    mean = f"mean reward {number(sum(rewards) / len(rewards))}" if rewards else "no reward"
    part = min((step - 1) * PARTS // last, PARTS - 1)
    ends = [part * last // PARTS + 1, (part + 1) * last // PARTS]
    when = f"steps {ends[0]:,} to {max(ends):,}"
    return Entry(query, ((f"step {step:,}", ""), (mean, "")), (when,), tuple(map(_reading, ranked)), when)


def _reading(row: dict[str, Any]) -> Reading:
    reward = "no reward" if row["reward"] is None else f"reward {row['reward']:.3f}"
    terms = [name for name in row if name not in FIXED and not name.endswith("_reason")]
    said = [(name.replace("_", " "), row.get(f"{name}_reason") or "") for name in terms]
    verdict = str(row["verdict"])
    tone = {"good": "good", "bad": "bad"}.get(verdict, "none")
    return Reading(
        text=row["response"],
        tags=((reward, "accent"), (f"judge: {verdict}", tone)),
        said=tuple((who, what) for who, what in (*said, ("why no reward", row["why"] or "")) if what),
        numbers=tuple((name.replace("_", " "), number(row[name])) for name in terms),
    )
