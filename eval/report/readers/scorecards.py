"""`kindling eval`: what may be concluded, then every number that it rests on, then the texts.

The conclusions are those of the scorecard, word by word. A run that was stopped has no scorecard: its texts are shown.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kindling.errors import RunFolderError
from kindling.eval.intervals import Estimate
from kindling.eval.report.blocks import (
    Block,
    Chapter,
    Facts,
    Figure,
    Folded,
    Intervals,
    Matrix,
    MatrixCell,
    Notice,
    Point,
    Points,
    Row,
    Section,
    Table,
    Tag,
    Tone,
    Words,
)  # fmt: skip
from kindling.eval.report.browsing import Entry, Reading, Records
from kindling.eval.report.charts.intervals import axis_of, ruler, whisker
from kindling.eval.report.source import Run, money, repeat, rows, spending
from kindling.eval.report.words import fixed, interval, many, moment
from kindling.eval.scorecard.card import ALL, FILE, Card, Comparison, Evaluator, Scorecard, load_scorecard

_CONCLUSIONS: dict[str, Tag] = {
    "better": Tag("better", "good"),
    "not distinguishable": Tag("not distinguishable", "none"),
    "power": Tag("power", ""),
    "warning": Tag("warning", "alarm"),
}
NAMED = 5  # of the forbidden phrases
LARGE = 5  # values beyond it are told to a tenth
Named = tuple[str, Estimate, str, Tone]


def read(run: Run) -> Chapter:
    """The chapter of an evaluation. Raises `RunFolderError` if no text is there yet."""
    file = run.file(FILE)
    if file is None:
        return _unfinished(run)
    found = load_scorecard(file)
    sections = (*_sections(found), *_texts(run), *spending(run.record), repeat(run))
    return _chapter(
        found, run.path.resolve().name, run.status, run.when(), sections, run.notice(), money(run.record),
        str(run.record.get("started", "")),
    )  # fmt: skip


def read_file(path: Path, data: dict[str, Any]) -> Chapter:
    """The chapter of a scorecard that has come without its run."""
    found = load_scorecard(path)
    repeated = Section(
        "repeat",
        "To repeat it",
        (Facts(tuple(_made(found))), Folded("Versions", (Facts(tuple(found.versions.items())),))),
    )
    when = (f"made {moment(found.created)}",)
    return _chapter(
        found, path.stem, Tag("scorecard", "quiet"), when, (*_sections(found), repeated), None, (), found.created
    )


def _chapter(
    found: Scorecard, title: str, status: Tag, when: tuple[str, ...], sections: tuple[Section, ...],
    notice: Notice | None, cost: tuple[Figure, ...], made: str,
) -> Chapter:  # fmt: skip
    judges = " and ".join(one.name for one in found.judges)
    models, asked = many(len(found.models), "model"), found.asked
    lead = f"{models} on {asked.queries:,} queries of {asked.file}, judged by {judges}."
    apart = sum(one.apart for one in found.comparisons if one.group == ALL)
    pairs = sum(one.group == ALL for one in found.comparisons)
    figures = [
        Figure(f"{found.asked.queries:,}", "queries", f"{many(found.asked.samples, 'text')} of each model to each")
    ]
    if pairs:
        figures.append(Figure(f"{apart} of {pairs}", "pairs that can be told apart", "by a judge, on all queries"))
    figures += [
        Figure(
            f"{100 * one.detects:.1f} points",
            f"found at 80 % by {one.judge}",
            f"with {many(one.pairs, 'pair')} to tell apart",
        )
        for one in found.power
        if one.group == ALL
    ]
    return Chapter("eval", title, status, lead, when, (*figures, *cost), sections, notice, made, found.language)


def _sections(found: Scorecard) -> Iterator[Section]:
    said = tuple(Point(_CONCLUSIONS[one.kind], one.sentence) for one in found.conclusions)
    yield Section(
        "conclusions",
        "What may be concluded",
        (Points(said),) if said else (Words("Nothing: one model, and no warning."),),
    )
    groups = list(dict.fromkeys(card.group for card in found.cards))
    for place, group in enumerate(groups):
        where = "" if group == ALL else f": {group} queries"
        cards = [card for card in found.cards if card.group == group]
        yield Section(
            f"excellence-{place}", f"How many texts are called good{where}", tuple(_excellence(found.judges, cards))
        )
        pairs = [one for one in found.comparisons if one.group == group]
        if pairs:
            yield Section(f"pairs-{place}", f"Model against model{where}", tuple(_pairs(found, group, pairs)))
    cards = [card for card in found.cards if card.group == ALL]
    yield Section("kept", "Requests, length, taboos, failures", tuple(_kept(cards)))
    yield Section("variety", "How varied the texts are", tuple(_variety(cards)))
    if any(card.novelty for card in cards):
        yield Section("novelty", "How much is new", tuple(_novelty(cards)))
    yield Section("who", "Models and judges", _who(found))


def _estimates(
    head: str, unit: str, named: Sequence[Named], caption: str = "", least: Sequence[float] = (0.0, 1.0)
) -> Intervals:
    """Estimates under each other on one axis."""
    axis = axis_of((value for _, one, _, _ in named for value in (one.value, one.low, one.high)), least)
    decimals = 3 if axis.high <= LARGE else 1
    made = tuple(
        Row(
            name,
            whisker(f"{head}: {name}", one, axis, tone),
            fixed(one.value, decimals),
            interval(one, decimals),
            note=note,
        )
        for name, one, note, tone in named
    )
    return Intervals(head, made, ruler(axis, unit), caption)


def _excellence(judges: Sequence[Evaluator], cards: Sequence[Card]) -> Iterator[Block]:
    for judge in judges:
        named: list[Named] = []
        for card in cards:
            for one in card.excellence:
                if one.judge == judge.name:
                    silent = f", {one.unscored:,} without a verdict" if one.unscored else ""
                    tied = "" if one.independent else f"; not independent: {one.tie}"
                    named.append((card.model, one.raw, f"{one.good:,} of {one.scored:,} texts{silent}{tied}", ""))
                    if one.corrected.value is not None:
                        named.append(
                            (
                                f"{card.model}, corrected",
                                one.corrected,
                                one.note or "for the judge's certified errors",
                                "accent",
                            )
                        )
        yield _estimates(f"by {judge.name}", "share called good", named, _about(judge))


def _about(judge: Evaluator) -> str:
    if judge.accuracy is None:
        return f"Not corrected for the judge's errors: {judge.uncorrected}."
    known = judge.accuracy
    failed = "" if known.passed else ", which it failed"
    return (
        f"Corrected by its certificate {known.file}{failed}: it called {known.tpr:.1%} of {known.good:,} good texts"
        f" good and {known.tnr:.1%} of {known.bad:,} bad texts bad. The interval holds the noise of both."
    )


def _pairs(found: Scorecard, group: str, pairs: Sequence[Comparison]) -> Iterator[Block]:
    names = [one.name for one in found.models]
    for judge in dict.fromkeys(one.judge for one in pairs):
        here = [one for one in pairs if one.judge == judge]
        cells = {(one.one, one.other): _cell(one) for one in here}
        cells |= {(one.other, one.one): _cell(one, turned=True) for one in here}
        grid = tuple(tuple(cells.get((row, column)) for column in names) for row in names)
        caption = (
            f"By {judge}: how often the row's text wins over the column's, ties as half."
            " Coloured where the shares that are called good can be told apart."
        )
        yield Matrix(tuple(names), grid, caption)
        strong = [
            (one.model, one.strength, "", "") for one in found.strengths if (one.judge, one.group) == (judge, group)
        ]
        named: list[Named] = [(name, estimate, note, "") for name, estimate, note, _ in strong]
        if named:
            yield _estimates("Bradley-Terry strength", "log-odds, the mean is 0", named, least=(0.0,))
        heads = ("one", "other", "pairs", "won", "tied", "lost", "called good, difference", "p", "p, corrected")
        lines = tuple(
            (
                one.one, one.other, one.pairs, one.wins, one.ties, one.losses,
                f"{fixed(one.difference.value)} ({interval(one.difference)})", fixed(one.p), fixed(one.p_holm),
            )
            for one in here
        )  # fmt: skip
        tests = (
            f"Exact two-sided tests, corrected by Holm for the {many(len(here), 'pair')} by this judge on these queries"
        )
        order = "; ".join(dict.fromkeys(one.order for one in here if one.order))
        yield Folded(
            f"Every pair by {judge}",
            (Table(heads, lines, f"{tests}. Order of the two: {order}."),),
        )


def _cell(one: Comparison, *, turned: bool = False) -> MatrixCell:
    rate = one.win_rate
    if rate.value is None or rate.low is None or rate.high is None:
        return MatrixCell("–", "", "")
    value, low, high = (1 - rate.value, 1 - rate.high, 1 - rate.low) if turned else (rate.value, rate.low, rate.high)
    gained = (one.difference.value or 0) > 0
    tone: Tone = ("good" if gained != turned else "bad") if one.apart else ""
    return MatrixCell(f"{value:.0%}", f"{low:.0%} to {high:.0%}", tone)


def _kept(cards: Sequence[Card]) -> Iterator[Block]:
    met: list[Named] = [(card.model, card.requests.met, many(card.requests.texts, "text"), "") for card in cards]
    yield _estimates("verifiable requests met", "share", met)
    median: list[Named] = [(card.model, card.length.median, _ends(card), "") for card in cards]
    yield _estimates("length, median", "characters", median, least=(0.0,))
    over: list[Named] = [(card.model, card.length.over, f"over {card.length.limit:,} characters", "") for card in cards]
    yield _estimates("longer than nine in ten good examples", "share", over)
    taboo: list[Named] = [
        (card.model, card.taboo.share, ", ".join(list(card.taboo.phrases)[:NAMED]), "") for card in cards if card.taboo
    ]
    if taboo:
        yield _estimates("with wording that the task forbids", "share", taboo)
    failed: list[Named] = [(card.model, card.texts.failures, _failed(card), "") for card in cards]
    yield _estimates("failures: no whole text", "share", failed)


def _ends(card: Card) -> str:
    tenth, ninetieth = card.length.tenth, card.length.ninetieth
    return "" if tenth is None or ninetieth is None else f"a tenth under {tenth:.0f}, a tenth over {ninetieth:.0f}"


def _failed(card: Card) -> str:
    texts = card.texts
    return f"of {texts.asked:,}: {texts.empty:,} empty, {texts.cut_off:,} cut off, {texts.failed:,} failed"


def _variety(cards: Sequence[Card]) -> Iterator[Block]:
    of = [(card.model, card.diversity) for card in cards if card.diversity]
    if not of:
        yield Words("Not measured.")
        return
    yield _estimates(
        "different texts", "share", [(name, one.different, many(one.texts, "text"), "") for name, one in of]
    )
    for size in dict.fromkeys(size for _, one in of for size in one.distinct):
        named: list[Named] = [(name, one.distinct[size], one.unit, "") for name, one in of if size in one.distinct]
        yield _estimates(f"distinct {size}-grams", "share", named)
    yield _estimates("self-BLEU: less is more varied", "share", [(name, one.self_bleu, "", "") for name, one in of])
    vendi: list[Named] = [(name, one.vendi, f"of {many(one.texts, 'text')}", "") for name, one in of]
    yield _estimates("Vendi score", "effectively different texts", vendi, least=(0.0,))


def _novelty(cards: Sequence[Card]) -> Iterator[Block]:
    of = [(card.model, card.novelty) for card in cards if card.novelty]
    yield Words(
        f"Held against {', '.join(dict.fromkeys(f'{one.training:,}' for _, one in of))} different training texts."
    )
    verbatim = "stands verbatim in the training files"
    yield _estimates(verbatim, "share", [(name, one.verbatim, "", "") for name, one in of])
    yield _estimates("is nearly a training text", "share", [(name, one.near, "", "") for name, one in of])
    yield _estimates("is mostly one run of a training text", "share", [(name, one.mostly, "", "") for name, one in of])
    nearest = "similarity to the nearest training text"
    yield _estimates(nearest, "similarity", [(name, one.similarity, "", "") for name, one in of])
    run = "longest common run, median"
    yield _estimates(run, "letters", [(name, one.run, "", "") for name, one in of], least=(0.0,))
    near = tuple((name, one.query, one.text, one.nearest, one.run) for name, each in of for one in each.closest)
    if near:
        heads = ("model", "query", "text", "nearest training text", "common run")
        yield Folded("The texts nearest to training texts", (Table(heads, near),))


def _who(found: Scorecard) -> tuple[Block, ...]:
    models = tuple(
        (one.name, one.player, "; ".join(f"{tie.judge}: {tie.how}" for tie in one.ties) or "none", one.note)
        for one in found.models
    )
    judges = tuple(
        (one.name, one.template or "none", one.model or "none", ", ".join(one.independent_of) or "none")
        for one in found.judges
    )
    reach = tuple(
        (
            one.judge,
            one.group,
            one.queries,
            f"{100 * one.detects:.1f}",
            ", ".join(f"{points}: {queries:,}" for points, queries in one.needed.items()),
        )
        for one in found.power
    )
    tables: tuple[Block, ...] = (
        Table(("model", "player", "tied to judges", ""), models),
        Table(("judge", "template", "model", "independent of"), judges),
    )
    power = Table(("judge", "group", "queries", "points found at 80 %", "queries needed, by points"), reach)
    return (*tables, *((power,) if reach else ()))


def _made(found: Scorecard) -> Iterator[tuple[str, str]]:
    yield "queries", f"{found.asked.file}, sha256 {found.asked.sha256}"
    yield "seed", str(found.seed)
    yield from ((name, str(value)) for name, value in found.sampling.items())


def _texts(run: Run) -> Iterator[Section]:
    """Every query with what every model wrote and what every judge said of it."""
    lines = list(rows(run.path / "records.jsonl"))
    if lines:
        entries = _entries(lines)
        yield Section("texts", "Every text", (Records.of("texts", "query", ("group",), entries, "records.jsonl"),))


def _entries(lines: Sequence[dict[str, Any]]) -> list[Entry]:
    asked: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        asked.setdefault(line["query"], []).append(line)
    found = []
    for query, those in asked.items():
        group = those[0].get("group") or ALL
        tags = ((group, ""),) if group != ALL else ()
        found.append(Entry(query, tags, (group,), tuple(map(_reading, those)), group))
    return found


def _reading(line: dict[str, Any]) -> Reading:
    tags: list[tuple[str, str]] = [(str(line["failure"]).replace("_", " "), "alarm")] if line.get("failure") else []
    said = [("why there is no text", line.get("why") or line.get("reason") or "")] if line.get("failure") else []
    for judge, verdict in (line.get("verdicts") or {}).items():
        if verdict is None or verdict.get("label") is None:
            tags.append((f"{judge}: unscored", "none"))
            said.append((judge, (verdict or {}).get("unscored") or "no verdict"))
        else:
            tags.append((f"{judge}: {verdict['label']} {verdict['score']:.2f}", verdict["label"]))
            said.append((judge, verdict["reason"]))
    index = line.get("index", 0)
    source = f"{line['model']}, text {index + 1}" if index else str(line["model"])
    return Reading(line.get("response") or line.get("text") or "", source, tuple(tags), tuple(said))


def _unfinished(run: Run) -> Chapter:
    """What there is of an evaluation without a scorecard: the texts that have come."""
    lines = list(rows(run.path / "texts.jsonl"))
    if not lines:
        raise RunFolderError(f"{run.path}: no text has come in this evaluation, so there is nothing to report")
    counts = Counter(str(line["model"]) for line in lines)
    table = Table(("model", "texts that came"), tuple(counts.items()))
    entries = _entries(lines)
    return Chapter(
        kind="eval",
        title=run.path.resolve().name,
        status=run.status,
        lead=f"{many(len(lines), 'text')} of {many(len(counts), 'model')}; there is no scorecard yet.",
        facts=run.when(),
        figures=money(run.record),
        sections=(
            Section(
                "texts", "The texts so far", (table, Records.of("texts", "query", ("group",), entries, "texts.jsonl"))
            ),
            *spending(run.record),
            repeat(run),
        ),
        notice=run.notice("The scorecard comes when every text is judged; the same command with --resume goes on.")
        or Notice("scorecard.json is missing from this run", (), "accent"),
        made=str(run.record.get("started", "")),
    )
