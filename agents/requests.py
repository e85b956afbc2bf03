"""Verifiable requests: what a query asks for that can be counted, and how a response measures up.

`parse` finds the requests in a query (Chinese or English), `measure` turns each into a `Fact` about a response. Both
are pure and fast (regular expressions, one pass), and neither knows what the text is about.

    characters  "八个字", "4字", "四字成语", "4-6字": so many characters, punctuation and spaces not counted. Met if
                *one* way to cut the response fits throughout: as a whole, by lines, by sentences, or by the phrases
                between punctuation. So "八个字" takes eight characters in all, or a list of such items, and "四字"
                takes a string of four-character phrases.
    length      "50字以内", "不超过20字", "100字左右", "at least 50 characters", and any plain number above
                `EXACT_UP_TO`, which nobody means to the letter: bounds on the whole response; "about" is ± 20 %.
    words       the same in English words.
    items       "10条", "四句", "100个", "five slogans": so many items: lines where there are several, else sentences or
                phrases, whichever fits.
    brief       "简短", "短句", "一句话", "a short …": no item longer than `brief_chars` characters.
    language    "英文", "in English": at least 80 % of the letters are Latin.
    acrostic    "藏头 “平安”": the first characters of the lines, sentences or phrases spell the quoted text.
    without     "no exclamation marks", "without the word 'cheap'": none of it (asked in English only).

Numbers that count nothing are left alone, since only a number with its measure word is read: ages (18岁, 六十大寿),
years (2025), days (五一, 520, 三八节), ordinals (第一句), idioms (一句话, 每日一句, 千言万语). What cannot be counted
for certain ("几句", "两三句", "大全") is no request: a wrong fact does more harm than a missing one.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from kindling.records import Case, Fact

Kind = Literal["characters", "length", "words", "items", "brief", "language", "acrostic", "without"]

EXACT_UP_TO = 30
TOLERANCE = 0.2  # of "about N"
LATIN_SHARE = 0.8

_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_VALUES = _DIGITS | {str(value): value for value in range(10)}  # the two are mixed by those who cannot count
# nobody means a number of six digits, and a writer that took it at its word would not end
_ZH_NUMBER = "[零〇一二两三四五六七八九十百]{1,5}"
_NUMBER = rf"(?:[0-9]{{1,5}}|{_ZH_NUMBER})"
_SPAN = rf"(?P<low>{_NUMBER}) ?(?:(?:-|—|–|~|～|到|至){{1,2}} ?(?P<high>{_NUMBER}) ?)?"
_ZH_CHARS = re.compile(
    rf"(?P<before>不超过|不多于|不要超过|少于|小于|最多|控制在|至少|不少于|不低于|多于|超过|大约|大概|约)? ?"
    rf"(?<!生辰)(?<![第名0-9零〇一二两三四五六七八九十百]){_SPAN}(?:个|來|来|多)?(?:汉字|字)(?!路|架|绣|经|节|母|算|合|命|不合|排盘|开头|头)"
    rf"(?P<after>以内|之内|以下|内|左右|上下|以上)?"
)
_ZH_ITEMS = re.compile(
    rf"(?<![第每下上首0-9零〇一二两三四五六七八九十百年月日号])(?P<low>{_NUMBER}) ?"
    r"(?:条(?!件|路|腿|鱼|裙|街|命|龙)|句(?!号)|首(?!都|先|席|页|饰)|则|行(?!程|业|情|动|李|人|走|驶|星)|段(?!位|时|感)"
    r"|个(?!字|汉|人|月|小时|星期|孩|宝|儿|女|男|老|新) ?"
    r"(?=$|[\s,，。、!！?？]|\w{0,6}(?:成语|词语|句子|短句|文案|标语|口号|版本)))"
    r"(?P<after>左右|上下|以上)?"
)
_MENTIONED = re.compile(r"[提带含说有见](?P<what>[^\s的]{2,4})$")
_ZH_LINES = re.compile(rf"(?P<size>{_NUMBER})言(?P<low>{_NUMBER})句")
_ZH_BRIEF = re.compile(
    r"(?<![不长])简短|(?<![不长])短句|(?<!非)短语|精短|简洁|精简|简练|短小|最短|(?<![下上每各人])一句话|短一[些点]|又短|[别不](?:要|用)?(?:写得?)?太长"
)
_ZH_ENGLISH = re.compile(
    r"(?<!中)(?:英文|英语)(?!名|老师|教师|课|考|成绩|专业|系|四级|六级|[四六]级|角|比赛|演讲|竞赛|水平|歌)"
)
_QUOTED = "[“\"「『'‘](?P<text>[\u4e00-\u9fff]{2,8})[”\"」』'’]"
_ZH_ACROSTIC = re.compile(rf"藏头\w{{0,4}}[:： ]?{_QUOTED}|{_QUOTED.replace('text', 'text2')}\w{{0,6}}藏头")

_EN_VALUES = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "fifteen": 15, "twenty": 20,
}  # fmt: skip
_EN_NUMBER = rf"(?:[0-9]{{1,5}}|{'|'.join(_EN_VALUES)})"
_EN_SIZE = re.compile(
    r"(?:\b(?P<before>under|below|less than|fewer than|up to|at most|at least|no more than|not more than|no longer than"
    rf"|maximum(?: of)?|max\.?|within|over|more than|about|around|roughly|exactly)\s+)?"
    rf"\b(?P<low>{_EN_NUMBER})(?:\s*(?:-|to|–)\s*(?P<high>{_EN_NUMBER}))?"
    r"[\s-](?P<unit>words?|characters?|chars?|letters)\b"
    r"(?P<after>\s+(?:or less|or fewer|or under|max|maximum|or more|at most))?"
)
_EN_ITEMS = re.compile(
    rf"\b(?P<low>{_EN_NUMBER})\s+(?!(?:years?|months?|days?|weeks?|hours?|times?|people|th)\b)(?:(?!for\b|of\b|to\b)[a-z'-]+\s+){{0,3}}?"
    r"(?:slogans|taglines|lines|options|versions|variants|sentences|messages|captions|ideas|examples|headlines|quotes|poems"
    r"|wishes|phrases|texts|suggestions|items|verses|mottos|toasts)\b"
)
_EN_BRIEF = re.compile(
    r"\b(?:short|brief|concise|snappy|one[- ]liners?|one (?:sentence|line)|a single sentence)\b"
    r"(?! (?:notice|story|film|term|trip))"
)
_EN_SIGNS = {
    "exclamation marks": "[!！]", "question marks": "[?？]", "hashtags": "#", "commas": "[,，]", "digits": "[0-9]",
    "emoji": "[\u2600-\u27bf\U0001f000-\U0001faff]",
}  # fmt: skip
_EN_WITHOUT = re.compile(
    r"\b(?:no|without(?: any| using)?|avoid)\s+"
    r"(?:(?P<sign>(?:exclamation|question) (?:mark|point)s?|hashtags?|commas?|digits?|emojis?)\b"
    r"|(?:the )?words? [\"“'‘](?P<word>[a-z-]{2,20})[\"”'’])"
)
_EN_ENGLISH = re.compile(r"\bin english\b", re.IGNORECASE)

_CJK = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_BULLET = re.compile(r"^\s*(?:[(（]?\d{1,3}[)）.、．:：]|[-*•·▪◆●]|[一二三四五六七八九十]{1,3}[、.．])\s*")
_SENTENCE = re.compile(r"[。！？!?；;…]+|(?<=[a-z])\.(?=\s|$)")
_PHRASE = re.compile(r"[^\w'’-]+|_")


@dataclass(frozen=True, slots=True)
class Request:
    """One verifiable request. `words` says it to a generator, in the query's language.

    `low` and `high` bound what is counted (`None`: no upper bound); `text` is what an acrostic spells, or the pattern
    of what must not be there.
    """

    kind: Kind
    words: str
    low: int = 0
    high: int | None = None
    text: str = ""

    def fits(self, count: int) -> bool:
        """Whether `count` lies within the bounds."""
        return self.low <= count and (self.high is None or count <= self.high)


def count_characters(text: str) -> int:
    """Count letters and digits: a Chinese character is one, so is a Latin letter; punctuation, spaces, emoji none."""
    return sum(char.isalnum() for char in text)


def count_words(text: str) -> int:
    """Count words between spaces; a word has at least one letter or digit."""
    return sum(any(char.isalnum() for char in word) for word in text.split())


def lines(text: str) -> list[str]:
    """List the lines with something in them, without their bullets or numbers."""
    stripped = (_BULLET.sub("", line).strip() for line in text.splitlines())
    return [line for line in stripped if count_characters(line)]


def _sentences(text: str) -> list[str]:
    return [part for line in lines(text) for part in _SENTENCE.split(line) if count_characters(part)]


def _phrases(text: str) -> list[str]:
    return [part for line in lines(text) for part in _PHRASE.split(line) if count_characters(part)]


def _cuts(text: str) -> tuple[list[str], ...]:
    """Cut a response into units: as a whole, lines, sentences, phrases."""
    return [" ".join(lines(text))], lines(text), _sentences(text), _phrases(text)


@lru_cache(maxsize=8192)
def parse(query: str, brief_chars: int) -> tuple[Request, ...]:
    """List the verifiable requests in `query`, none twice; `brief_chars` is what the task takes for brief."""
    text = unicodedata.normalize("NFKC", query)
    found = _chinese(text, brief_chars) if _CJK.search(text) else _english(text.casefold(), brief_chars)
    sized = any(request.kind in ("characters", "length", "words") for request in found)
    # an exact size says all about brevity; asking for both would only give two facts for one
    return tuple(request for request in found if not (sized and request.kind == "brief"))


def _chinese(text: str, brief_chars: int) -> list[Request]:
    found: dict[Kind, Request] = {}
    if match := _ZH_LINES.search(text):
        size, count = number(match["size"]), number(match["low"])
        found["characters"] = Request("characters", f"每句正好{size}个字", size, size)
        found["items"] = Request("items", f"共{count}句", count, count)
    for match in _ZH_CHARS.finditer(text):
        low = number(match["low"])
        named = _MENTIONED.search(text[: match.start()])
        # "without saying 平安两字" names its two characters and asks for no length
        if _loose(match["low"]) or (named and len(named["what"]) == low):
            continue
        if request := _zh_size(match["before"], low, match["high"], match["after"]):
            found.setdefault(request.kind, request)
    for match in _ZH_ITEMS.finditer(text):
        count = number(match["low"])
        if count > 1 and not _loose(match["low"]):
            found.setdefault("items", _zh_count(count, match["after"]))
    if _ZH_BRIEF.search(text):
        found["brief"] = Request("brief", f"简短，不超过{brief_chars}个字", 0, brief_chars)
    if _ZH_ENGLISH.search(text):
        found["language"] = Request("language", "用英文写")
    if match := _ZH_ACROSTIC.search(text):
        wanted = match["text"] or match["text2"]
        found["acrostic"] = Request("acrostic", f"藏头“{wanted}”", text=wanted)
    return list(found.values())


def _zh_count(count: int, after: str | None) -> Request:
    """Read "N条(左右)"."""
    if after == "以上":
        return Request("items", f"至少{count}条", count)
    if after:
        return Request("items", f"{count}条左右", *_about(count))
    return Request("items", f"一共{count}条", count, count)


def _loose(number: str) -> bool:
    """Whether `number` is an estimate such as 两三 or 五六, which cannot be counted for certain."""
    return len(number) == 2 and set(number) <= set(_DIGITS) and _DIGITS[number[1]] - _DIGITS[number[0]] == 1


def _zh_size(before: str | None, low: int, high: str | None, after: str | None) -> Request | None:
    """Read "(不超过)N(—M)字(以内)"; None for a single character or a meaningless span."""
    if high is not None:
        top = number(high)
        return Request("characters", f"{low}到{top}个字", low, top) if 0 < low < top else None
    if low < 2:
        return None
    if after in ("以内", "之内", "以下", "内") or before in ("不超过", "不多于", "不要超过", "少于", "小于", "最多"):
        return Request("length", f"不超过{low}个字", 1, low)
    if after == "以上" or before in ("至少", "不少于", "不低于", "多于", "超过"):
        return Request("length", f"至少{low}个字", low)
    if after or before or low > EXACT_UP_TO:
        return Request("length", f"{low}字左右", *_about(low))
    return Request("characters", f"正好{low}个字", low, low)


def _english(text: str, brief_chars: int) -> list[Request]:
    found: dict[Kind, Request] = {}
    for size in _EN_SIZE.finditer(text):
        request = _en_size(size)
        found.setdefault(request.kind, request)
    if match := _EN_ITEMS.search(text):
        count = number(match["low"])
        if count > 1:
            found["items"] = Request("items", f"exactly {count} items, one a line", count, count)
    if _EN_BRIEF.search(text):
        found["brief"] = Request("brief", f"brief: at most {brief_chars} characters", 0, brief_chars)
    if _EN_ENGLISH.search(text):
        found["language"] = Request("language", "in English")
    if unwanted := dict(_unwanted(match) for match in _EN_WITHOUT.finditer(text)):
        found["without"] = Request("without", " and ".join(unwanted), 0, 0, "|".join(unwanted.values()))
    return list(found.values())


def _unwanted(match: re.Match[str]) -> tuple[str, str]:
    """What must not be there, in words and as a pattern."""
    if word := match["word"]:
        return f"without the word “{word}”", rf"\b{re.escape(word)}\b"
    name = next(name for name in _EN_SIGNS if name[:5] == match["sign"][:5])
    return f"no {name}", _EN_SIGNS[name]


def _en_size(match: re.Match[str]) -> Request:
    low, before, after = number(match["low"]), match["before"] or "", (match["after"] or "").strip()
    words = match["unit"].startswith("word")
    kind: Kind = "words" if words else "length"
    unit = "words" if words else "characters"
    if match["high"]:
        high = number(match["high"])
        return Request(kind, f"{low} to {high} {unit}", low, high)
    if before in ("at least", "over", "more than") or after == "or more":
        return Request(kind, f"at least {low} {unit}", low)
    if before in ("about", "around", "roughly"):
        return Request(kind, f"about {low} {unit}", *_about(low))
    if before in ("under", "below", "less than", "fewer than"):
        return Request(kind, f"fewer than {low} {unit}", 1, low - 1)
    # a three-word slogan has three, an 8-word maximum is a limit, and so is "in 20 words"
    if before == "exactly" or (match["unit"] == "word" and not before and not after):
        return Request(kind, f"exactly {low} {unit}", low, low)
    return Request(kind, f"at most {low} {unit}", 1, low)


def _about(count: int) -> tuple[int, int]:
    return round(count * (1 - TOLERANCE)), round(count * (1 + TOLERANCE))


def number(words: str) -> int:
    """Read a number in digits, Chinese (up to 999; also read digit by digit, digits of both kinds mixed) or English."""
    if words.isascii():
        return int(words) if words.isdigit() else _EN_VALUES[words]
    if not set(words) & set("十百"):
        return int("".join(str(_VALUES[char]) for char in words))
    total, digit = 0, 0
    for char in words:
        if char in "十百":
            total += (digit or 1) * (10 if char == "十" else 100)
            digit = 0
        else:
            digit = _VALUES[char]
    return total + digit


def case_of(query: str, response: str, brief_chars: int) -> Case:
    """The case of a query and a response, with its facts measured."""
    return Case(query, response, measure(query, response, brief_chars))


def measure(query: str, response: str, brief_chars: int) -> tuple[Fact, ...]:
    """Give a fact for every verifiable request of `query`: what was asked, what `response` has, whether it is met."""
    requests = parse(query, brief_chars)
    if not requests:
        return ()
    text = unicodedata.normalize("NFKC", response)
    chinese = bool(_CJK.search(query))
    facts = []
    for request in requests:
        measured, met = _MEASURES[request.kind](request, text, chinese)
        facts.append(Fact(request.kind, request.words, measured, met))
    return tuple(facts)


def _characters(request: Request, text: str, chinese: bool) -> tuple[str, bool]:
    for units in _cuts(text):
        sizes = [count_characters(unit) for unit in units]
        if sizes and all(request.fits(size) for size in sizes):
            return (f"{sizes[0]}个字" if chinese else f"{sizes[0]} characters"), True
    total = count_characters(text)
    return (f"{total}个字" if chinese else f"{total} characters"), False


def _length(request: Request, text: str, chinese: bool) -> tuple[str, bool]:
    # in Chinese a 字 is no space or stop; English counts characters as an editor does
    body = "\n".join(lines(text))
    count = count_characters(body) if chinese else len(body)
    return (f"{count}个字" if chinese else f"{count} characters"), request.fits(count)


def _words(request: Request, text: str, chinese: bool) -> tuple[str, bool]:
    count = count_words("\n".join(lines(text)))
    return f"{count} words", request.fits(count)


def _items(request: Request, text: str, chinese: bool) -> tuple[str, bool]:
    by_line = lines(text)
    counts = [len(by_line)] if len(by_line) > 1 else [len(_sentences(text)), len(_phrases(text))]
    # one line: whichever of sentences and phrases fits, since both are called 句
    count = next((count for count in counts if request.fits(count)), counts[0])
    return (f"{count}条" if chinese else f"{count} items"), request.fits(count)


def _brief(request: Request, text: str, chinese: bool) -> tuple[str, bool]:
    longest = max((count_characters(line) for line in lines(text)), default=0)
    return (f"{longest}个字" if chinese else f"{longest} characters"), longest > 0 and request.fits(longest)


def _language(request: Request, text: str, chinese: bool) -> tuple[str, bool]:
    letters = [char for char in text if char.isalpha()]
    share = sum(char.isascii() for char in letters) / len(letters) if letters else 0.0
    return f"{share:.0%} Latin letters", share >= LATIN_SHARE


def _without(request: Request, text: str, chinese: bool) -> tuple[str, bool]:
    count = len(re.findall(request.text, text, re.IGNORECASE))
    return (f"{count} found" if count else "none found"), count == 0 and count_characters(text) > 0


def _acrostic(request: Request, text: str, chinese: bool) -> tuple[str, bool]:
    # the heads themselves are not shown: facts stand outside the fence, and no text under judgement may get there
    met = any(request.text == "".join(unit.lstrip()[:1] for unit in units) for units in _cuts(text)[1:])
    if chinese:
        return ("首字相符" if met else "首字不符"), met
    return ("spelled" if met else "not spelled"), met


_MEASURES = {
    "characters": _characters,
    "length": _length,
    "words": _words,
    "items": _items,
    "brief": _brief,
    "language": _language,
    "acrostic": _acrostic,
    "without": _without,
}
