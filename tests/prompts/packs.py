"""A user's project folder beside the shipped pack, and values that give every role something to print."""

import re
from pathlib import Path

from kindling.prompts.check import check_pack
from kindling.prompts.taskpack import TaskPack, load_pack


def lesson(mark: str) -> dict[str, str]:
    """A case of the game to learn from, every text with `mark` at its end."""
    texts = {"query": "给朋友", "response": "万事如意。", "reason": "祝愿真诚", "why": "谁都能发"}
    return {name: f"{text}{mark}" for name, text in texts.items()}


# the evil ones spell out loud where they came from, so that a test can look for them
QUERY = "给老师写一句话QQQ"
RESPONSE = "灯亮着，路不远。RRR"
VALUES = {
    "query": QUERY,
    "response": RESPONSE,
    "examples": [{"query": "给朋友EEE", "response": "慢慢走。EEE"}],
    "requests": ["不超过20个字"],
    "facts": [{"kind": "length", "asked": "不超过20个字", "measured": "12个字", "met": True}],
    "merits": [{"aspect": "具体MMM", "reason": "有灯有路MMM"}, {"aspect": "真诚MMM", "reason": "一句到底MMM"}],
    "flaws": [{"aspect": "平淡FFF", "reason": "没有缘由FFF"}],
    "debated": True,
    "label": "good",
    "truth": "bad",
    "first": "灯亮着，路不远。RRR",
    "second": "万事如意。RRR",
    "first_facts": [{"kind": "length", "asked": "不超过20个字", "measured": "6个字", "met": True}],
    "second_facts": [{"kind": "length", "asked": "不超过20个字", "measured": "4个字", "met": True}],
    "reason": "站得住JJJ",
    "too_kind": [lesson("KKK"), lesson("KKK")],
    "too_strict": [lesson("SSS")],
    "caught": [lesson("CCC")],
}
NAMES = {
    "generator": "query examples requests",
    "positive": "query response examples facts",
    "negative": "query response examples facts",
    "judge": "query response facts merits flaws debated",
    "reflector": "query response facts merits flaws label reason",
    "comparer": "query first second first_facts second_facts",
    "forger": "query requests",
    "explainer": "query response facts label truth reason",
    "optimizer": "too_kind too_strict",
    "tactician": "caught",
}
READERS = {
    "principles.j2": {"judge", "reflector", "comparer", "explainer", "optimizer"},
    "tactics.j2": {"forger", "tactician"},
    "principles_weak.j2": set(),
}
"""Which roles read a file of rules."""
SECRET = re.compile("QQQ|RRR|EEE|MMM|FFF|JJJ|KKK|SSS|CCC")
USER = {
    "judge": """{% block system %}
Judge by these:
{% include "principles.j2" +%}
{% endblock %}
{% block user %}
{{ query | fence("query") }}
{{ response | fence("response") }}
{% for fact in facts %}{{ fact.asked }} {{ fact.measured }}
{% endfor %}
{% if debated %}
{{ merits | fence("merits") }}
{{ flaws | fence("flaws") }}
{% endif %}
SNIPPET
{% endblock %}
""",
}
SNIPPET_LINE = USER["judge"].splitlines().index("SNIPPET") + 1


def values(role: str, **changed: object) -> dict[str, object]:
    """Everything that `role` is given."""
    return {**{name: VALUES[name] for name in NAMES[role].split()}, **changed}


class Project:
    """The folder of one user's copies; `pack()` loads afresh what is there now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str) -> Path:
        """Put a file there."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def judge(self, snippet: str) -> Path:
        """Put a whole judge's template there that prints everything properly, and `snippet` at `SNIPPET_LINE`."""
        return self.write("judge.j2", USER["judge"].replace("SNIPPET", snippet))

    def pack(self) -> TaskPack:
        """The greetings pack as this user sees it."""
        return load_pack("greetings", self.folder)

    def findings(self) -> list[tuple[str, int, str]]:
        """File name, line and message of everything that `check` finds."""
        found = check_pack(self.pack())
        assert all(one.path.parent == self.folder for one in found), found
        return [(one.path.name, one.line, one.message) for one in found]


def outside(prompt: str) -> str:
    """What of a prompt stands outside all fences; fails on a fence that does not close."""
    kept, closing = [], None
    for line in prompt.split("\n"):
        if closing is not None:
            closing = None if line == closing else closing
        elif found := re.fullmatch(r"<<<.+ ([0-9a-f]{16})", line):
            closing = f"{found[1]}>>>"
        else:
            kept.append(line)
    assert closing is None, prompt
    return "\n".join(kept)
