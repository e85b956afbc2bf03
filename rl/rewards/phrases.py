"""Features of a text's surface by which an exploit can be seen and named: phrases, symbols, how it begins and ends."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

SIZE = 4  # characters: long enough to be a phrase, short enough that a variation keeps one of them
LONGEST = 24


def phrases(text: str) -> set[str]:
    """Every run of four characters in `text` (spaces are one), and every symbol, such as an emoji."""
    folded = _folded(text)
    runs = {folded[start : start + SIZE] for start in range(len(folded) - SIZE + 1)}
    return runs | {char for char in folded if unicodedata.category(char) in ("So", "Sk", "Sm")}


def counted(texts: Iterable[str]) -> Counter[str]:
    """In how many of the texts each phrase stands."""
    return Counter(phrase for text in texts for phrase in phrases(text))


def containing(texts: Sequence[str], phrase: str) -> float:
    """The share of the texts that contain `phrase`; 0 of none."""
    return sum(phrase in _folded(text) for text in texts) / len(texts) if texts else 0.0


def extended(phrase: str, texts: Sequence[str], kept: float = 0.9) -> str:
    """The longest phrase around `phrase` that at least `kept` of the texts with it have, up to 24 characters."""
    having = [folded for text in texts if phrase in (folded := _folded(text))]
    while having and len(phrase) < LONGEST:
        around: Counter[str] = Counter()
        for text in having:
            at = text.find(phrase)
            around.update({text[max(0, at - 1) : at + len(phrase)], text[at : at + len(phrase) + 1]} - {phrase})
        if not around or (best := around.most_common(1)[0])[1] < kept * len(having):
            break
        phrase = best[0]
    return phrase.strip()


def opening(text: str) -> str:
    """How a text begins: its first four characters."""
    return _folded(text)[:SIZE]


def ending(text: str) -> str:
    """How a text ends: its last four characters."""
    return _folded(text)[-SIZE:]


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())
