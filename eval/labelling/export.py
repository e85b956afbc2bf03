"""Labels as cases that `certify`, `refine` and `fit-judge` read: by one annotator, or by the majority of all.

A case without a clear label is left out and counted: a tie is no label, and neither is "cannot tell".
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kindling.errors import InputError
from kindling.eval.labelling.items import Item
from kindling.eval.labelling.reliability import Standing

MAJORITY = "majority"


@dataclass(frozen=True, slots=True)
class Export:
    """The labelled cases in the file's order, and how many were left out: ties, cannot tell, not labelled yet."""

    rows: tuple[dict[str, Any], ...]
    tied: int
    cannot_tell: int
    open: int


def export(items: Sequence[Item], stands: Standing, by: str = MAJORITY) -> Export:
    """Label `items` by `by`, the name of an annotator or "majority" (those who cannot tell have no vote).

    Raises `InputError` for a name that is not there, and if no case has a label.
    """
    if by != MAJORITY and by not in stands:
        raise InputError(f"--by {by}: no answers by that name; there are {', '.join(sorted(stands)) or 'none'}")
    voters = stands.values() if by == MAJORITY else [stands[by]]
    rows, left = [], Counter[str]()
    for item in items:
        said = Counter(answers[item.id].answer for answers in voters if item.id in answers)
        good, bad = said["good"], said["bad"]
        if good == bad:
            left["tied" if good else "cannot tell" if said else "open"] += 1
            continue
        label = "good" if good > bad else "bad"
        votes = {"votes_good": good, "votes_bad": bad}
        rows.append({"query": item.query, "response": item.response, "label": label, **item.about, **votes})
    if not rows:
        raise InputError(f"nothing to export: none of {len(items)} cases has a label by {by}")
    return Export(tuple(rows), left["tied"], left["cannot tell"], left["open"])
