"""A game over real sockets whose every move is known: what is wrong with a text, and which judge sees it.

A bad text bears one of three marks; a judge sees a mark if one of its principles names it ("留意甲"). Other principles
make it blind, dumb or fond of length, so that every reason of the gate can be brought about.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from kindling.agents.structured import REPAIR

MARKS = "甲乙丙"
START = ("留意甲", "要说清楚")
_WORDS = "山川湖海风云雨雪晨暮春秋江河星月花草林泉石桥舟帆灯火书画琴棋茶酒诗歌"
LENGTH = 30


def text(key: str, mark: str = "", size: int = 24) -> str:
    """Words that depend on `key` alone, with a mark in the middle."""
    digest = hashlib.shake_256(key.encode()).digest(size)
    words = "".join(_WORDS[byte % len(_WORDS)] for byte in digest)
    return words[: size // 2] + mark + words[size // 2 :]


def labelled(folder: Path, queries: int, marks: str) -> Path:
    """A file with a good and a bad text for every query; the bad ones bear `marks` in turn, and most are short."""
    rows = []
    for number in range(queries):
        mark = marks[number % len(marks)]
        query = f"给{text(f'who {number}', size=6)}的{text(f'what {number}', size=6)}祝福"
        sizes = (40, 20) if number % 6 else (20, 40)
        rows.append({"query": query, "response": text(f"good {number}", size=sizes[0]), "label": 1})
        rows.append({"query": query, "response": text(f"bad {number}", mark, sizes[1] - 1), "label": 0})
    file = folder / "labelled.jsonl"
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return file


def start(folder: Path) -> Path:
    """The principles to start from."""
    file = folder / "start.j2"
    file.write_text("\n".join(START) + "\n", encoding="utf-8")
    return file


def judge(prompt: str) -> str:
    """What a judge says: the principles stand in the first message, the text between the last boundaries."""
    principles, _, given = prompt.partition(REPAIR["zh"])[0].rpartition("请求：")
    said = next((line for line in given.split("\n") if any(mark in line for mark in MARKS)), "")
    response = _response(given)
    seen = [mark for mark in MARKS if mark in said and f"留意{mark}" in principles]
    if "不作声" in principles and hashlib.sha256(response.encode()).digest()[0] % 3 == 0:
        return "不好说"
    bad = bool(seen) or ("短的不好" in principles and len(response) < LENGTH)
    return orjson.dumps({"reason": f"见到{seen}", "verdict": "bad" if bad else "good"}).decode()


def _response(given: str) -> str:
    """The text under judgement: the longest line."""
    return max((line for line in given.split("\n") if not line.startswith(("<<<", ">>>"))), key=len)


def forger(prompt: str) -> str:
    """A forgery with a mark that depends on the request; 甲 is always caught, 乙 fools the first judge."""
    key = prompt.rpartition("请求：")[2]
    mark = "甲乙"[hashlib.sha256(key.encode()).digest()[0] % 2]
    return orjson.dumps({"flaws": f"故意写了{mark}", "response": text(f"forged {key}", mark)}).decode()


def optimizer(moves: list[tuple[str, ...] | str]) -> Callable[[str], str]:
    """An optimizer that makes these moves, one a question; a text is said as it is, and again after a repair turn."""
    left, said = list(moves), ""

    def answer(prompt: str) -> str:
        nonlocal said
        if REPAIR["zh"] not in prompt:
            move = left.pop(0)
            rules = {"reason": "因为有错", "principles": list(move)}
            said = move if isinstance(move, str) else orjson.dumps(rules).decode()
        return said

    return answer


Script = dict[str, Callable[[str], str]]


def answers(moves: list[Any]) -> Script:
    """The whole script."""
    return {
        "judge": judge,
        "forger": forger,
        "explainer": lambda prompt: orjson.dumps({"why": "没有留意记号"}).decode(),
        "optimizer": optimizer(moves),
        "tactician": lambda prompt: orjson.dumps({"reason": "被抓住了", "tactics": ["少用甲", "多用乙"]}).decode(),
    }
