"""A curated row as an entry to browse: the texts, the facts, what critics, judge and reflector said."""

from collections.abc import Iterator

from kindling.eval.report.browsing import Entry, Reading
from kindling.records import Judgement, Outcome, Verdict

_TONES = {"accepted": "good", "rejected": "bad", "unscored": "none", "failed": "alarm"}


def entry(outcome: Outcome) -> Entry:
    """The row with its chosen and rejected texts first."""
    chosen = {pair.chosen_index for pair in outcome.pairs}
    rejected = {pair.rejected_index for pair in outcome.pairs}
    ranked = sorted(outcome.judgements, key=lambda one: _rank(one, chosen, rejected))
    sources = dict.fromkeys(one.candidate.source for one in outcome.judgements)
    return Entry(
        title=outcome.query.text,
        tags=((outcome.status, _TONES.get(outcome.status, "")), (outcome.reason, "")),
        facets=(outcome.status, outcome.reason, ", ".join(sources) or "nobody"),
        readings=tuple(_reading(one, chosen, rejected) for one in ranked),
        group=f"{outcome.status} {outcome.reason}",
        note=outcome.detail,
    )


def _rank(one: Judgement, chosen: set[int], rejected: set[int]) -> tuple[int, int]:
    index = one.candidate.index
    return (0 if index in chosen else 1 if index in rejected else 2), index


def _reading(one: Judgement, chosen: set[int], rejected: set[int]) -> Reading:
    index, verdict, first = one.candidate.index, one.verdict, one.first
    tags = [("chosen", "accent")] * (index in chosen) + [("rejected", "")] * (index in rejected)
    if verdict.label is None:
        tags.append(("unscored", "none"))
    else:
        tags.append((f"{verdict.label} {verdict.score:.2f}", verdict.label))
    return Reading(
        text=one.candidate.text,
        source=one.candidate.source,
        tags=tuple(tags),
        said=tuple(_said(verdict, first)),
        facts=tuple((fact.asked, fact.measured, fact.met) for fact in one.facts),
        sides=tuple(
            (each.side, tuple((point.aspect, point.reason) for point in each.points))
            for each in sorted(one.critiques, key=lambda each: each.side, reverse=True)
        ),
    )


def _said(verdict: Verdict, first: Verdict | None) -> Iterator[tuple[str, str]]:
    """Who decided what, and why; one line where the reflector had nothing to add."""
    reason = verdict.unscored or verdict.reason
    if first is None:
        yield f"judge ({verdict.judge})", reason
    elif (first.label, first.reason) == (verdict.label, verdict.reason):
        yield f"judge ({first.judge}), upheld by the reflector", reason
    else:
        yield f"judge ({first.judge})", first.unscored or f"{first.label} {first.score:.2f}: {first.reason}"
        changed = None not in (first.label, verdict.label) and first.label != verdict.label
        yield f"reflector ({verdict.judge}), {'who overturned it' if changed else 'who let it stand'}", reason
