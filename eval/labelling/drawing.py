"""A random draw of cases to label: as many of each source as can be, of as many queries as can be.

Only texts, their source and chance decide: what a judge said of a text is not known here. Who is next in its source and
query follows from a hash of seed and case, so the same draw comes to the same cases for everybody, on every day, and a
larger one adds to them. Drawing with `skip` gives cases beyond those, for labels that another file must not know.
"""

import heapq
from collections import Counter

from kindling.errors import InputError
from kindling.eval.labelling.items import Item, Items
from kindling.records import request_key, text_id


def draw(items: Items, count: int, skip: int, seed: int) -> Items:
    """`count` of the cases, without the first `skip` of the draw, in drawn order.

    Sources take turns; a source gives a case of a query of which the fewest were drawn. Raises `InputError` if there
    are too few cases.
    """
    if skip + count > len(items.cases):
        left = f" after --skip {skip}" if skip else ""
        raise InputError(f"--draw {count}: there are {max(0, len(items.cases) - skip):,} cases{left}; draw no more")
    turns = _sources(items, seed)
    drawn: list[Item] = []
    met: Counter[str] = Counter()
    while len(drawn) < skip + count:
        waiting = turns.pop(0)
        item = _next(waiting, met)
        met[request_key(item.query)] += 1
        drawn.append(item)
        if waiting:
            turns.append(waiting)
    return Items(tuple(drawn[skip:]), items.rows)


Waiting = list[tuple[int, str, Item]]
"""A heap of a source's cases: how often the query had been drawn when it was looked at, the case's place, the case."""


def _sources(items: Items, seed: int) -> list[Waiting]:
    """The cases of each source, in an order of sources that follows from their names."""
    found: dict[str, Waiting] = {}
    for item in items.cases:
        found.setdefault(item.about.get("source", ""), []).append((0, text_id(str(seed), item.id), item))
    for waiting in found.values():
        heapq.heapify(waiting)
    return [found[name] for name in sorted(found)]


def _next(waiting: Waiting, met: Counter[str]) -> Item:
    """The first case of the query that was drawn least, taken out of the heap."""
    while True:
        counted, place, item = heapq.heappop(waiting)
        now = met[request_key(item.query)]
        if now == counted:
            return item
        heapq.heappush(waiting, (now, place, item))
