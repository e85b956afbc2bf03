"""Chapters to one HTML page: the templates with style sheet and script inside, and a policy that allows no other.

The policy names the script and the style sheet by their hashes, so nothing that a text may smuggle in would run, and
nothing can be asked for from anywhere.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2

from kindling.eval.report.blocks import Chapter, Tag
from kindling.eval.report.words import many, number, plural, visible

_NUMERIC = re.compile(r"–|[−-]?[\d,]*\.?\d+%?")
MARK = '<meta name="generator" content="kindling report">'
"""Stands at the beginning of every page: a file that has it may be written over by another report."""


def render(title: str, chapters: Sequence[Chapter]) -> str:
    """The page; `title` heads it where there are several chapters."""
    sheet, script = (
        files("kindling.eval.report.page").joinpath(name).read_text("utf-8") for name in ("style.css", "page.js")
    )
    policy = (
        f"default-src 'none'; style-src '{_hash(sheet)}'; script-src '{_hash(script)}'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    page = _environment().get_template("page.html.j2")
    return page.render(title=title, chapters=chapters, sheet=sheet, script=script, policy=policy, mark=MARK)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("kindling.eval.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters |= {"number": number, "many": many, "plural": plural}
    made.tests |= {"tag": lambda value: isinstance(value, Tag), "numeric": _is_numeric}
    return made


def _is_numeric(value: Any) -> bool:
    """Whether a cell is set to the right."""
    return isinstance(value, int | float) or (isinstance(value, str) and _NUMERIC.fullmatch(value) is not None)


def _shown(value: Any) -> Any:
    """What a template prints: of plain text nothing stays unseen."""
    return visible(value) if type(value) is str else value
