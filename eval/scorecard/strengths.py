"""Bradley-Terry strengths from wins and ties of all pairs of models (R. A. Bradley and M. E. Terry, Biometrika 1952).

The probability that model i wins against j is σ(s_i - s_j); a tie is half a win of either. Strengths are fitted by the
minorise-maximise steps of D. R. Hunter (Ann. Stat. 2004), all resamples at once, with one tie more between every two
models, so that a model that never lost has a finite one; they are centred. The interval is a bootstrap over queries,
drawn for all models together.
"""

from collections.abc import Sequence

import numpy as np

from kindling.eval.intervals import Estimate, Floats, resample, resampled

ROUNDS = 500
STEPS = 200
CLOSE = 1e-6


def strengths(scores: Sequence[Floats], clusters: Sequence[str], band: float, seed: int) -> list[Estimate]:
    """Estimate each model's strength from its scores in [0, 1] of the same rows, NaN where there is none."""
    table = np.stack(scores)  # (models, rows)
    names, of = np.unique(np.asarray(clusters), return_inverse=True)
    weights = resample(names.tolist(), seed, ROUNDS)  # (1 + rounds, queries)
    models = len(table)
    won = np.full((len(weights), models, models), 0.5)  # of i over j, the tie that is added included
    for i in range(models):
        for j in range(models):
            if i != j:
                won[:, i, j] += weights @ np.bincount(of, _won(table[i], table[j], band), len(names))
    won[:, np.arange(models), np.arange(models)] = 0
    return [resampled(one) for one in _fit(won).T]


def _won(one: Floats, other: Floats, band: float) -> Floats:
    """1 for a win of a row, .5 for a tie, 0 for a loss or where a score is missing; shape (rows,)."""
    gap = one - other
    outcome: Floats = np.where(np.isnan(gap), 0.0, np.where(gap > band, 1.0, np.where(gap < -band, 0.0, 0.5)))
    return outcome


def _fit(won: Floats) -> Floats:
    """The strengths of every resample; `won` is (resamples, models, models), the result (resamples, models)."""
    met = won + won.transpose(0, 2, 1)
    worth = np.ones(won.shape[:2])
    for _ in range(STEPS):
        updated = won.sum(axis=2) / (met / (worth[:, :, None] + worth[:, None, :])).sum(axis=2)
        updated /= np.exp(np.log(updated).mean(axis=1, keepdims=True))
        still = np.abs(np.log(updated) - np.log(worth)).max() < CLOSE
        worth = updated
        if still:
            break
    logs: Floats = np.log(worth)
    return logs
