"""Bradley-Terry strengths from wins and ties of all pairs of models (R. A. Bradley and M. E. Terry, Biometrika 1952).

The probability that model i wins against j is σ(s_i - s_j); a tie is half a win of either. Strengths are fitted by the
minorise-maximise steps of D. R. Hunter (Ann. Stat. 2004), all resamples at once, with one tie more between every two
models, so that a model that never lost has a finite one; they are centred. The interval is a bootstrap over queries,
drawn for all models together; where every query says the same it has no width, which is no certainty. Models without
a text to compare have no strength.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from kindling.eval.intervals import Estimate, Floats, resample, resampled

ROUNDS = 500
STEPS = 200
CLOSE = 1e-6


def strengths(
    outcomes: Mapping[tuple[int, int], Floats], models: int, clusters: Sequence[str], seed: int
) -> list[Estimate]:
    """Estimate each model's strength; `outcomes` has, for i < j, what i's texts did against j's, row by row.

    1 is a win, 0 a loss, .5 a tie, NaN none of them; `clusters` are the rows' queries.
    """
    names, of = np.unique(np.asarray(clusters), return_inverse=True)
    weights = resample(names.tolist(), seed, ROUNDS)  # (1 + rounds, queries)
    won = np.full((len(weights), models, models), 0.5)  # of i over j, the tie that is added included
    compared = {model for pair, rows in outcomes.items() if not np.isnan(rows).all() for model in pair}
    for (i, j), rows in outcomes.items():
        won[:, i, j] += weights @ np.bincount(of, np.nan_to_num(rows), len(names))
        won[:, j, i] += weights @ np.bincount(of, np.nan_to_num(1 - rows), len(names))
    won[:, np.arange(models), np.arange(models)] = 0
    return [resampled(one) if model in compared else Estimate() for model, one in enumerate(_fit(won).T)]


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
