"""The gate of the refinement game: a proposal must be better beyond noise, and in no other way worse.

`check_rules` looks at the rules before anything is judged, `weigh` at the verdicts of both judges on the same cases.
All checks are applied and every reason is kept; none repairs anything. A verdict that is missing is neither right nor
wrong: validation cases are compared where *both* judges gave one.

**Better** is a one-sided paired test (R. A. Fisher, The Design of Experiments, 1935, sections 21 and 21.1). A case that
only the new judge got right is won, one that only the old one got right is lost, and d_g is what a group g of cases
(one query and its near copies) won less what it lost. If the two judges were as good, d_g would be as likely as -d_g,
and

    p = P(Σ ±|d_g| ≥ Σ d_g)

is known exactly (and too large where the new judge is worse): of the n_k groups with |d_g| = k, B ~ Binomial(n_k, ½)
are positive, and the distributions of k (2 B - n_k) are convolved. Flipping whole groups leaves any dependence within a
group as it is.

Both labels count the same: a case weighs in inverse proportion to the number of cases of its label, in whole numbers,
which a sign-flip test may take as weights. Counted by cases, giving everything the more frequent label would often be
"better", and finding the few good ones among many bad ones hardly ever. Where labels are equally many and every group
has one case, this is the exact McNemar test (Q. McNemar, Psychometrika 1947). The price: a few cases of a rare label
decide much, and no test can be surer than they are. κ, which counts by cases, must not fall either.

**Many looks.** Each look is made at alpha / looks (Bonferroni), and that is enough although proposals follow on
earlier decisions: until the first acceptance every decision was "rejected" and said no more (the optimizer never hears
why). The proposals of a game in which nothing is accepted are therefore fixed by what the gate does not look at (train
cases, forgeries, seeds), each look at them is an honest test, and the probability that any that is no better is
accepted is at most alpha by the union bound. So alpha is the probability that a game whose optimizer only makes noise
accepts anything at all. After a true acceptance the rest of the game may depend on *which* look it was, and the bound
is no longer strict; the new judge has then had its luck already, which the next proposal does not have. The test cases
are untouched by all of this.

**Length** is how far verdicts go by length among texts of one true label: the probability that a text called good is
longer than one called bad, ties half, within each label, combined with the weights of P. van Elteren (Bull. Int. Stat.
Inst. 1960); .5 is not at all. The new judge is refused if its distance from .5 exceeds the old one's by more than the
tolerance, and by more than `Z` standard errors, with the variance that the rank sum has without any relation. That both
judges saw the same cases, which makes the difference more certain than this, is left out: simulated, this refuses
nearly as often as a paired bootstrap of the same level where length matters, and less often where it does not. With 134
cases a judge of area .81 is refused in 99 of 100 cases, one of .72 in 74, one of .65 in 35, one that goes by nothing in
1 to 4.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, rankdata

from kindling.eval.agreement import kappa as kappas
from kindling.eval.intervals import Estimate, Floats, resample, resampled
from kindling.game import Decision, Evidence, Refusal, Rules
from kindling.prompts.rules import MAX_RULES, is_plain
from kindling.records import Verdict

MAX_CHARS = 200
HEAVIEST = 20  # what a case of the rarer label counts for at most, the other's being whole numbers too
Z = 1.645  # one-sided 5 %, not shared among the looks: refusing for harm once too often does no harm
# Words of the answers' form, by language. In English, everyday words among them are only refused where they are quoted.
SCHEMA_WORDS: Mapping[str, tuple[str, ...]] = {
    "zh": ("json", "verdict", "reason", "good", "bad"),
    "en": ("json", "verdict", '"good"', '"bad"', '"reason"', "'good'", "'bad'", "“good”", "“bad”"),
}
_GOOD, _BAD, _NONE = 1, 0, -1
Bools = NDArray[np.bool_]
Codes = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class GateLimits:
    """`alpha` is the level of a whole game.

    The new judge may leave more validation cases without a verdict than the old one, by `max_more_unscored` of them
    (and so of the old forgeries; one alone is never too many), and its verdicts may go by length by `max_more_length`
    more, as a difference of AUCs.
    """

    alpha: float = 0.05
    max_more_unscored: float = 0.05
    max_more_length: float = 0.05


@dataclass(frozen=True, slots=True)
class StatisticalGate:
    """Both checks with their limits, as one object."""

    limits: GateLimits = GateLimits()
    schema_words: tuple[str, ...] = SCHEMA_WORDS["zh"]

    def check(self, before: Rules, proposed: Rules) -> tuple[Refusal, ...]:
        """`check_rules` with these words."""
        return check_rules(before, proposed, self.schema_words)

    def weigh(self, evidence: Evidence) -> Decision:
        """`weigh` within these limits."""
        return weigh(evidence, self.limits)


def check_rules(before: Rules, proposed: Rules, schema_words: Iterable[str]) -> tuple[Refusal, ...]:
    """Say why `proposed` cannot replace `before`, whatever it would measure; nothing if it may be tried.

    A list with a rule of more than `MAX_CHARS` characters, or with one of the `schema_words`, speaks about the form of
    the answer, and so does whatever is no plain line of text: templates, braces, boundaries, chat roles.
    """
    refusals: list[Refusal] = []
    if list(map(_folded, proposed)) == list(map(_folded, before)):
        refusals.append("unchanged")
    if len(proposed) > MAX_RULES:
        refusals.append("too_many")
    # letters beyond ASCII do not continue a word: Chinese has no spaces
    listed = "|".join(re.escape(_folded(word)) for word in schema_words)
    words = re.compile(f"(?<![a-z0-9_])(?:{listed or '(?!)'})(?![a-z0-9_])")
    distinct = {_folded(rule) for rule in proposed}
    if not proposed or len(distinct) < len(proposed) or any(_about_form(rule, words) for rule in proposed):
        refusals.append("schema")
    return tuple(refusals)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _about_form(rule: str, words: re.Pattern[str]) -> bool:
    text = _folded(rule)
    braced = any(brace in text for brace in "{}")
    return braced or not is_plain(rule) or len(rule) > MAX_CHARS or words.search(text) is not None


def weigh(evidence: Evidence, limits: GateLimits) -> Decision:
    """Decide whether the proposed judge is better beyond noise, and in no other way worse."""
    before, after, good = _codes(evidence.before), _codes(evidence.after), _is_good(evidence)
    old_attacks, new_attacks = _codes(evidence.attacks_before), _codes(evidence.attacks_after)
    both = (before != _NONE) & (after != _NONE)
    gains = ((after == good).astype(int) - (before == good).astype(int))[both]
    p = sign_flip(_summed(gains * _weights(good[both]), _numbered(evidence.groups)[both]))
    kappa = _kappa(good[both], before[both]), _kappa(good[both], after[both])
    rise = _rise(good[both], before[both], after[both], _numbered(evidence.groups)[both])
    lengths = np.array(evidence.lengths, dtype=float)[both]
    alpha = limits.alpha / max(1, evidence.looks)
    passed_again = tuple(np.flatnonzero((old_attacks == _BAD) & (new_attacks == _GOOD)).tolist())
    was, now = (by_length(good[both], lengths, codes[both] == _GOOD) for codes in (before, after))
    more_unscored = any(
        _more_silent(old, new, limits.max_more_unscored)
        for old, new in ((before, after), (old_attacks, new_attacks))
    )  # fmt: skip
    held: dict[Refusal, bool] = {
        "unscored": more_unscored,
        "not_better": p > alpha or kappa[0] is None or kappa[1] is None or kappa[1] < kappa[0],
        "old_attack": bool(passed_again),
        "length": _goes_further(was, now, limits.max_more_length),
    }
    return Decision(
        refusals=tuple(name for name, holds in held.items() if holds),
        better=int((gains > 0).sum()),
        worse=int((gains < 0).sum()),
        p=p,
        alpha=alpha,
        kappa=kappa,
        rise=None if rise.low is None or rise.high is None else (rise.low, rise.high),
        length=(was and was[0], now and now[0]),
        passed_again=passed_again,
        unscored=int((after == _NONE).sum()),
    )


def _codes(verdicts: Sequence[Verdict]) -> Codes:
    of = {"good": _GOOD, "bad": _BAD, None: _NONE}
    return np.array([of[verdict.label] for verdict in verdicts], dtype=np.int8)


def _is_good(evidence: Evidence) -> Bools:
    return np.array([label == "good" for label in evidence.labels], dtype=bool)


def _numbered(groups: Sequence[int]) -> NDArray[np.intp]:
    found: NDArray[np.intp] = np.unique(np.array(groups, dtype=np.intp), return_inverse=True)[1]
    return found


def _weights(good: Bools) -> NDArray[np.int_]:
    """Count a case of each label so that both labels count the same, as nearly as whole numbers can; shape (cases,).

    They depend on the labels alone, and so stay when the judges change places.
    """
    many = {True: int(good.sum()), False: int((~good).sum())}
    if not all(many.values()):
        return np.ones(len(good), dtype=int)
    fewest = min(many.values())
    weights = {label: max(1, round(HEAVIEST * fewest / count)) for label, count in many.items()}
    return np.where(good, weights[True], weights[False])


def _summed(gains: NDArray[np.int_], groups: NDArray[np.intp]) -> NDArray[np.int_]:
    """The sum of each group's gains."""
    sums = np.zeros(int(groups.max(initial=-1)) + 1, dtype=int)
    np.add.at(sums, groups, gains)
    return sums


def _kappa(good: Bools, codes: Codes) -> float | None:
    return resampled(kappas(good, codes == _GOOD, np.ones((1, len(good))))).value


def _rise(good: Bools, before: Codes, after: Codes, groups: NDArray[np.intp]) -> Estimate:
    """How far kappa rises, with an interval over groups; for people, since the test above decides."""
    if not len(groups):
        return Estimate()
    weights = resample([str(group) for group in groups], 0)
    was, now = (kappas(good, codes == _GOOD, weights) for codes in (before, after))
    return resampled(now - was)


def _more_silent(before: Codes, after: Codes, share: float) -> bool:
    more = int((after == _NONE).sum()) - int((before == _NONE).sum())
    return more > max(1.0, share * len(after))


def sign_flip(gains: NDArray[np.int_] | Sequence[int]) -> float:
    """Test one-sidedly and exactly whether whole-numbered `gains` of independent groups are above 0.

    The probability that their sum would be as large if each had either sign with equal probability; 1 where all are 0.
    """
    flipped = np.abs(gains).astype(int)
    unit = max(1, int(np.gcd.reduce(flipped)))
    observed, reach, probability = int(np.sum(gains)) // unit, 0, np.ones(1)
    for size, count in Counter((flipped // unit).tolist()).items():
        if size:
            # Σ ± size runs from -size·count to size·count in steps of 2·size
            spread = np.zeros(len(probability) + 2 * size * count)
            for positive, chance in enumerate(binom.pmf(np.arange(count + 1), count, 0.5)):
                start = 2 * size * positive
                spread[start : start + len(probability)] += chance * probability
            probability, reach = spread, reach + size * count
    return min(1.0, float(probability[observed + reach :].sum()))


def by_length(good: Bools, lengths: Floats, called: Bools) -> tuple[float, float] | None:
    """Measure how far the verdicts `called` (true is good) go by length within true labels.

    All arguments are of shape (cases,). Gives the AUC and its variance if there were no relation, or None where no
    label has both verdicts: then they go by nothing within it.
    """
    above = below = spread = 0.0
    for label in (True, False):
        here = good == label
        yes, size = called[here], int(here.sum())
        pairs = int(yes.sum()) * int((~yes).sum())
        if not pairs:
            continue
        ranks = rankdata(lengths[here])
        above += (ranks[yes].sum() - yes.sum() * (yes.sum() + 1) / 2) / (size + 1)
        below += pairs / (size + 1)
        # the rank sum's variance with ties is that of a sample without replacement: pairs / size times the ranks' own
        spread += pairs / size * ranks.var(ddof=1) / (size + 1) ** 2
    return (float(above / below), float(spread / below**2)) if below else None


def _goes_further(was: tuple[float, float] | None, now: tuple[float, float] | None, tolerance: float) -> bool:
    if now is None:
        return False
    area, variance = was or (0.5, 0.0)
    more = abs(now[0] - 0.5) - abs(area - 0.5)
    return more > tolerance and more > Z * float(np.sqrt(variance + now[1]))
