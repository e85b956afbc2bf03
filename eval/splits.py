"""Splitting labelled cases once into train, validation and test, so that no case is decided by a copy of it.

What is learned on `train` is accepted or refused on `validation` and reported on `test`; a text that stands on two
sides would be memory on one of them. Cases are therefore dealt out in *groups*: two cases are of one group if their
queries are equal or near copies, or their responses are (`kindling.eval.audit.similarity` says what is near), and so
are cases that others link. A whole group goes to one side.

Groups are dealt out largest first, each to the part that still lacks most of its labels (iterative stratification:
K. Sechidis, G. Tsoumakas and I. Vlahavas, ECML PKDD 2011), so that parts have their shares and their balance as far as
groups allow. Groups of one size come in an order drawn from the seed and their texts, so the file's order plays no
part.

The default shares give validation nearly as much as train: what a proposal must gain to be accepted shrinks with it,
whereas the rules that are learned rest on a few dozen errors. Test is read once; 100 cases tell a κ of .7 within about
± .14.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from kindling.errors import InputError
from kindling.eval.audit.similarity import bare, near_copies, shingles
from kindling.records import Label, LabelledCase, text_id

SHARES = (0.40, 0.35, 0.25)
FEWEST = (
    5  # groups with a case of either label in every part: what it takes to cross-validate a certificate's baselines
)


@dataclass(frozen=True, slots=True)
class Split:
    """Cases for learning, for deciding, and for the report at the end; no group has cases in two of them."""

    train: tuple[LabelledCase, ...]
    validation: tuple[LabelledCase, ...]
    test: tuple[LabelledCase, ...]


def groups(cases: Sequence[LabelledCase]) -> tuple[int, ...]:
    """Number the group of each case, from 0 in the order of the cases.

    Of a part of a split, the groups are those of the whole.
    """
    if not cases:
        return ()
    count = len(cases)
    edges = [(index, count + node) for index, node in enumerate(_copies([case.query for case in cases]))]
    edges += [(index, 2 * count + node) for index, node in enumerate(_copies([case.response for case in cases]))]
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(name, len(numbers)) for name in _components(edges, 3 * count)[:count])


def _copies(texts: Sequence[str]) -> list[int]:
    """Give equal and nearly equal texts the same number, below the number of texts."""
    keys = [bare(text) or text for text in texts]  # a text of signs alone is equal to itself only
    place = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    near = near_copies(shingles(list(place)))
    number = _components(zip(near.left.tolist(), near.right.tolist(), strict=True), len(place))
    return [number[place[key]] for key in keys]


def _components(edges: Iterable[tuple[int, int]], nodes: int) -> list[int]:
    """The number of each node's connected component."""
    left, right = np.array(list(edges), dtype=int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(left)), (left, right)), shape=(nodes, nodes))
    found: list[int] = connected_components(graph, directed=False)[1].tolist()
    return found


def split(cases: Sequence[LabelledCase], seed: int, shares: tuple[float, float, float] = SHARES) -> Split:
    """Split into train, validation and test by `shares`, which sum to 1.

    The same cases and seed give the same parts, in the same order, however the file is sorted. Raises `InputError` in
    one line if there is only one label, or if cases or groups are too few for every part to get `FEWEST` groups of
    either label.
    """
    members: dict[int, list[LabelledCase]] = {}
    for case, number in zip(cases, groups(cases), strict=True):
        members.setdefault(number, []).append(case)
    found = [sorted(group, key=lambda case: _drawn(case, seed)) for group in members.values()]
    _refuse(found, shares)
    parts: tuple[list[LabelledCase], ...] = ([], [], [])
    total = Counter(case.label for case in cases)
    lacks = [dict.fromkeys(total, share) for share in shares]  # of each label's cases, the share still to come
    for group in sorted(found, key=lambda group: (-len(group), _drawn(group[0], seed))):
        here = Counter(case.label for case in group)
        wanting = max(range(3), key=lambda part: sum(n / total[one] * lacks[part][one] for one, n in here.items()))
        parts[wanting].extend(group)
        for label, many in here.items():
            lacks[wanting][label] -= many / total[label]
    for part in parts:
        _refuse_part(part, found, shares)
    return Split(*map(tuple, parts))


def _drawn(case: LabelledCase, seed: int) -> str:
    return text_id(str(seed), repr(case))


def _needed(shares: Sequence[float]) -> int:
    return math.ceil(FEWEST / min(shares) - 1e-9)


def _refuse(found: Sequence[Sequence[LabelledCase]], shares: Sequence[float]) -> None:
    """Refuse what cannot be split, whatever the draw."""
    having = Counter(label for group in found for label in {case.label for case in group})
    needed = _needed(shares)
    labels: dict[Label, Label] = {"good": "bad", "bad": "good"}
    for label, other in labels.items():
        if found and not having[label]:
            raise InputError(f"all labelled cases are {other}: it takes {label} ones too, for {needed} queries")
        if having[label] < needed:
            raise InputError(
                f"too few labelled cases to split: {label} ones for {having[label]} queries (near copies count once), "
                f"and it takes {needed}"
            )


def _refuse_part(
    part: Sequence[LabelledCase], found: Sequence[Sequence[LabelledCase]], shares: Sequence[float]
) -> None:
    """Refuse a part that large groups left too small; `found` are the groups of all parts."""
    inside = set(part)
    having = Counter(label for group in found if group[0] in inside for label in {case.label for case in group})
    if min(having["good"], having["bad"]) < FEWEST:
        cases = sum(map(len, found))
        raise InputError(
            f"too few labelled cases to split: near copies stay together, the largest group holds "
            f"{max(map(len, found))} of {cases}; add good and bad cases for {_needed(shares)} further queries"
        )
