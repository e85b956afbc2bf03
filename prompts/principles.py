"""The judge's principles: plain text, one a line, at most ten.

Blank lines and comments are none; a number at the start of a line is dropped. What the file may not have is any other
template syntax: a principle is a sentence that people can read, count and compare.
"""

import re
from collections.abc import Iterator

from jinja2 import nodes

MAX_PRINCIPLES = 10
_NUMBERING = re.compile(r"[0-9]{1,2}[.、)）](?![0-9])\s*")


def numbered(tree: nodes.Template) -> list[tuple[int, str]]:
    """Line in the file (from 1) and text of every principle."""
    lines: dict[int, str] = {}
    for text in tree.find_all(nodes.TemplateData):
        # a comment inside a line leaves two pieces of it
        for line, piece in enumerate(text.data.split("\n"), text.lineno):
            lines[line] = lines.get(line, "") + piece
    stripped = ((line, _NUMBERING.sub("", text.strip(), count=1)) for line, text in sorted(lines.items()))
    return [(line, text) for line, text in stripped if text]


def faults(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """Line and message of everything wrong with a file of principles."""
    for node in tree.body:
        parts = node.nodes if isinstance(node, nodes.Output) else [node]
        yield from ((part.lineno, "principles are plain text, without template syntax but comments")
                    for part in parts if not isinstance(part, nodes.TemplateData))  # fmt: skip
    principles = numbered(tree)
    if not principles:
        yield 1, "no principles: write one a line"
    for line, _ in principles[MAX_PRINCIPLES:]:
        yield line, f"more than {MAX_PRINCIPLES} principles: drop or merge one"
    seen: dict[str, int] = {}
    for line, text in principles:
        if seen.setdefault(text, line) != line:
            yield line, f"the same principle as in line {seen[text]}"
