"""The commands that the pages show: every `kindling …` of a code block, as the words that a shell would make of it."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
OTHER_LANGUAGES = ("python", "toml", "jinja", "mermaid", "json")
SHOWN = re.compile(r"(?:^|\s)kindling\s")
ELIDED = "…"
SEPARATORS = "&|;<>"


@dataclass(frozen=True)
class Shown:
    """A command on a page: what follows the word `kindling`. `whole` says that nothing is left out by an ellipsis."""

    page: str
    line: int
    words: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not any(ELIDED in word for word in self.words)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {' '.join(self.words)}"


def commands(page: Path) -> list[Shown]:
    """All commands of the page, in order; `cd DIR` is given as ("cd", DIR)."""
    name = page.relative_to(ROOT).as_posix()
    return [
        Shown(name, number, words)
        for number, line in code(page.read_text(encoding="utf-8"))
        if SHOWN.search(line)
        for words in simple_commands(line)
    ]


def code(text: str) -> Iterator[tuple[int, str]]:
    """The lines of code blocks, fenced or indented, joined where a backslash continues; with the first's number."""
    fence: str | None = None
    before, start, held = "", 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fence = line[3:].strip() if fence is None else None
            continue
        indented = fence is None and line.startswith("    ") and (not before.strip() or before.startswith("    "))
        if indented or (fence is not None and fence not in OTHER_LANGUAGES):
            start, held = (start, held + line) if held else (number, line)
            if line.endswith("\\"):
                held = held[:-1]
            else:
                yield start, held.strip()
                held = ""
        before = line


def simple_commands(line: str) -> Iterator[tuple[str, ...]]:
    """The commands of ours in a line of shell, and the changes of folder between them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=SEPARATORS)
    lexer.whitespace_split, lexer.commenters = True, "#"
    words: list[str] = []
    for word in [*lexer, "&&"]:
        if set(word) <= set(SEPARATORS):
            if words[:1] == ["cd"]:
                yield tuple(words)
            elif "kindling" in words and (words[0] == "kindling" or words[words.index("kindling") - 1] == "-m"):
                yield tuple(words[words.index("kindling") + 1 :])
            words = []
        else:
            words.append(word)
