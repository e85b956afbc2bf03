"""Every completion of a run with what it got and why, as Parquet: a file from one checkpoint to the next.

    RUN/completions/step-00040.parquet    the rows of the steps before checkpoint 40, since the one before
    RUN/completions/step-00040.1.parquet  the same of the second process, and so on

Rows are kept until their checkpoint is made: a run that goes on from a checkpoint writes the rows after it once more,
and under the same name, so that none is there twice and none is missing.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kindling.tables import write_parquet

if TYPE_CHECKING:
    from kindling.rl.rewards.reward import Batch, Row


class Completions:
    """A sink of the reward."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[Row] = []

    def __call__(self, batch: "Batch") -> None:
        """Keep the rows of one call."""
        self._rows += batch.rows

    def write(self, step: int) -> None:
        """Write what has been kept, under the name of checkpoint `step`."""
        if not self._rows:
            return
        rank = int(os.environ.get("RANK", "0"))
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"step-{step:05}.{rank}.parquet" if rank else f"step-{step:05}.parquet"
        write_parquet(self._folder / name, [row.flat() for row in self._rows])
        self._rows.clear()
