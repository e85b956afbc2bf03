"""Copies: within a file, and between files; verbatim and near, of texts and of queries, by label.

A text that an evaluation shares with training data measures memory. Where only the good ones are shared, "stands in the
training file" is itself a classifier, and its accuracy is reported. Copies that carry both labels are conflicts: the
same words are praised and blamed (in pairs that is possible without contradiction, so it is a warning).
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from kindling.eval.audit.dataset import Dataset, Text
from kindling.eval.audit.finding import Finding, Severity, examples
from kindling.eval.audit.similarity import Copies, near_copies, shingles

LEAKED = 0.05  # share of an evaluation's texts or queries from which copies elsewhere are severe


@dataclass(frozen=True)
class Indexed:
    """A file with its distinct texts, the texts that stand behind each, and their shingles (distinct, 2^20)."""

    data: Dataset

    @cached_property
    def places(self) -> dict[str, list[Text]]:
        """The texts of the file by their words without surrounding space, in file order."""
        found: dict[str, list[Text]] = {}
        for text in self.data.texts:
            found.setdefault(text.text.strip(), []).append(text)
        return found

    @cached_property
    def shingles(self) -> csr_matrix:
        """A row for every key of `places`."""
        return shingles(list(self.places))

    @cached_property
    def texts(self) -> list[list[Text]]:
        """The values of `places`."""
        return list(self.places.values())


def overlap(datasets: list[Dataset]) -> list[Finding]:
    """Report copies within each file and between every two."""
    files = [Indexed(data) for data in datasets]
    found = [finding for file in files for finding in _within(file)]
    for one, other in combinations(files, 2):
        # what is evaluated on is the one that may have leaked; otherwise the smaller file lies in the larger one
        by_use = sorted((one, other), key=lambda file: (file.data.kind != "labelled", len(file.data.texts)))
        found += _between(*by_use)
    return found


def _within(file: Indexed) -> list[Finding]:
    near = near_copies(file.shingles)
    total = len(file.data.texts)
    groups = [texts for texts in file.texts if len({text.row for text in texts}) > 1]
    same = sum(len({text.row for text in texts}) - 1 for texts in groups)
    found = []
    if same:
        rows = sorted({text.row for texts in groups for text in texts[1:]})
        shown = ((texts[1].row, f"(as row {texts[0].row}) {texts[0].text}") for texts in groups)
        words = "texts that stand verbatim in an earlier row, under this or another query"
        severity: Severity = "warning" if same >= LEAKED * total else "note"
        found.append(
            Finding("repeated_text", severity, file.data.name, words, same, total, tuple(rows), examples(shown))
        )
    pairs = [(file.texts[i], file.texts[j]) for i, j in zip(near.left, near.right, strict=True)]
    if pairs:
        rows = sorted({text.row for _, texts in pairs for text in texts})
        shown = ((texts[0].row, f"(like row {first[0].row}) {texts[0].text}") for first, texts in pairs)
        touched = len(set(near.left) | set(near.right))
        severity = "warning" if touched >= 0.2 * total else "note"
        words = "distinct texts with a near copy in the file"
        found.append(
            Finding(
                "near_copy", severity, file.data.name, words, touched, len(file.texts), tuple(rows), examples(shown)
            )
        )
    return found + _conflicts(file, file, [(texts, texts) for texts in groups] + pairs)


def _between(target: Indexed, source: Indexed) -> list[Finding]:
    """Report which texts and queries of `target` stand in `source`."""
    verbatim = [words for words in target.places if words in source.places]
    near = near_copies(target.shingles, source.shingles)
    alike = _pairs_of(near, target, source)
    nearly = {texts[0].text.strip() for texts, _ in alike} - set(verbatim)
    found = [_texts(target, source, verbatim, nearly), _queries(target.data, source.data)]
    if not any(sum(finding.figures.values()) for finding in found):
        words = f"no text and no query in common with {source.data.path.name}"
        return [Finding("shared_texts", "note", target.data.name, words, other=source.data.name)]
    copies = [(target.places[words], source.places[words]) for words in verbatim]
    return found + _conflicts(target, source, copies + alike)


def _pairs_of(near: Copies, left: Indexed, right: Indexed) -> list[tuple[list[Text], list[Text]]]:
    return [(left.texts[i], right.texts[j]) for i, j in zip(near.left, near.right, strict=True)]


def _texts(target: Indexed, source: Indexed, verbatim: list[str], nearly: set[str]) -> Finding:
    copied = set(verbatim)
    here = [text for text in target.data.texts if text.text.strip() in copied]
    close = [text for text in target.data.texts if text.text.strip() in nearly]
    total = len(target.data.texts)
    words = [f"{_by_label(here, target.data)} stand verbatim in {source.data.path.name}"]
    if here and source.data.labelled:
        sides = Counter(text.label for words in verbatim for text in source.places[words][:1])
        words.append(f"(distinct ones there: {sides['good']:,} as good, {sides['bad']:,} as bad)")
    words.append(f"and {_by_label(close, target.data)} nearly")
    return Finding(
        "shared_texts",
        _severity(len(here) + len(close), total, target.data),
        target.data.name,
        " ".join(words),
        len(here),
        total,
        tuple(dict.fromkeys(text.row for text in here)),
        examples((text.row, text.text) for text in here),
        {"verbatim": len(here), "near": len(close)} | _label_counts(here, "verbatim"),
        source.data.name,
    )


def _queries(target: Dataset, source: Dataset) -> Finding:
    known = {text.query.strip() for text in source.texts}
    rows = [text for text in target.texts if text.side != "rejected"]  # a row has one query
    shared = [text for text in rows if text.query.strip() in known]
    words = f"{_by_label(shared, target)} have a query that stands in {source.path.name}"
    figures: dict[str, float] = {"shared": len(shared)} | _label_counts(shared, "shared")
    severity = _severity(len(shared), len(rows), target)
    if shared and target.kind == "labelled" and len({text.label for text in rows}) == 2:
        good: NDArray[np.bool_] = np.array([text.label == "good" for text in rows])
        there = np.array([text.query.strip() in known for text in rows])
        right = float((good == there).mean())
        figures |= {"accuracy": max(right, 1 - right), "auc": float(roc_auc_score(good, there))}
        words += f'; "is the query there?" alone predicts {figures["accuracy"]:.1%} of the labels'
    return Finding(
        "shared_queries", severity, target.name, words, len(shared), len(rows),
        tuple(text.row for text in shared), examples((text.row, text.query) for text in shared), figures, source.name,
    )  # fmt: skip


def _conflicts(one: Indexed, other: Indexed, copies: list[tuple[list[Text], list[Text]]]) -> list[Finding]:
    """Report copies that are good in one row and bad in another."""
    if not (one.data.labelled and other.data.labelled):
        return []
    clashes = [
        (a, b)
        for left, right in copies
        for a in left
        for b in right
        if a.label != b.label and (one is not other or a.row != b.row)
    ]
    if not clashes:
        return []
    where = "" if one is other else f" in {other.data.path.name}"
    same_query = sum(a.query.strip() == b.query.strip() for a, b in clashes)
    rows = sorted({text.row for pair in clashes for text in (pair if one is other else pair[:1])})
    words = (
        f"texts with a copy or near copy that carries the other label{where}; {same_query} such copies share the query"
    )
    shown = ((a.row, f"({a.label}; {b.label} in row {b.row}) {a.text}") for a, b in clashes)
    severity: Severity = "severe" if same_query and one.data.kind == "labelled" else "warning"
    return [
        Finding(
            "both_labels",
            severity,
            one.data.name,
            words,
            len(rows),
            len(one.data.rows),
            tuple(rows),
            examples(shown),
            other="" if one is other else other.data.name,
        )
    ]


def _severity(shared: int, total: int, target: Dataset) -> Severity:
    if shared < LEAKED * total:
        return "warning" if shared and target.kind == "labelled" else "note"
    return "severe" if target.kind == "labelled" else "warning"


def _by_label(texts: list[Text], data: Dataset) -> str:
    """Put counts into words: `508 of 524 good and 6 of 474 bad`, or `3,644 of 3,672` without labels."""
    whole = Counter(text.label for text in data.texts)
    counts = Counter(text.label for text in texts)
    if data.kind != "labelled":
        total = sum(whole.values()) if any(text.side == "rejected" for text in texts) else len(data.rows)
        return f"{len(texts):,} of {total:,}"
    return f"{counts['good']:,} of {whole['good']:,} good and {counts['bad']:,} of {whole['bad']:,} bad"


def _label_counts(texts: list[Text], prefix: str) -> dict[str, float]:
    counts = Counter(text.label for text in texts if text.label)
    return {f"{prefix}_{label}": count for label, count in sorted(counts.items())}
