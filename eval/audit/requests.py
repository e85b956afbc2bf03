"""Verifiable requests that texts do not meet, by label: what can be counted should be counted before anybody judges."""

from collections import Counter

from kindling.eval.audit.dataset import Dataset
from kindling.eval.audit.defects import Facts
from kindling.eval.audit.finding import Finding, Severity, examples


def unmet(data: Dataset, facts: Facts) -> list[Finding]:
    """Report how many texts miss a verifiable request of their query, and which kinds; none where no query has one."""
    asked: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    rows, shown = [], []
    for text in data.texts:
        measured = tuple(facts(text.query, text.text))
        if not measured:
            continue
        side = "good" if text.model else "bad"
        asked[side] += 1
        wrong = [fact for fact in measured if not fact.met]
        if not wrong:
            continue
        missed[side] += 1
        if text.model:
            kinds.update({fact.kind for fact in wrong})
            rows.append(text.row)
            shown.append((text.row, f"({wrong[0].asked}: {wrong[0].measured}) {text.query} → {text.text}"))
    if not asked:
        return []
    share = missed["good"] / asked["good"] if asked["good"] else 0.0
    texts = "texts" if data.kind == "rows" else "good texts"
    words = f"{missed['good']:,} of {asked['good']:,} {texts} miss a verifiable request"
    if kinds:
        words += f" ({', '.join(f'{kind} {count:,}' for kind, count in kinds.most_common())})"
    figures: dict[str, float] = {"good": share}
    if asked["bad"]:
        figures["bad"] = missed["bad"] / asked["bad"]
        words += f"; of the bad ones {missed['bad']:,} of {asked['bad']:,}"
    severity: Severity = "warning" if rows else "note"
    return [
        Finding(
            "unmet_request", severity, data.name, words, len(rows), asked["good"], tuple(rows), examples(shown), figures
        )
    ]
