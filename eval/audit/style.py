"""Surface style as numbers: TF-IDF of character 1- to 3-grams, and logistic regressions on them.

Pairs are learned from as differences, chosen minus rejected and without intercept, which is the Bradley–Terry model
(Bradley and Terry, Biometrika 1952); labelled cases with an intercept. Rows are normalised to length one, so the number
of characters enters only through which n-grams occur. `out_of_fold` scores every text with a model that has not seen
its query, so that nothing is won by remembering.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from kindling.eval.audit.dataset import Dataset
from kindling.eval.baselines import FOLDS, folds
from kindling.records import LabelledCase

FEWEST = 10  # texts of either label: below that a cross-validated figure is noise
_FEATURES = 200_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Names = NDArray[np.str_]


@dataclass(frozen=True)
class Styled:
    """A labelled file in numbers: `style` (texts, n-grams), `good` and `length` in characters (texts,); as cases."""

    data: Dataset
    style: csr_matrix
    good: Ints
    length: Ints
    cases: list[LabelledCase]

    @property
    def paired(self) -> bool:
        """Whether texts 2i and 2i + 1 are the chosen and the rejected one of a pair."""
        return self.data.kind == "pairs"

    @property
    def enough(self) -> bool:
        """Whether cross-validated figures on it are possible, and more than noise."""
        queries = [{case.query for case in self.cases if case.label == label} for label in ("good", "bad")]
        return both(self.good) and min(map(len, queries)) >= FOLDS


@dataclass(frozen=True)
class Scorer:
    """A fitted model: `weights` (n-grams,) and intercept."""

    weights: Floats
    intercept: float

    def score(self, style: csr_matrix) -> Floats:
        """Log-odds of good (texts,); only their differences mean anything for a scorer learned from pairs."""
        return np.asarray(style @ self.weights) + self.intercept


def styled(datasets: list[Dataset]) -> tuple[list[Styled], Names]:
    """Put every labelled file into numbers over one vocabulary; with it the n-grams (n-grams,)."""
    chosen = [data for data in datasets if data.labelled]
    if not chosen:
        return [], np.array([], dtype=np.str_)
    vectorizer = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 3), sublinear_tf=True, max_features=_FEATURES, dtype=np.float32
    )
    # the line feed gives even an empty text a feature; without any there would be no vocabulary
    matrix = csr_matrix(vectorizer.fit_transform([f"\n{text.text}" for data in chosen for text in data.texts]))
    made, start = [], 0
    for data in chosen:
        cases = [LabelledCase(text.query, text.text, text.label) for text in data.texts if text.label]
        good = np.array([int(case.label == "good") for case in cases])
        length = np.array([len(case.response) for case in cases])
        made.append(Styled(data, matrix[start : start + len(cases)], good, length, cases))
        start += len(cases)
    return made, vectorizer.get_feature_names_out()


def both(good: Ints) -> bool:
    """Whether there are enough texts of either label."""
    return bool(min(good.sum(), len(good) - good.sum()) >= FEWEST)


def learn(file: Styled, places: Ints) -> Scorer:
    """Fit on the texts at `places`; of pairs always both texts, in file order."""
    model = LogisticRegression(solver="liblinear", fit_intercept=not file.paired, random_state=0)
    style, good = file.style[places], file.good[places]
    if file.paired:
        style = style[::2] - style[1::2]
        # every second difference is turned round: the likelihood stays the same, and there are two classes to fit
        sign = np.where(np.arange(style.shape[0]) % 2, -1.0, 1.0)
        style, good = csr_matrix(diags(sign) @ style), (sign > 0).astype(int)
    model.fit(style, good)
    return Scorer(model.coef_.ravel(), float(model.intercept_[0]) if not file.paired else 0.0)


def out_of_fold(file: Styled, seed: int) -> Floats:
    """Score every text (texts,) with a model that has not seen its query."""
    scores = np.zeros(len(file.good))
    for train, test in folds(file.cases, seed):
        scores[test] = learn(file, train).score(file.style[test])
    return scores
