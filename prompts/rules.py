"""Files of rules: plain text, one rule a line, at most ten. The judge's principles and the forger's tactics are such.

Blank lines and comments are none; a number at the start of a line is dropped. What the file may not have is any other
template syntax: a rule is a sentence that people can read, count and compare.

`principles.j2` and `tactics.j2` are what templates include; a file whose name begins with `principles_` or `tactics_`
holds another list of the same kind, for a game to start from.

Rules that a model wrote reach the system message of a judge. `is_plain` says whether one can be a line of a file, and
`text_of` makes the text of one: what is read back is the same list, and no line of it can pass for template syntax, a
boundary or a chat role.
"""

import re
from collections.abc import Iterator, Sequence

from jinja2 import nodes

from kindling.errors import InputError
from kindling.prompts.fence import neutralise, one_line

PRINCIPLES = "principles.j2"
TACTICS = "tactics.j2"
MAX_RULES = 10
_NUMBERING = re.compile(r"[0-9]{1,2}[.、)）](?![0-9])\s*")
_NAME = re.compile(r"(principles|tactics)(_.+)?\.j2")
_SYNTAX = re.compile(r"\{[{%#]|[}%#]\}")


def kind(name: str) -> str | None:
    """`principles` or `tactics` if a file of that name holds rules; None if it does not."""
    found = _NAME.fullmatch(name)
    return found[1] if found else None


def unnumbered(line: str) -> str:
    """`line` without outer white space and a number at its start."""
    return _NUMBERING.sub("", line.strip(), count=1)


def numbered(tree: nodes.Template) -> list[tuple[int, str]]:
    """Line in the file (from 1) and text of every rule."""
    lines: dict[int, str] = {}
    for text in tree.find_all(nodes.TemplateData):
        # a comment inside a line leaves two pieces of it
        for line, piece in enumerate(text.data.split("\n"), text.lineno):
            lines[line] = lines.get(line, "") + piece
    stripped = ((line, unnumbered(text)) for line, text in sorted(lines.items()))
    return [(line, text) for line, text in stripped if text]


def faults(tree: nodes.Template, what: str) -> Iterator[tuple[int, str]]:
    """Line and message of everything wrong with a file of rules; `what` they are called, in the plural."""
    for node in tree.body:
        parts = node.nodes if isinstance(node, nodes.Output) else [node]
        yield from ((part.lineno, f"{what} are plain text, without template syntax but comments")
                    for part in parts if not isinstance(part, nodes.TemplateData))  # fmt: skip
    rules = numbered(tree)
    if not rules:
        yield 1, f"no {what}: write one a line"
    for line, _ in rules[MAX_RULES:]:
        yield line, f"more than {MAX_RULES} {what}: drop or merge one"
    seen: dict[str, int] = {}
    for line, text in rules:
        if seen.setdefault(text, line) != line:
            yield line, f"the same {what[:-1]} as in line {seen[text]}"


def is_plain(rule: str) -> bool:
    """Whether `rule` can be a line of a file and is read back as it is; see the module."""
    one = rule != "" and "\n" not in rule
    return one and neutralise(rule) == rule == unnumbered(rule) and not _SYNTAX.search(rule)


def text_of(rules: Sequence[str]) -> str:
    """The text of a file with `rules`. Raises `InputError` for one that is not plain: ask `is_plain` first."""
    for rule in rules:
        if not is_plain(rule):
            shown = one_line(rule)[:40]
            raise InputError(f"a rule is one plain line without number, markup and template syntax, not {shown!r}")
    return "".join(f"{rule}\n" for rule in rules)
