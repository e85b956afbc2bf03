"""Numbers, intervals, times and untrusted text, as the page shows them."""

import re
from collections.abc import Mapping
from typing import Any

from kindling import runs
from kindling.eval.intervals import Estimate

# what a reader would not see, and what turns the direction of what follows. A joiner (U+200D) makes one sign of two.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """`text` with every character that is not seen, or that turns the writing round, named: `[U+202E]`."""
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text.replace("\r\n", "\n"))


def number(value: float | None) -> str:
    """Three significant digits, thousands apart, a true minus; a dash for None."""
    if value is None:
        return "–"
    if abs(value) >= 100 or value == round(value):
        said = f"{value:,.0f}"
    elif abs(value) < 1e-4:
        said = f"{value:.1e}"
    else:
        said = f"{value:.3g}"
    return said.replace("-", "−")


def fixed(value: float | None, decimals: int = 3) -> str:
    """So many decimals, for values that stand under each other; a dash for None."""
    return "–" if value is None else f"{value:.{decimals}f}".replace("-", "−")


def interval(estimate: Estimate, decimals: int = 3) -> str:
    """`0.411 to 0.568`; a dash where there is none."""
    if estimate.low is None or estimate.high is None:
        return "–"
    return f"{fixed(estimate.low, decimals)} to {fixed(estimate.high, decimals)}"


def many(count: int, noun: str) -> str:
    """`1 row`, `2,000 queries`."""
    return f"{count:,} {noun if count == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """`rows`, `queries`."""
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def duration(seconds: float | None) -> str:
    """`7.3 s`, `2 min 05 s`, `1 h 03 min`."""
    return "–" if seconds is None else runs.duration(seconds)


def moment(iso: str) -> str:
    """`2026-01-31 09:05 UTC`, from ISO 8601 in UTC; anything else as it is."""
    found = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)", iso)
    return f"{found[1]} {found[2]} UTC" if found else iso


def flat(data: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Nested settings as dotted names with their values in words; empty tables are left out."""
    found: dict[str, str] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = _said(value)
    return found


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not set"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
