"""`kindling fit-judge`: a judge learned from pairs or labelled cases, in seconds, and what it is worth.

Every figure is out of fold: what parts of the judge that had not seen a text, nor any other text for its request, said
about it. Beside each stands what the length of the text alone reaches, and AUC once more on a subset in which length
says nothing. Nothing is written before everything is known to work.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kindling.cli import options

if TYPE_CHECKING:
    from kindling.agents.lexical.training import Fitted
    from kindling.records import LabelledCase


def fit_judge(
    file: Annotated[
        Path,
        typer.Argument(help="Pairs (query or prompt, chosen, rejected) or cases (query, response, label)."),
    ],
    out: Annotated[Path, typer.Option(help="The judge to write, .npz; must not exist.")],
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Learn a judge from preference pairs or labelled cases: no network, no GPU. Use it as --judge lexical:OUT.

    [bold]Examples[/bold]

    kindling fit-judge runs/first/pairs.jsonl --out judge.npz

    kindling judge responses.csv --out judged.jsonl --judge lexical:judge.npz
    """
    import time

    from kindling.agents.lexical.storage import save
    from kindling.agents.lexical.training import fit
    from kindling.cli import console
    from kindling.errors import InputError
    from kindling.tables import check_new_file

    check_new_file(out, ".npz")
    cases = _cases(file)
    started = time.monotonic()
    try:
        fitted = fit(cases, seed)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    seconds = time.monotonic() - started
    figures = _figures(fitted, seed)
    digest = save(fitted.model, out)
    summary = {"out": str(out), "sha256": digest, "seconds": round(seconds, 1), "dropped": fitted.dropped, **figures}
    if json:
        console.answer(summary)
    else:
        _show(summary)


def _cases(file: Path) -> "tuple[LabelledCase, ...]":
    """Read the file as what its columns say it is; a pair is two cases."""
    from kindling.errors import InputError
    from kindling.eval.labelled import read_labelled, read_pairs
    from kindling.records import LabelledCase
    from kindling.tables import read_rows

    columns = read_rows(file, ())[0]
    if "label" in columns:
        return read_labelled(file)
    if "chosen" not in columns:
        there = ", ".join(sorted(str(name) for name in columns))
        raise InputError(f"{file}: neither pairs (chosen, rejected) nor labelled cases (label); it has {there}")
    return tuple(
        case
        for pair in read_pairs(file)
        for case in (LabelledCase(pair.query, pair.chosen, "good"), LabelledCase(pair.query, pair.rejected, "bad"))
    )


def _figures(fitted: "Fitted", seed: int) -> dict[str, Any]:
    """Measure the out-of-fold scores: shares and AUCs in [0, 1]; None where there is nothing to measure on."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    from kindling.eval.baselines import length_matched

    good = np.array([case.label == "good" for case in fitted.cases])
    lengths = np.array([len(case.response) for case in fitted.cases])
    matched = np.array(length_matched(fitted.cases, seed), dtype=int)

    def auc(scores: Any, rows: Any) -> float | None:
        return float(roc_auc_score(good[rows], scores[rows])) if len(rows) else None

    everything = np.arange(len(good))
    # where shorter texts are the better ones, length predicts just as well, the other way round
    direction = 1 if roc_auc_score(good, lengths) >= 0.5 else -1
    return {
        "cases": len(good),
        "good": int(good.sum()),
        "accuracy": float(((fitted.scores > 0.5) == good).mean()),
        "auc": auc(fitted.scores, everything),
        "auc_length_alone": auc(direction * lengths, everything),
        "matched_cases": len(matched),
        "auc_matched": auc(fitted.scores, matched),
        "auc_matched_length_alone": auc(direction * lengths, matched),
        "own_request_preferred": float(((fitted.own > fitted.other) + (fitted.own == fitted.other) / 2).mean()),
    }


def _show(summary: dict[str, Any]) -> None:
    from kindling.cli import console

    dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(summary["dropped"].items())) or "none"
    console.note(f"learned from {summary['cases']} cases, {summary['good']} of them good; dropped: {dropped}\n")
    matched = f"AUC, {summary['matched_cases']} of matched length"
    rows = [
        (f"AUC, all {summary['cases']}", summary["auc"], summary["auc_length_alone"]),
        (matched, summary["auc_matched"], summary["auc_matched_length_alone"]),
        ("accuracy", summary["accuracy"], None),
        ("own request preferred to another", summary["own_request_preferred"], 0.5),
    ]
    shown = [(name, *("" if value is None else f"{value:.3f}" for value in values)) for name, *values in rows]
    console.table("Cross-validated, by request", ("", "judge", "length alone"), shown)
    console.note(f"{summary['out']} written in {console.duration(summary['seconds'])}; use it as")
    console.note(f"  --judge lexical:{summary['out']}")
