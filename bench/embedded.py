"""Curate with the embedded cast, twice: rows a second, the same bytes, what length decides."""

import tempfile
from pathlib import Path

from bench.measured import kindling

ROWS = 2000


def run(queries: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        common = (str(queries.resolve()), "--limit", str(ROWS), "--candidates", "4", "--seed", "7")
        first, second = (kindling("curate", *common, "--out", name, cwd=here) for name in ("a", "b"))
        same = all(
            (here / f"a/{f}").read_bytes() == (here / f"b/{f}").read_bytes() for f in ("pairs.jsonl", "sft.jsonl")
        )
        counts = first.answer["rows"]
        print(f"rows: {counts}, together {sum(counts.values())}")
        for one in (first, second):
            rate = sum(counts.values()) / one.wall_s
            print(f"{one.wall_s:.1f} s wall, {one.cpu_s:.1f} s CPU, {one.peak_mb:.0f} MB: {rate:.0f} rows/s")
        bias = first.answer["length_bias"]
        print(f"pairs: {bias['pairs']}; the longer text chosen in {bias['longer_chosen']:.1%}")
        print(f"twice the same bytes: {same}")
