"""`kindling curate`: what became of each row, who wrote the good texts, and every debate to be read.

Counts are taken anew from the records, so that the page says what they say; run.json adds the rows that were not worked
on. A run that was killed has no records.jsonl of its last state: the journal of finished rows is read then.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kindling.errors import InputError, RunFolderError
from kindling.eval.intervals import Estimate, share
from kindling.eval.length_bias import LengthBias, length_bias
from kindling.eval.report.blocks import (
    Block,
    Chapter,
    Chart,
    Charts,
    Figure,
    Intervals,
    Notice,
    Row,
    Section,
    Table,
    Words,
)
from kindling.eval.report.browsing import Records
from kindling.eval.report.charts.columns import Column, columns
from kindling.eval.report.charts.intervals import axis_of, ruler, shares, whisker
from kindling.eval.report.readers.debates import entry
from kindling.eval.report.source import Run, money, repeat, rows, spending
from kindling.eval.report.words import fixed, interval, many
from kindling.records import Judgement, Outcome, load

TONES = {
    "accepted": "good",
    "rejected": "bad",
    "unscored": "none",
    "failed": "alarm",
    "dropped": "quiet",
    "pending": "quiet",
}
MEANS = {
    "paired": "at least one pair was made",
    "all_good": "every candidate was called good",
    "all_bad": "every candidate was called bad",
    "no_margin": "good and bad ones differ too little",
    "too_few_verdicts": "a verdict is missing that could have made a pair",
    "no_candidates": "nothing could be generated",
    "error": "the row met a bug",
    "duplicate": "asked before in the file",
    "empty": "nothing was asked",
    "garbled": "no text that could be read",
    "link": "a link, not a request",
    "too_few_letters": "too few letters to be a request",
    "too_long": "too long to be a request",
    "repeated_character": "one character over and over",
    "other_script": "another script",
    "budget": "not worked on: a limit was reached",
    "stopped": "not worked on: the run was stopped",
    "not_needed": "not worked on: enough rows were accepted",
}
BINS = 20
Reasons = Counter[tuple[str, str]]


def read(run: Run) -> Chapter:
    """The chapter of a curation. Raises `RunFolderError` if nothing was finished in it."""
    file, outcomes = _outcomes(run)
    if not outcomes:
        raise RunFolderError(f"{run.path}: no row is finished in this run, so there is nothing to report")
    reasons = _reasons(run, outcomes)
    pairs = [(pair.chosen, pair.rejected) for one in outcomes for pair in one.pairs]
    accepted = sum(one.status == "accepted" for one in outcomes)
    total = reasons.total()
    lead = f"Of {many(total, 'row')}, {accepted:,} gave {many(len(pairs), 'preference pair')}."
    bias = length_bias(pairs)
    entries = [entry(one) for one in outcomes]
    browse = Records.of("debates", "row", ("outcome", "reason", "written by"), entries, file.name)
    sections = (
        Section("rows", "What became of each row", _fates(reasons)),
        Section("texts", "The texts and their judges", _texts(outcomes, bias)),
        Section("debates", "Every debate", (browse,)),
        *spending(run.record),
        repeat(run),
    )
    return Chapter(
        kind="curate",
        title=run.path.resolve().name,
        status=run.status,
        lead=lead,
        facts=run.when(run.record.get("work_s")),
        figures=(*_figures(total, accepted, len(pairs), outcomes, bias), *money(run.record)),
        sections=sections,
        notice=_notice(run, file, reasons, outcomes),
        made=str(run.record.get("started", "")),
        language=run.language,
    )


def _outcomes(run: Run) -> tuple[Path, list[Outcome]]:
    """Every finished row in input order, and the file that it was read from."""
    written, journal = run.path / "records.jsonl", run.path / "journal.jsonl"
    if run.record.get("status") in ("finished", "stopped") or not journal.is_file():
        return written, [_load(line, written, place) for place, line in enumerate(rows(written), 1)]
    lines = list(rows(journal))
    # only rows under the latest templates count; of a row that was run again, the last time
    found = {
        outcome.query.row: outcome
        for place, line in enumerate(lines, 1)
        if line.get("key") == lines[-1].get("key")
        for outcome in (_load(line.get("outcome"), journal, place),)
    }
    return journal, [found[row] for row in sorted(found)]


def _load(data: object, file: Path, line: int) -> Outcome:
    try:
        return load(Outcome, data, f"{file}: line {line}")
    except InputError as error:
        raise InputError(f"{error}; it was made by another version of kindling, or is damaged") from error


def _reasons(run: Run, outcomes: Sequence[Outcome]) -> Reasons:
    """(status, reason) of every row that came in, as far as that is known."""
    reasons: Reasons = Counter((one.status, one.reason) for one in outcomes)
    for one in run.record.get("reasons", ()):
        if one["status"] == "pending" and run.record.get("status") != "running":
            reasons[one["status"], one["reason"]] += one["rows"]
    return reasons


def _notice(run: Run, file: Path, reasons: Reasons, outcomes: Sequence[Outcome]) -> Notice | None:
    pending = sum(count for (status, _), count in reasons.items() if status == "pending")
    if file.name == "journal.jsonl":
        return run.notice(
            f"{many(len(outcomes), 'row')} were finished; how many came in is not recorded before a run ends."
        )
    said = sum(one["rows"] for one in run.record.get("reasons", ()) if one["status"] != "pending")
    if said != len(outcomes):
        return Notice(
            f"run.json counts {said:,} finished rows, but {file.name} holds {len(outcomes):,}",
            ("One of them was changed.",),
        )
    return run.notice(f"{many(pending, 'row')} are pending; the same command with --resume goes on.")


def _figures(
    total: int, accepted: int, pairs: int, outcomes: Sequence[Outcome], bias: LengthBias | None
) -> tuple[Figure, ...]:
    judged = Counter(one.verdict.label or "unscored" for each in outcomes for one in each.judgements)
    found = [
        Figure(f"{total:,}", "rows", f"{accepted / total:.0%} accepted"),
        Figure(f"{pairs:,}", "preference pairs"),
        Figure(
            f"{judged.total():,}",
            "texts judged",
            f"{judged['good']:,} good, {judged['bad']:,} bad, {judged['unscored']:,} unscored",
        ),
    ]
    if bias is not None:
        found.append(
            Figure(
                f"{bias.longer_chosen:.1%}",
                "the longer text won",
                f"{bias.low:.1%} to {bias.high:.1%}; half is no bias",
            )
        )
    return tuple(found)


def _fates(reasons: Reasons) -> tuple[Block, ...]:
    total = reasons.total()
    order = list(TONES)
    ranked = sorted(reasons.items(), key=lambda one: (order.index(one[0][0]), -one[1]))
    statuses = Counter(dict.fromkeys(order, 0))
    for (status, _), count in reasons.items():
        statuses[status] += count
    parts = [(status, count / total, TONES[status]) for status, count in statuses.items() if count]
    words = ", ".join(f"{status} {count:,}" for status, count in statuses.items() if count)
    table = Table(
        ("outcome", "reason", "rows", "share"),
        tuple((status, _why(why), count, f"{count / total:.1%}") for (status, why), count in ranked),
        f"The counts add up to the {many(total, 'row')}.",
        tuple(TONES[status] for (status, _), _ in ranked),
    )
    return Chart("", "", shares("What became of the rows", words, parts)), table


def _why(reason: str) -> str:
    return f"{reason}: {MEANS[reason]}" if reason in MEANS else reason


def _texts(outcomes: Sequence[Outcome], bias: LengthBias | None) -> tuple[Block, ...]:
    judged = [(one.query.text, judgement) for one in outcomes for judgement in one.judgements]
    scores = [judgement.verdict.score for _, judgement in judged if judgement.verdict.score is not None]
    blocks: list[Block] = []
    if scores:
        blocks.append(Charts((_histogram(scores), *_lengths(judged))))
    blocks.append(_shares(judged, bias))
    if overturned := _overturned([one for _, one in judged]):
        blocks.append(Words(overturned))
    troubles = Counter(one.verdict.unscored for _, one in judged if one.verdict.unscored)
    if troubles:
        rows_ = tuple((count, str(why)) for why, count in troubles.most_common())
        blocks.append(Table(("texts", "why there is no verdict"), rows_))
    return tuple(blocks)


def _histogram(scores: Sequence[float]) -> Chart:
    counts = Counter(min(int(score * BINS), BINS - 1) for score in scores)
    ends = {0: "0", BINS // 2: "0.5", BINS - 1: "1"}
    made = [
        Column(ends.get(place, ""), (("texts", counts[place], "good" if place >= BINS // 2 else "bad"),))
        for place in range(BINS)
    ]
    words = f"{counts.total():,} scores; {sum(counts[place] for place in range(BINS // 2)):,} below one half"
    drawn = columns("Scores of the texts", words, made, "score", gap=0.1)
    return Chart("Scores", "texts, by the score that stands", drawn, "Above one half a text is called good.")


def _lengths(judged: Sequence[tuple[str, Judgement]]) -> tuple[Chart, ...]:
    """How long good and bad texts are, in bins of equal width."""
    scored = [(len(one.candidate.text), one.verdict.label) for _, one in judged if one.verdict.label]
    longest = sorted(length for length, _ in scored)[int(0.99 * (len(scored) - 1))]
    width = max(1, -(-(longest + 1) // BINS))
    counts = Counter((min(length // width, BINS - 1), label) for length, label in scored)
    made = [
        Column(
            f"{place * width:,}" if place % 5 == 0 else "",
            (("good", counts[place, "good"], "good"), ("bad", counts[place, "bad"], "bad")),
        )
        for place in range(BINS)
    ]
    words = f"good and bad texts by length, in bins of {many(width, 'character')}"
    drawn = columns("Lengths of the texts", words, made, "length", gap=0.1)
    return (
        Chart(
            "Lengths",
            "texts by characters, good below, bad on top",
            drawn,
            "The last column holds all that are longer.",
        ),
    )


def _shares(judged: Sequence[tuple[str, Judgement]], bias: LengthBias | None) -> Intervals:
    """The share called good by who wrote the texts, and how often the longer text of a pair is the chosen one."""
    sources = sorted({one.candidate.source for _, one in judged})
    found: list[tuple[str, Estimate, str, float | None]] = []
    for source in sources:
        scored = [
            (query, one.verdict.label) for query, one in judged if one.candidate.source == source and one.verdict.label
        ]
        estimate = share(sum(label == "good" for _, label in scored), [query for query, _ in scored])
        found.append((f"called good: {source}", estimate, many(len(scored), "text"), None))
    if bias is not None:
        estimate = Estimate(bias.longer_chosen, bias.low, bias.high)
        found.append(
            (
                "the longer text is the chosen one",
                estimate,
                f"{many(bias.pairs, 'pair')}, {bias.equal:,} of equal length count half",
                0.5,
            )
        )
    axis = axis_of(value for _, one, _, _ in found for value in (one.value, one.low, one.high))
    made = tuple(
        Row(name, whisker(name, one, axis, "", limit), fixed(one.value), interval(one), note=note)
        for name, one, note, limit in found
    )
    caption = "Intervals count requests, not texts. The mark at one half is where length would decide nothing."
    return Intervals("share", made, ruler(axis, "share"), caption)


def _overturned(judgements: Sequence[Judgement]) -> str:
    """How often the reflector changed the judge's mind; empty where nobody reflected."""
    both = [
        (one.first.label, one.verdict.label)
        for one in judgements
        if one.first and one.first.label and one.verdict.label
    ]
    if not both:
        return ""
    changed = Counter(pair for pair in both if pair[0] != pair[1])
    worse, better = changed["good", "bad"], changed["bad", "good"]
    return (
        f"The reflector let {len(both) - changed.total():,} of {len(both):,} first verdicts stand and overturned"
        f" {changed.total():,}: {worse:,} from good to bad, {better:,} from bad to good."
    )
