"""`python -m bench.refine LABELLED... [--seeds N] [--shuffled N] [--ablations] [--figure SVG]`: measure the game.

Plays it with the embedded cast from the six weak principles, on each labelled file (given by path; none but the pack's
own is shipped), and prints what the test cases say of the first and of the last judge, what was proposed and accepted,
and how long it took. With `--shuffled`, labels are shuffled first: whatever is accepted then is a slip of the gate.
With `--ablations`, one seed is played without each part in turn. `--figure` draws the first game's history.
"""

import argparse
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from bench.measured import Measured, kindling
from kindling.eval.labelled import read_labelled

ARMS: dict[str, tuple[str, ...]] = {
    "whole": (),
    "no gate": ("--no-gate",),
    "no reflection": ("--no-reflect",),
    "per item": ("--per-item",),
    "debate": ("--judge", "debate"),
    "debate, no positive": ("--judge", "debate", "--no-positive"),
    "debate, no negative": ("--judge", "debate", "--no-negative"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.refine", description=__doc__)
    parser.add_argument("labelled", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--shuffled", type=int, default=0)
    parser.add_argument("--ablations", action="store_true")
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    for place, file in enumerate(given.labelled):
        for seed in range(given.seeds):
            with played(file, seed, given.rounds) as (game, folder):
                print(line(f"{file.name}, seed {seed}", game, folder), flush=True)
                if given.figure and not place and not seed:
                    draw(folder, given.figure)
        slips = 0
        for seed in range(given.shuffled):
            with shuffled(file, seed) as mixed, played(mixed, seed, given.rounds) as (game, folder):
                slips += game.answer["counts"]["accepted"] > 0
                print(line(f"{file.name}, labels shuffled, seed {seed}", game, folder), flush=True)
        if given.shuffled:
            print(f"{file.name}: {slips} of {given.shuffled} games accepted anything on shuffled labels")
        for arm, flags in ARMS.items() if given.ablations else ():
            with played(file, 0, given.rounds, *flags) as (game, folder):
                print(line(f"{file.name}, {arm}", game, folder), flush=True)


@contextmanager
def played(file: Path, seed: int, rounds: int, *flags: str) -> Iterator[tuple[Measured, Path]]:
    """What one game cost and came to, and its run folder; played as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        given = [
            "--labelled",
            file.resolve(),
            "--principles",
            "weak",
            "--seed",
            seed,
            "--rounds",
            rounds,
            "--out",
            "run",
        ]
        yield kindling("refine", *map(str, given), *flags, cwd=Path(folder)), Path(folder) / "run"


def line(title: str, game: Measured, folder: Path) -> str:
    """One game in one line."""
    first, last = (orjson.loads((folder / f"certificate-{name}.json").read_bytes()) for name in ("first", "last"))
    before, after = (one["findings"]["agreement"] for one in (first, last))
    moved = ", ".join(
        f"{name} {_value(before[key])} → {_value(after[key])}"
        for name, key in (("κ", "kappa"), ("AUC", "auc"), ("accuracy", "accuracy"), ("F1", "f1"))
    )
    counts = game.answer["counts"]
    refused = ", ".join(f"{why} {many}" for why, many in counts["refusals"].items()) or "none"
    return (
        f"{title}: {moved}; p {game.answer['test']['p']:.4f}; {counts['accepted']} of {counts['proposed']} accepted "
        f"(refused: {refused}); {counts['hard_negatives']} hard negatives; "
        f"{counts['asked'].get('judge', 0):,} judgements; {game.wall_s:.1f} s"
    )


def _value(estimate: dict[str, Any]) -> str:
    return "–" if estimate["value"] is None else f"{estimate['value']:.3f}"


@contextmanager
def shuffled(file: Path, seed: int) -> Iterator[Path]:
    """The file with its labels dealt out anew, whatever they were."""
    cases = read_labelled(file)
    labels = [case.label for case in cases]
    random.Random(seed).shuffle(labels)
    rows = [
        {"query": case.query, "response": case.response, "label": label}
        for case, label in zip(cases, labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        mixed = Path(folder) / "shuffled.jsonl"
        mixed.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        yield mixed


def draw(folder: Path, figure: Path) -> None:
    """Draw a game's history: what became of the forgeries, and what every proposal measured on the validation cases."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    rounds = [orjson.loads(row) for row in (folder / "history.jsonl").read_bytes().splitlines()]
    numbers = [one["number"] for one in rounds]
    _, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(7, 5), layout="constrained")
    caught = [one["caught"] for one in rounds]
    above.bar(numbers, caught, color="#4c78a8", label="caught")
    above.bar(numbers, [len(one["fooled"]) for one in rounds], bottom=caught, color="#e45756", label="fooled the judge")
    above.set_ylabel("forgeries")
    above.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    for one in rounds:
        for proposal in one["proposals"]:
            decision = proposal["decision"]
            if decision["kappa"] is None:
                continue
            accepted = not decision["refusals"]
            colour, style = ("#54a24b", "-") if accepted else ("#9d9d9d", ":")
            below.plot([one["number"] - 0.3, one["number"] + 0.3], decision["kappa"], style, color=colour, marker="o")
            said = "accepted" if accepted else ", ".join(decision["refusals"])
            below.annotate(
                said,
                (one["number"] + 0.3, decision["kappa"][1]),
                textcoords="offset points",
                xytext=(0, 8),
                ha="center",
                fontsize=8,
            )
    below.set_ylabel("κ on validation: before, after")
    below.set_xlabel("round")
    below.set_xticks(numbers)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    pyplot.savefig(figure, metadata={"Date": None})


if __name__ == "__main__":
    main()
