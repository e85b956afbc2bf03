"""What a dataset is about: shares of topics, of labels, and of labels within topics; shifts between files.

The topic of a query comes from a function that is passed in. Without one, topics are the most frequent pieces of the
queries themselves: again and again the most frequent character 2- to 4-gram (longer ones first among equals) takes all
queries that hold it, until what is left is rare. Pieces in more than half of the queries say nothing and are skipped.

The effective number of topics is the exponential of the entropy of their shares (Hill, Ecology 1973): 10 even topics
have 10, and one topic with a long tail has little more than 1. The shift between two files is the total variation
distance of their shares: the smallest part of one that would have to change to match the other.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable

from kindling.eval.audit.dataset import Dataset
from kindling.eval.audit.finding import Finding, Severity, graded

TopicOf = Callable[[str], str | None]

NONE = "(none)"
_TOPICS = 30
_RARE = 0.01  # share of queries below which a piece makes no topic
_COMMON = 0.5  # share above which it belongs to the task
_ENOUGH = 20  # texts of a topic before its labels count
_SHIFT = 0.3  # total variation distance from which two files are about different things
_WORD = re.compile(r"[^\W_]+")


def balance(datasets: list[Dataset], topic_of: TopicOf | None) -> list[Finding]:
    """Report topics and labels of every file, and how far the topics of every two differ."""
    name = topic_of or by_pieces([text.query for data in datasets for text in data.texts])
    memo: dict[str, str] = {}
    for data in datasets:
        for text in data.texts:
            if text.query not in memo:
                memo[text.query] = name(text.query) or NONE
    found, shares = [], []
    for data in datasets:
        counts = Counter(memo[text.query] for text in data.texts if text.side != "rejected")
        total = counts.total()
        shares.append({topic: count / total for topic, count in counts.items()})
        found.append(_topics(data, counts))
        if data.kind == "labelled":
            found += _labels(data, memo)
    for at, data in enumerate(datasets):
        found += [_shift(data, shares[at], datasets[to], shares[to]) for to in range(at)]
    return found


def by_pieces(queries: Iterable[str]) -> TopicOf:
    """Make topics of the queries' own most frequent pieces; see the module's docstring."""
    distinct = list(dict.fromkeys(queries))
    pieces = [_pieces(query) for query in distinct]
    counts = Counter(piece for some in pieces for piece in some)
    common = {piece for piece, count in counts.items() if count > _COMMON * len(distinct)}
    left = [some - common for some in pieces]
    topics: list[str] = []
    while len(topics) < _TOPICS:
        counts = Counter(piece for some in left for piece in some)
        if not counts:
            break
        piece, count = max(counts.items(), key=lambda item: (item[1], len(item[0]), item[0]))
        if count < max(2, _RARE * len(distinct)):
            break
        topics.append(piece)
        left = [some for some in left if piece not in some]
    return lambda query: next((topic for topic in topics if topic in query.casefold()), None)


def _pieces(query: str) -> set[str]:
    """Give words of Latin letters whole, and character 2- to 4-grams of the rest."""
    found = set()
    for word in _WORD.findall(query.casefold()):
        if word.isascii():
            found |= {word} if len(word) > 2 else set()
        else:
            found |= {word[at : at + size] for size in (2, 3, 4) for at in range(len(word) - size + 1)}
    return found


def effective_number(counts: Iterable[int]) -> float:
    """Give the exponential of the Shannon entropy of the shares (Hill 1973, order 1)."""
    positive = [count for count in counts if count]
    total = sum(positive)
    return math.exp(-sum(count / total * math.log(count / total) for count in positive))


def _topics(data: Dataset, counts: Counter[str]) -> Finding:
    total, effective = counts.total(), effective_number(counts.values())
    top = counts.most_common(8)
    two = sum(count for topic, count in top[:2] if topic != NONE) / total
    listed = ", ".join(f"{topic} {count / total:.0%}" for topic, count in top)
    return Finding(
        "topics",
        "warning" if two > 0.5 and total >= _ENOUGH else "note",
        data.name,
        f"{len(counts)} topics, effectively {effective:.1f}: {listed}",
        of=total,
        figures={"effective": effective, "top_two": two}
        | {f"share.{topic}": count / total for topic, count in sorted(counts.items())},
    )


def _labels(data: Dataset, memo: dict[str, str]) -> list[Finding]:
    """Report the share of good, and the topics in which nearly all labels are the same."""
    good = sum(text.label == "good" for text in data.texts)
    share = good / len(data.texts)
    found = [
        Finding(
            "labels", graded(max(share, 1 - share), 0.8, 0.95), data.name, f"{share:.1%} of the labels are good",
            good, len(data.texts), figures={"good": share},
        )
    ]  # fmt: skip
    counts = Counter((memo[text.query], text.label) for text in data.texts)
    lopsided = []
    for topic in sorted({topic for topic, _ in counts}):
        goods, bads = counts[topic, "good"], counts[topic, "bad"]
        if goods + bads >= _ENOUGH and not 0.1 < goods / (goods + bads) < 0.9:
            lopsided.append(f"{topic} ({goods} good, {bads} bad)")
    severity: Severity = "warning" if lopsided else "note"
    words = "topics whose label is nearly always the same: " + (", ".join(lopsided) or "none")
    return [
        *found,
        Finding("topic_labels", severity, data.name, words, len(lopsided), len({topic for topic, _ in counts})),
    ]


def _shift(one: Dataset, shares: dict[str, float], other: Dataset, others: dict[str, float]) -> Finding:
    change = {topic: shares.get(topic, 0.0) - others.get(topic, 0.0) for topic in {*shares, *others}}
    distance = sum(map(abs, change.values())) / 2
    most = sorted(change, key=lambda topic: (-abs(change[topic]), topic))[:3]
    listed = ", ".join(f"{topic} {shares.get(topic, 0.0):.0%} against {others.get(topic, 0.0):.0%}" for topic in most)
    words = f"topics differ from {other.path.name} by {distance:.0%}: {listed}"
    return Finding(
        "topic_shift",
        "warning" if distance >= _SHIFT else "note",
        one.name,
        words,
        figures={"distance": distance},
        other=other.name,
    )
