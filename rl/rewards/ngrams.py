"""Units of text and their n-grams, the same for Chinese and for languages with spaces."""

import re
import unicodedata
from collections import Counter

# a CJK character is a unit, so is a word of any other script; punctuation, spaces and emoji are none
_UNIT = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[^\W\u3400-\u4dbf\u4e00-\u9fff]+")

Ngram = tuple[str, ...]


def units(text: str) -> list[str]:
    """The words of `text`, a Chinese character being one; width and case are folded away."""
    return _UNIT.findall(unicodedata.normalize("NFKC", text).casefold())


def ngrams(text: str, size: int) -> Counter[Ngram]:
    """How often each n-gram of `size` units stands in `text`; a shorter text is one n-gram as a whole."""
    found = units(text)
    if not found:
        return Counter()
    size = min(size, len(found))
    return Counter(tuple(found[start : start + size]) for start in range(len(found) - size + 1))
