"""`kindling refine`: every proposal, its difference, its effect and the gate's answer; the judge before and after."""

import difflib
from collections.abc import Iterator
from itertools import zip_longest

import orjson

from kindling.errors import RunFolderError
from kindling.eval.certificate import Certificate, load_certificate
from kindling.eval.report.blocks import (
    Block,
    Change,
    Chapter,
    Chart,
    Charts,
    Difference,
    Figure,
    Folded,
    Lines,
    Notice,
    Section,
    Table,
    Tag,
    Words,
)  # fmt: skip
from kindling.eval.report.browsing import Entry, Reading, Records
from kindling.eval.report.charts import columns as drawn
from kindling.eval.report.readers.certificates import beside
from kindling.eval.report.source import Run, money, repeat, spending
from kindling.eval.report.words import fixed, many, number
from kindling.game import Decision, Proposal, Round, Rules, Standing
from kindling.records import load

ALIKE = 0.5  # of two lines that are one, changed
WHY = {
    "unusable": "the optimizer failed, or its answer could not be read",
    "unchanged": "it is the same list",
    "too_many": "it has more principles than a judge may have",
    "schema": "a principle speaks of the form of the verdict, or is no plain sentence",
    "unscored": "the new judge leaves more cases without a verdict",
    "not_better": "it is not better on validation beyond noise, or κ falls",
    "old_attack": "a forgery that the present judge catches would pass again",
    "length": "the new judge goes by length more than the old one",
}


def read(run: Run) -> Chapter:
    """The chapter of a game. Raises `RunFolderError` if no round of it is finished."""
    standing = _standing(run)
    proposals = [proposal for played in standing.rounds for proposal in played.proposals]
    accepted = sum(one.decision.accepted for one in proposals)
    played, made = many(len(standing.rounds), "round"), many(len(proposals), "proposal")
    lead = f"{played}; {accepted:,} of {made} for better principles accepted."
    certificates = dict(_certificates(run))
    sections = (
        Section("rounds", "Round by round", (Charts(tuple(_charts(standing))), _table(standing))),
        Section("proposals", "Every proposal", tuple(_proposals(standing)) or (Words("None was made."),)),
        Section("principles", "The principles at the end", _rules(standing)),
        *_test(run, certificates),
        *_forgeries(standing),
        *spending(run.record),
        repeat(run),
    )
    return Chapter(
        kind="refine",
        title=run.path.resolve().name,
        status=run.status,
        lead=lead,
        facts=run.when(run.record.get("seconds")),
        figures=(*_figures(run, standing, accepted, len(proposals)), *money(run.record)),
        sections=sections,
        notice=_notice(run, standing),
        made=str(run.record.get("started", "")),
        language=run.language,
    )


def _standing(run: Run) -> Standing:
    file = run.path / "standing.json"
    if not file.is_file():
        raise RunFolderError(f"{run.path}: no round is finished in this game, so there is nothing to report")
    try:
        standing = load(Standing, orjson.loads(file.read_bytes()), str(file))
    except orjson.JSONDecodeError as error:
        raise RunFolderError(f"{file}: not JSON, so the run is damaged: {error}") from error
    if not standing.rounds:
        raise RunFolderError(f"{run.path}: no round is finished in this game, so there is nothing to report")
    return standing


def _notice(run: Run, standing: Standing) -> Notice | None:
    asked = run.settings.get("game", {}).get("rounds")
    return run.notice(f"{len(standing.rounds)} of {asked} rounds are finished; the test cases were not read.")


def _figures(run: Run, standing: Standing, accepted: int, proposed: int) -> tuple[Figure, ...]:
    found = []
    test = run.record.get("test")
    if test and test.get("kappa"):
        before, after = test["kappa"]
        note = f"on {test['cases']:,} test cases, not seen before"
        if rise := test.get("rise"):
            note += f"; rise {rise[0]:+.2f} to {rise[1]:+.2f}".replace("-", "−")
        found.append(Figure(f"{fixed(before, 2)} → {fixed(after, 2)}", "κ with the labels", note))
    found.append(Figure(f"{accepted} of {proposed}", "proposals accepted"))
    found.append(Figure(f"{len(standing.hard_negatives)}", "hard negatives", "forgeries that fooled a judge"))
    return tuple(found)


def _charts(standing: Standing) -> Iterator[Chart]:
    rounds = standing.rounds
    names = [str(one.number) for one in rounds]
    fates = [
        drawn.Column(
            str(one.number),
            (
                ("caught", one.caught, "good"),
                ("undecided", one.undecided, "none"),
                ("passed", len(one.fooled), "alarm"),
            ),
        )
        for one in rounds
    ]
    said = "; ".join(f"round {one.number}: {one.caught} caught, {len(one.fooled)} passed" for one in rounds)
    made = drawn.columns("Forgeries by round", said, fates, "round")
    yield Chart(
        "Forgeries",
        "caught (below), undecided, passed (on top)",
        made,
        "What the judge under the principles of that round made of them.",
    )
    changes = [change for played in rounds for proposal in played.proposals if (change := _change(played, proposal))]
    if changes:
        said = "; ".join(f"round {one.name}: {number(one.before)} to {number(one.after)}" for one in changes)
        made = drawn.changes("κ of every proposal", said, names, changes, "round")
        note = (
            "From the judge that stands (hollow) to the one proposed: green accepted, grey refused."
            " The bar is the 95 % interval of the rise."
        )
        yield Chart("κ on validation", "before and after each proposal", made, note)


def _change(played: Round, proposal: Proposal) -> drawn.Change | None:
    kappa, rise = proposal.decision.kappa, proposal.decision.rise
    if kappa is None or kappa[0] is None or kappa[1] is None:
        return None
    low, high = (kappa[0] + rise[0], kappa[0] + rise[1]) if rise else (None, None)
    return drawn.Change(str(played.number), kappa[0], kappa[1], low, high, proposal.decision.accepted)


def _table(standing: Standing) -> Table:
    rows = tuple(
        (
            one.number, one.forged, one.caught, len(one.fooled), one.examined, one.errors, one.unscored + one.undecided,
            "; ".join("accepted" if each.decision.accepted else _spaced(each.decision) for each in one.proposals)
            or "no lesson",
        )
        for one in standing.rounds
    )  # fmt: skip
    heads = ("round", "forged", "caught", "passed", "labelled cases", "errors", "no verdict", "proposal")
    return Table(heads, rows)


def _proposals(standing: Standing) -> Iterator[Difference]:
    stands = standing.first_principles
    for played in standing.rounds:
        for place, proposal in enumerate(played.proposals, 1):
            decision = proposal.decision
            several = f", proposal {place}" if len(played.proposals) > 1 else ""
            tag = Tag("accepted", "good") if decision.accepted else Tag(f"refused: {_spaced(decision)}", "none")
            effect = (("made from", many(proposal.lessons, "lesson")), *_effect(decision))
            yield Difference(
                f"Round {played.number}{several}", tag, proposal.reason, effect, tuple(_changes(stands, proposal.rules))
            )
            if decision.accepted:
                stands = proposal.rules


def _effect(decision: Decision) -> Iterator[tuple[str, str]]:
    if decision.refusals:
        yield "refused, since", "; ".join(WHY[one] for one in decision.refusals)
    if decision.kappa is None:
        return
    before, after = decision.kappa
    rise = f" (rise {decision.rise[0]:+.2f} to {decision.rise[1]:+.2f})".replace("-", "−") if decision.rise else ""
    yield "κ on validation", f"{number(before)} → {number(after)}{rise}"
    yield "cases judged", f"{decision.better} better, {decision.worse} worse"
    yield "paired test", f"p = {number(decision.p)}, must be at most {number(decision.alpha)}"
    if decision.length:
        yield "goes by length (.5 is not at all)", f"{number(decision.length[0])} → {number(decision.length[1])}"
    if decision.passed_again:
        yield "old forgeries that pass again", str(len(decision.passed_again))
    if decision.unscored:
        yield "left without a verdict", str(decision.unscored)


def _spaced(decision: Decision) -> str:
    return ", ".join(one.replace("_", " ") for one in decision.refusals)


def _changes(before: Rules, after: Rules) -> Iterator[Change]:
    """What goes and what comes; in a line that was only changed, the parts that were."""
    blocks = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    for what, start, end, new_start, new_end in blocks:
        if what == "equal":
            yield Change(" ", ((f"{many(end - start, 'principle')} as before", False),))
            continue
        gone, added = before[start:end], after[new_start:new_end]
        for old, new in zip_longest(gone, added):
            parts = _parts(old, new) if old and new else (((old or "", False),), ((new or "", False),))
            yield from (Change(sign, part) for sign, part, line in zip("−+", parts, (old, new), strict=True) if line)


def _parts(old: str, new: str) -> tuple[tuple[tuple[str, bool], ...], tuple[tuple[str, bool], ...]]:
    """Both lines in parts, each marked if the other line has not got it."""
    found = difflib.SequenceMatcher(None, old, new, autojunk=False)
    if found.ratio() < ALIKE:
        return ((old, False),), ((new, False),)
    gone = tuple((old[start:end], what != "equal") for what, start, end, _, _ in found.get_opcodes() if end > start)
    added = tuple((new[start:end], what != "equal") for what, _, _, start, end in found.get_opcodes() if end > start)
    return gone, added


def _rules(standing: Standing) -> tuple[Block, ...]:
    return (
        Lines(standing.principles, numbered=True),
        Folded("The principles at the start", (Lines(standing.first_principles, numbered=True),)),
        Folded("The forger's tactics at the end", (Lines(standing.tactics, numbered=True),)),
    )


def _certificates(run: Run) -> Iterator[tuple[str, Certificate]]:
    for name in ("first", "last"):
        if file := run.file(f"certificate-{name}.json"):
            yield name, load_certificate(file)


def _test(run: Run, found: dict[str, Certificate]) -> Iterator[Section]:
    if len(found) < 2:
        return
    words = str(run.record.get("test", {}).get("words", ""))
    blocks: tuple[Block, ...] = (
        Words(f"First against last judge on the test cases: {words}."),
        beside(found["first"], found["last"]),
        Words(
            "A judge that says good more often is also fooled more often. The line of hard negatives compares nothing:"
            " these texts were kept because they fooled this game's judges, mostly the last."
        ),
    )
    yield Section("test", "The judge before and after", blocks)


def _forgeries(standing: Standing) -> Iterator[Section]:
    entries = []
    for played in standing.rounds:
        for one in played.fooled:
            reading = Reading(text=one.response, source="forger", said=(("its forger confesses", one.flaws),))
            entries.append(
                Entry(
                    one.query,
                    ((f"round {played.number}", ""),),
                    (f"round {played.number}",),
                    (reading,),
                    str(played.number),
                )
            )
    if entries:
        browse = Records.of("forgeries", "forgery", ("round",), entries, "hard_negatives.jsonl, each text once")
        yield Section("forgeries", "Forgeries that passed", (browse,))
