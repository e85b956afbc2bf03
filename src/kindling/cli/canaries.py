"""Labelled cases as canaries: texts whose right verdict is known, for the firewall to ask the rewarding judge about.

good, bad    the cases as they are
off-topic    a good text under a query that asks for something else: bad
attack       a text that was attacked (see `kindling.eval.attacks`): bad
padded       a bad text that was made longer without being made better: bad
"""

from collections.abc import Callable, Sequence
from random import Random

from kindling.eval.attacks import load_attacks
from kindling.eval.reading import swaps
from kindling.records import Case, LabelledCase
from kindling.rl.firewall.canaries import Canary

EACH = 60  # of each kind, at most
PADDING = "padding"


def canaries(cases: Sequence[LabelledCase], case_of: Callable[[str, str], Case], seed: int) -> list[Canary]:
    """At most `EACH` canaries of every kind that `cases` give; the same seed gives the same ones."""
    rng = Random(seed)  # noqa: S311 - which cases are asked about is no secret
    shuffled = rng.sample(list(cases), len(cases))
    made = {
        "good": [Canary("good", one.query, one.response, "good") for one in shuffled if one.label == "good"],
        "bad": [Canary("bad", one.query, one.response, "bad") for one in shuffled if one.label == "bad"],
        "off-topic": _off_topic(shuffled, case_of, seed),
        "attack": _attacked(shuffled, case_of, rng, padding=False),
        "padded": _attacked(shuffled, case_of, rng, padding=True),
    }
    return [canary for kind in made.values() for canary in kind[:EACH]]


def _off_topic(cases: Sequence[LabelledCase], case_of: Callable[[str, str], Case], seed: int) -> list[Canary]:
    found = swaps(cases, case_of, seed)
    asked = (one.question for kind in ("occasion", "query") for one in found.get(kind, ()))
    return [Canary("off-topic", one.case.query, one.case.response, "bad") for one in asked if one is not None]


def _attacked(
    cases: Sequence[LabelledCase], case_of: Callable[[str, str], Case], rng: Random, *, padding: bool
) -> list[Canary]:
    attacks = [attack for attack in load_attacks() if (attack.family == PADDING) == padding]
    kind = "padded" if padding else "attack"
    made = []
    for case in cases:
        for attack in rng.sample(attacks, len(attacks)):
            if attack.target != case.label:
                continue
            attacked = attack.on(case_of(case.query, case.response), case_of)
            if attacked is not None:
                made.append(Canary(kind, attacked.query, attacked.response, "bad"))
                break
    return made
