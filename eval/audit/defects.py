"""What is wrong with single rows, decided by rules: every hit can be explained by pointing at the text.

    equal_pair       chosen and rejected are the same text
    duplicate        the row repeats an earlier one (query and texts)
    contradiction    one text of one query has both labels, or a pair stands there in both orders
    placeholder      a slot that was never filled: [name], {name}, XX, 某某, ____
    refusal          the answer of an assistant that declines, or asks for more
    empty            no letter or digit
    hidden           control, bidirectional or zero-width characters, or U+FFFD
    repeated         most character 4-grams occur more than once
    listing          numbered or bulleted items that the query did not ask for
    very_long        beyond Tukey's outer fence, Q3 + 3 IQR, of the logarithms of the file's lengths (Tukey 1977),
                     where the query asks for no number or size
    other_script     letters of a script that hardly occurs in the file
    mixed_language   Latin words amid another script, which neither the query nor its requests call for
    junk_query       a query without letters, or a link, or longer than any request

Those in `CERTAIN` are wrong beyond doubt in a text that a model learns to write, and `repair` takes such rows out; in
a bad or rejected text the same defect is what the label says. Everything is linear in the size of the file.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kindling.eval.audit.dataset import Dataset, Text
from kindling.eval.audit.finding import Finding, Severity, examples
from kindling.records import Fact

Facts = Callable[[str, str], Iterable[Fact]]

SEVERE = ("equal_pair", "contradiction", "placeholder", "refusal")
CERTAIN = (
    "equal_pair",
    "duplicate",
    "contradiction",
    "placeholder",
    "refusal",
    "empty",
    "hidden",
    "repeated",
    "very_long",
)
WHOLE_ROW = ("equal_pair", "duplicate", "contradiction", "empty")  # whatever the side
CHECKS = (*CERTAIN, "listing", "other_script", "mixed_language", "junk_query")

_SLOT = (
    r"姓名|名字|称呼|称谓|昵称|日期|年龄|公司名|单位名|地址|地点|某某|填写|插入|此处|name|date|company|insert|recipient"
)
_PLACEHOLDER = re.compile(
    rf"[\[［【{{｛<＜(（]+[^\]］】}}｝>＞)）\n]{{0,8}}(?:{_SLOT})[^\]］】}}｝>＞)）\n]{{0,8}}[\]］】}}｝>＞)）]"
    r"|\{\{?\s*[a-z_]+\s*\}\}?|(?<![a-z0-9])[xｘ×]{2,}(?![a-z0-9])|某某|○{2,}|_{3,}",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"作为(?:一[个款名])?(?:人工智能|AI|(?:大型?)?语言模型)|(?:抱歉|对不起)[，,。！!\s]*(?:但|不过)?[我这您]?.{0,8}"
    r"(?:无法|不能|不便)(?:为[您你]|帮|提供|生成|回答|满足|协助|完成|处理|给出|继续)|我无法(?:提供|生成|回答|满足|协助|完成)"
    r"|请(?:您)?(?:再)?(?:提供|告诉我|补充)(?:更多|一下|具体|详细).{0,8}(?:信息|内容|细节|要求)"
    r"|\bas an AI\b|\bI(?:'m| am) (?:sorry, but I|unable to)"
    r"|\bI (?:cannot|can't|can not) (?:help|assist|provide|write|create|fulfill)",
    re.IGNORECASE,
)
_BULLETS = re.compile(r"(?m)^\s*(?:[(（]?\d{1,3}[)）.、．:：]|[-*•·▪◆●])\s*\S")
_LATIN_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z][a-z]{2,}(?![A-Za-z])")
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u2069\ufeff\ufffd\ue000-\uf8ff]")
_SIZED = {"items", "length", "words", "characters"}
_ITEMS = 3  # bulleted lines that make a listing
_REPEATED_FROM = 24  # characters: a shorter text may be a refrain
_RARE = 0.01  # share of the file's texts below which a script is foreign to it
_LONGEST_QUERY = 200
_FEW = 20  # texts: too few to say what is long


@dataclass(frozen=True, slots=True)
class Hit:
    """One defect: `text` is shown; `good` says whether a model would learn it as something to write."""

    check: str
    row: int
    text: str
    good: bool

    @property
    def certain(self) -> bool:
        """Whether the row should go without anybody having looked at it."""
        return self.check in CERTAIN and (self.good or self.check in WHOLE_ROW)


def find(data: Dataset, facts: Facts) -> list[Hit]:
    """List every defect of a file, by check and then by row; `facts(query, response)` measures verifiable requests."""
    hits = [*_rows(data), *_contradictions(data), *_outliers(data, facts), *_scripts(data)]
    for text in data.texts:
        for check, shown in _single(text, facts):
            hits.append(Hit(check, text.row, shown, text.model))
    order = {check: place for place, check in enumerate(CHECKS)}
    return sorted(hits, key=lambda hit: (order[hit.check], hit.row))


def report(data: Dataset, hits: list[Hit]) -> list[Finding]:
    """Turn hits into a finding a check, and one note that names what was looked for and not found."""
    found = []
    for check in CHECKS:
        here = [hit for hit in hits if hit.check == check]
        if not here:
            continue
        good = sum(hit.good for hit in here)
        severity: Severity = "severe" if check in SEVERE and good else "warning" if good else "note"
        rows = tuple(sorted({hit.row for hit in here}))
        sides = "" if check in WHOLE_ROW or data.kind == "rows" else f": {good} good texts, {len(here) - good} bad"
        shown = examples((hit.row, hit.text) for hit in sorted(here, key=lambda hit: not hit.good))
        words = f"{_WORDS[check]}{sides}"
        found.append(Finding(check, severity, data.name, words, len(rows), len(data.rows), rows, shown))
    absent = [check for check in CHECKS if all(hit.check != check for hit in hits)]
    if absent:
        found.append(Finding("clean", "note", data.name, f"none found: {', '.join(absent)}", of=len(data.rows)))
    return found


_WORDS = {
    "equal_pair": "chosen and rejected are the same text",
    "duplicate": "rows that repeat an earlier row",
    "contradiction": "one query and text with both labels, or a pair in both orders",
    "placeholder": "slots that were never filled",
    "refusal": "an assistant declines or asks back",
    "empty": "texts without a letter",
    "hidden": "control, zero-width or direction characters",
    "repeated": "texts that repeat themselves",
    "very_long": "far longer than the rest",
    "listing": "lists that nobody asked for",
    "other_script": "letters of a script that hardly occurs in the file",
    "mixed_language": "Latin words amid another script, not asked for",
    "junk_query": "queries without letters, links, or endless ones",
}


def _rows(data: Dataset) -> Iterator[Hit]:
    seen: set[tuple[str, ...]] = set()
    for texts in _grouped(data):
        first = texts[0]
        parts = [text.text.strip() for text in texts]
        if len(parts) == 2 and parts[0] == parts[1]:
            yield Hit("equal_pair", first.row, parts[0], True)
        key = (first.query.strip(), *parts, str(first.label))
        if key in seen:
            yield Hit("duplicate", first.row, f"{first.query} → {parts[0]}", True)
        seen.add(key)
        query = first.query.strip()
        if not any(char.isalpha() for char in query) or _LINK.search(query) or len(query) > _LONGEST_QUERY:
            yield Hit("junk_query", first.row, query or "(empty)", True)


def _contradictions(data: Dataset) -> Iterator[Hit]:
    """Labelled cases by query and text; pairs only in both orders, since a text may win one pair and lose another."""
    orders: dict[tuple[str, ...], dict[object, list[int]]] = defaultdict(lambda: defaultdict(list))
    for texts in _grouped(data):
        parts = [text.text.strip() for text in texts]
        if len(parts) == 1 or parts[0] != parts[1]:
            says = texts[0].label if len(parts) == 1 else parts[0] < parts[1]
            orders[(texts[0].query.strip(), *sorted(parts))][says].append(texts[0].row)
    for (query, *parts), rows in orders.items():
        if len(rows) > 1:
            for row in sorted(row for some in rows.values() for row in some):
                yield Hit("contradiction", row, f"{query} → {' / '.join(parts)}", True)


def _grouped(data: Dataset) -> Iterator[tuple[Text, ...]]:
    yield from data.pairs if data.kind == "pairs" else ((text,) for text in data.texts)


def _outliers(data: Dataset, facts: Facts) -> Iterator[Hit]:
    lengths = np.log1p([len(text.text) for text in data.texts])
    low, high = np.quantile(lengths, [0.25, 0.75])
    if len(lengths) >= _FEW:
        for at in np.flatnonzero(lengths > high + 3 * max(high - low, 0.1)):
            text = data.texts[at]
            if _SIZED & {fact.kind for fact in facts(text.query, text.text)}:
                continue  # ten of them may be ten times as long
            yield Hit("very_long", text.row, f"({len(text.text):,} characters) {text.text}", text.model)


def _scripts(data: Dataset) -> Iterator[Hit]:
    scripts = [frozenset(map(_script, filter(str.isalpha, text.text))) - {""} for text in data.texts]
    texts_with = Counter(script for some in scripts for script in some)
    foreign = {script for script, count in texts_with.items() if count < _RARE * len(scripts) and script != "LATIN"}
    for text, some in zip(data.texts, scripts, strict=True):
        if strange := some & foreign:
            yield Hit("other_script", text.row, f"({', '.join(sorted(strange)).lower()}) {text.text}", text.model)


@lru_cache(maxsize=65536)
def _script(char: str) -> str:
    """Name a letter's script by the first word of its Unicode name; empty for letter-like signs of no script."""
    name = unicodedata.name(char, "UNASSIGNED").split()[0]
    return "" if name in ("FULLWIDTH", "SUPERSCRIPT", "MODIFIER", "IDEOGRAPHIC", "FEMININE", "MASCULINE") else name


def _single(text: Text, facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield (check, what to show) for what one text shows by itself."""
    words = text.text
    if not any(char.isalnum() for char in words):
        yield "empty", words or "(empty)"
    for check, pattern in (("placeholder", _PLACEHOLDER), ("refusal", _REFUSAL), ("hidden", _HIDDEN)):
        if match := pattern.search(words):
            yield check, f"({ascii(match[0]) if check == 'hidden' else match[0]}) {words}"
    grams = [words[at : at + 4] for at in range(len(words) - 3)]
    if len(words) >= _REPEATED_FROM and len(set(grams)) < len(grams) / 2:
        yield "repeated", words
    bullets, latin = len(_BULLETS.findall(words)) >= _ITEMS, _LATIN_WORD.search(words)
    if not bullets and not latin:
        return
    asked = {fact.kind for fact in facts(text.query, words)}
    if bullets and "items" not in asked:
        yield "listing", words
    if latin and "language" not in asked and not _LATIN_WORD.search(text.query) and _mostly_other(text.query):
        yield "mixed_language", f"({latin[0]}) {words}"


def _mostly_other(text: str) -> bool:
    """Whether the letters of `text` are mostly of another script than Latin."""
    letters = [char for char in text if char.isalpha()]
    return sum(_script(char) != "LATIN" for char in letters) * 2 > len(letters)
