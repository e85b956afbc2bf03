"""How far position in the file, length and surface style alone predict the labels: what a judge may learn instead of
quality.

    position  a small decision tree on the row number and its parity, for labelled files
    length    characters, without any learning; a threshold for the accuracy
    style     the scorers of `style`

Whatever learns is measured on queries that it has not seen. Between two files, the one that is learned from first loses
every row whose query or text stands in the other. A high figure for style need not be an error, since good texts are
worded differently; it says what a judge has to beat before it may be said to understand. `suspects` are the labels that
style contradicts most strongly.

AUC is the probability that a good text scores above a bad one, ties half (Hanley and McNeil, Radiology 1982), with a
95 % interval clustered by query. Where that holds .5, chance would do, and the finding is a note whatever the value.
"""

import numpy as np
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from kindling.eval.agreement import clustered_auc
from kindling.eval.audit.finding import Finding, Severity, examples, graded
from kindling.eval.audit.style import (
    FEWEST,
    Floats,
    Ints,
    Names,
    Scorer,
    Styled,
    both,
    learn,
    out_of_fold,
)
from kindling.eval.baselines import FOLDS, TOLERANCE, folds, length_matched
from kindling.eval.intervals import Estimate
from kindling.eval.length_bias import LIMIT, length_bias

_AUC = (0.6, 0.75)  # of what should say nothing: warning, severe
_STYLE_AUC = (0.8, 0.95)  # of what may say something
_TELLS = 12


def shortcuts(files: list[Styled], names: Names, top: int, seed: int) -> list[Finding]:
    """Report on every labelled file, and on what each says about every other one."""
    found = []
    for file in files:
        if not file.enough:
            words = (
                f"too few to tell what predicts the labels: needs {FEWEST} good and {FEWEST} bad, of {FOLDS} queries"
            )
            found.append(Finding("shortcuts", "note", file.data.name, words))
            continue
        scores = out_of_fold(file, seed)
        whole = learn(file, np.arange(len(file.good)))
        found += [_pair_length(file) if file.paired else _length(file, seed)]
        found += [] if file.paired else [_position(file, seed)]
        found += [_style(file, scores, whole, names, seed), _suspects(file, scores, top)]
    pairs = [(source, target) for source in files for target in files if source is not target]
    return found + [finding for source, target in pairs if (finding := _transfer(source, target, seed))]


def _pair_length(file: Styled) -> Finding:
    bias = length_bias((chosen.text, rejected.text) for chosen, rejected in file.data.pairs)
    assert bias is not None, "a file has rows"
    auc = _auc(file.good, file.length)
    return Finding(
        "length",
        graded(max(bias.longer_chosen, 1 - bias.longer_chosen), LIMIT, _AUC[1]),
        file.data.name,
        f"the longer text is the chosen one in {bias.longer_chosen:.1%} of pairs (mean {bias.mean_chosen:.0f} against "
        f"{bias.mean_rejected:.0f} characters; AUC of length {auc:.3f})",
        figures={"longer_chosen": bias.longer_chosen, "low": bias.low, "high": bias.high, "auc": auc},
    )


def _length(file: Styled, seed: int) -> Finding:
    good, length = file.good, file.length[:, None]
    area = _area(file, file.length)
    auc = area.value or 0.0
    rule = DecisionTreeClassifier(max_depth=1).fit(length, good)
    accuracy = float(((_tree(file, length, seed, max_depth=1) > 0.5) == good).mean())
    majority = float(max(good.mean(), 1 - good.mean()))
    figures = _figures(area) | {"accuracy": accuracy, "majority": majority}
    words = f"length alone: AUC {area}"
    if rule.tree_.node_count > 1:
        figures["threshold"] = float(np.floor(rule.tree_.threshold[0]) + 1)
        side = "at least" if auc >= 0.5 else "fewer than"
        words += f'; "good has {side} {figures["threshold"]:.0f} characters" is right for {accuracy:.1%}'
    words += f" (the majority label for {majority:.1%})"
    return Finding("length", _grade(area, *_AUC), file.data.name, words, figures=figures)


def _position(file: Styled, seed: int) -> Finding:
    row = np.array([text.row for text in file.data.texts])
    leaf = max(5, len(row) // 50)
    guesses = _tree(file, np.column_stack([row, row % 2]), seed, max_leaf_nodes=8, min_samples_leaf=leaf)
    area = _area(file, guesses)
    words = f"place in the file alone: AUC {area} (chance is .5)"
    # below .5 is the pessimism of cross-validation, not a finding
    severity = _grade(area, *_AUC) if (area.value or 0.0) > 0.5 else "note"
    return Finding("position", severity, file.data.name, words, figures=_figures(area))


def _style(file: Styled, scores: Floats, whole: Scorer, names: Names, seed: int) -> Finding:
    area = _area(file, scores)
    figures = _figures(area)
    words = f"character n-grams alone: AUC {area}"
    if file.paired:
        margins = scores[::2] - scores[1::2]
        figures["pair_accuracy"] = _right(margins)
        words += f", {figures['pair_accuracy']:.1%} of pairs in the right order"
        one, other = file.length[::2], file.length[1::2]
        same = np.abs(one - other) <= TOLERANCE * np.maximum(one, other)
        if same.sum() >= FEWEST:
            figures |= {"pair_accuracy_same_length": _right(margins[same]), "pairs_same_length": int(same.sum())}
            words += f" ({figures['pair_accuracy_same_length']:.1%} of the {same.sum()} of equal length)"
    matched, more = _at_matched_length(file, scores, seed)
    most = np.argsort(whole.weights, kind="stable")
    tells = [
        f"{label}: " + " ".join(name.replace("\n", "^") for name in names[places] if name.strip())
        for label, places in (("good", most[::-1][:_TELLS]), ("bad", most[:_TELLS]))
    ]
    return Finding(
        "style", _grade(area, *_STYLE_AUC), file.data.name, words + more, examples=tuple(tells),
        figures=figures | matched,
    )  # fmt: skip


def _suspects(file: Styled, scores: Floats, top: int) -> Finding:
    """List the rows whose label is least probable out of fold; of pairs, the order is the label.

    A label is suspect if the other one is at least as probable as it is on average for the texts that carry it
    (confident learning: Northcutt, Jiang and Chuang, JAIR 2021), so no threshold is chosen by hand. Where style hardly
    predicts the labels, it has no standing to doubt one, and none is listed.
    """
    auc = _auc(file.good, scores)
    if max(auc, 1 - auc) < _STYLE_AUC[0]:
        words = f"style predicts too little (AUC {auc:.3f}) to doubt a label"
        return Finding("likely_wrong_label", "note", file.data.name, words)
    if file.paired:
        given = expit(scores[::2] - scores[1::2])
        limit = np.full(len(given), given.mean())
        texts = [chosen for chosen, _ in file.data.pairs]
    else:
        given = expit(np.where(file.good == 1, scores, -scores))
        limit = np.array([given[file.good == 0].mean(), given[file.good == 1].mean()])[1 - file.good]
        texts = list(file.data.texts)
    suspect = np.flatnonzero(1 - given >= limit)
    if not len(suspect):
        return Finding("likely_wrong_label", "note", file.data.name, "style contradicts no label")
    worst = suspect[np.argsort(given[suspect], kind="stable")][:top]
    shown = ((texts[at].row, f"({texts[at].label}, p = {given[at]:.3f}) {texts[at].text}") for at in worst)
    return Finding(
        "likely_wrong_label",
        "warning",
        file.data.name,
        "labels that style, which is no judge of quality, contradicts: look at them, worst first",
        len(suspect),
        len(given),
        tuple(texts[at].row for at in worst),
        examples(shown),
    )


def _transfer(source: Styled, target: Styled, seed: int) -> Finding | None:
    """Report what the style of `source` says about the labels of `target`; None where too little is left to learn."""
    queries = {text.query for text in target.data.texts}
    texts = {text.text.strip() for text in target.data.texts}
    shared = np.array([text.query in queries or text.text.strip() in texts for text in source.data.texts])
    if source.paired:
        shared = np.repeat(shared[::2] | shared[1::2], 2)
    rest = np.flatnonzero(~shared)
    if not both(source.good[rest]) or not both(target.good):
        return None
    scores = learn(source, rest).score(target.style)
    area = _area(target, scores)
    figures = _figures(area) | {"left_out": int(shared.sum())}
    words = f"learned from {source.data.path.name} without the {shared.sum():,} texts of shared rows: AUC {area}"
    if target.paired:
        figures["pair_accuracy"] = _right(scores[::2] - scores[1::2])
        words += f", {figures['pair_accuracy']:.1%} of pairs in the right order"
    matched, more = _at_matched_length(target, scores, seed)
    severity = _grade(area, *_STYLE_AUC)
    return Finding(
        "style_elsewhere", severity, target.data.name, words + more, figures=figures | matched, other=source.data.name
    )


def _at_matched_length(file: Styled, scores: Floats, seed: int) -> tuple[dict[str, float], str]:
    """Measure the AUC of `scores` on as many good as bad texts of every length."""
    kept = np.array(length_matched(file.cases, seed), dtype=np.int64)
    if not both(file.good[kept]):
        return {}, ""
    auc = _auc(file.good[kept], scores[kept])
    return {"auc_length_matched": auc, "texts_length_matched": len(kept)}, (
        f"; {auc:.3f} on {len(kept):,} texts of matched length"
    )


def _tree(file: Styled, features: Ints, seed: int, **settings: int) -> Floats:
    """Probability of good (texts,) from a decision tree that has not seen the text's query."""
    guesses = np.zeros(len(file.good))
    for train, test in folds(file.cases, seed):
        tree = DecisionTreeClassifier(random_state=0, **settings).fit(features[train], file.good[train])
        guesses[test] = tree.predict_proba(features[test])[:, -1] if tree.n_classes_ > 1 else file.good[train][0]
    return guesses


def _auc(good: Ints, scores: Floats | Ints) -> float:
    return float(roc_auc_score(good, scores))


def _area(file: Styled, scores: Floats | Ints) -> Estimate:
    """The AUC of `scores` (texts,) with its interval."""
    return clustered_auc(file.good == 1, np.asarray(scores, dtype=float), [case.query for case in file.cases])


def _figures(area: Estimate) -> dict[str, float]:
    return {"auc": area.value or 0.0, "auc_low": area.low or 0.0, "auc_high": area.high or 0.0}


def _grade(area: Estimate, warning: float, severe: float) -> Severity:
    """Grade an AUC in either direction; a note where chance would do."""
    value, low, high = _figures(area).values()
    return "note" if low <= 0.5 <= high else graded(max(value, 1 - value), warning, severe)


def _right(margins: Floats) -> float:
    """Share of pairs in the right order, ties half."""
    return float(((margins > 0) + 0.5 * (margins == 0)).mean())
