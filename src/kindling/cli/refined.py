"""What a game leaves in its run folder, and how people read it.

Everything here follows from the `Standing` and is written again after every round, so a kill between two files is
mended by the next start:

    standing.json          the whole game; what --resume goes on from
    history.jsonl          a line a round
    hard_negatives.jsonl   every forgery that ever fooled a judge, once
    versions/K/            principles.j2 as accepted for the K-th time (0: the first), the diff with its effect, and
                           tactics.j2 as they stood after that round
    refused/R.N/           likewise what was proposed and refused: round R, its N-th proposal
    tactics/K.j2, K.diff   the forger's tactics, every version
"""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kindling.cli import console
from kindling.eval.hard_negatives import of_game
from kindling.game import Decision, Proposal, Round, Rules, Standing
from kindling.prompts.rules import MAX_RULES, PRINCIPLES, TACTICS
from kindling.tables import atomic_file, write_json, write_jsonl

HISTORY, HARD_NEGATIVES, STANDING = "history.jsonl", "hard_negatives.jsonl", "standing.json"
VERSIONS, REFUSED = "versions", "refused"
CONTEXT = MAX_RULES  # a diff shows all rules that stay


@dataclass(frozen=True, slots=True)
class Version:
    """The principles accepted for the `number`-th time; the first ones have neither round nor proposal."""

    number: int
    rules: Rules
    played: Round | None = None
    proposal: Proposal | None = None


def versions(standing: Standing) -> list[Version]:
    """All versions of the principles, the first ones first."""
    found = [Version(0, standing.first_principles)]
    for played in standing.rounds:
        for proposal in played.proposals:
            if proposal.decision.accepted:
                found.append(Version(len(found), proposal.rules, played, proposal))
    return found


def write(folder: Path, standing: Standing, made_from: str) -> None:
    """Write everything that follows from `standing`; `made_from` names the labelled file in the principles' head."""
    write_json(folder / STANDING, standing)
    write_jsonl(folder / HISTORY, standing.rounds)
    write_jsonl(folder / HARD_NEGATIVES, of_game(standing))
    before: Rules = standing.first_principles
    for version in versions(standing):
        place = folder / VERSIONS / str(version.number)
        _write_rules(place / PRINCIPLES, version.rules, f"version {version.number} of a game on {made_from}")
        tactics = version.played.tactics if version.played else standing.first_tactics
        _write_rules(place / TACTICS, tactics, f"beside version {version.number} of the principles")
        if version.proposal and version.played:
            _write_diff(place / "principles.diff", before, version.rules, _effect(version.played, version.proposal))
        before = version.rules
    _write_refused(folder / REFUSED, standing, made_from)
    _write_tactics(folder / "tactics", standing)


def _write_refused(folder: Path, standing: Standing, made_from: str) -> None:
    stands = standing.first_principles
    for played in standing.rounds:
        for place, proposal in enumerate(played.proposals, 1):
            if proposal.decision.accepted:
                stands = proposal.rules
                continue
            name = f"{played.number}.{place}"
            _write_text(folder / name / "proposed.txt", "".join(f"{rule}\n" for rule in proposal.rules))
            _write_diff(folder / name / "principles.diff", stands, proposal.rules, _effect(played, proposal))


def _write_tactics(folder: Path, standing: Standing) -> None:
    before, number = standing.first_tactics, 0
    _write_rules(folder / "0.j2", before, "the first tactics")
    for played in standing.rounds:
        if played.tactics != before:
            number += 1
            _write_rules(folder / f"{number}.j2", played.tactics, f"after round {played.number}")
            head = (
                f"round {played.number}: {played.caught} caught, {len(played.fooled)} passed; {played.tactics_reason}"
            )
            _write_diff(folder / f"{number}.diff", before, played.tactics, head, TACTICS)
            before = played.tactics


def _write_rules(path: Path, rules: Rules, head: str) -> None:
    # a comment ends at its mark, which a file's name may hold
    head = head.replace("#}", "# }")
    _write_text(path, f"{{# {head} -#}}\n" + "".join(f"{rule}\n" for rule in rules))


def _write_diff(path: Path, before: Rules, after: Rules, head: str, name: str = PRINCIPLES) -> None:
    lines = difflib.unified_diff(before, after, f"before/{name}", f"after/{name}", lineterm="", n=CONTEXT)
    _write_text(path, "".join(f"{line}\n" for line in (*(f"# {one}" for one in head.splitlines()), *lines)))


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(text.encode())


def _effect(played: Round, proposal: Proposal) -> str:
    """The measured effect of a proposal, and why it was made."""
    decision = proposal.decision
    said = "accepted" if decision.accepted else f"refused: {', '.join(decision.refusals)}"
    reason = " ".join(proposal.reason.split())
    return f"round {played.number}, from {proposal.lessons} lessons: {said}\n{measured(decision)}\nwhy: {reason}"


def measured(decision: Decision) -> str:
    """The figures of a decision in one line."""
    if decision.kappa is None:
        return "not measured"
    parts = [
        f"{decision.better} better, {decision.worse} worse",
        f"p {_number(decision.p)} (limit {_number(decision.alpha)})",
        f"kappa {_number(decision.kappa[0])} → {_number(decision.kappa[1])}",
    ]
    if decision.length:
        parts.append(f"length {_number(decision.length[0])} → {_number(decision.length[1])}")
    if decision.passed_again:
        parts.append(f"{len(decision.passed_again)} old forgeries pass again")
    if decision.unscored:
        parts.append(f"{decision.unscored} unscored")
    return "; ".join(parts)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return "< .001" if 0 < abs(value) < 0.001 else f"{value:.3f}"


def show(report: dict[str, Any], standing: Standing, out: Path) -> None:
    """Print what became of the game."""
    console.table("Rounds", ("round", "forged", "caught", "fooled", "cases", "errors", "proposal"), _rounds(standing))
    last = versions(standing)[-1]
    for number, rule in enumerate(last.rules, 1):
        console.out.print(f"{number:>3}. {console.plain(rule)}")
    console.out.print()
    test, counts = report["test"], report["counts"]
    console.out.print(f"On {test['cases']:,} test cases: {test['words']}")
    for name, certificate in report["certificates"].items():
        said = "passed" if certificate["passed"] else f"failed: {', '.join(certificate['failed'])}"
        console.out.print(f"certificate of the {name} judge: {said} → {certificate['file']}")
    if counts["unforged"] or counts["unscored"]:
        console.out.print(
            f"{counts['unforged']} forgeries could not be had, {counts['unscored']} texts had no verdict: "
            f"both teach nothing; see faults in {HISTORY}"
        )
    console.out.print(
        f"{counts['rounds']} rounds, {counts['accepted']} of {counts['proposed']} proposals accepted, "
        f"{counts['hard_negatives']} hard negatives; {console.duration(report['seconds'])}, "
        f"{report['calls']:,} calls in all, cost {report['cost']:.4f} → {out}"
    )
    if not counts["accepted"]:
        return
    before, after = test["kappa"]
    if before is None or after is None or after <= before:
        console.note("the test cases do not show that the last judge is better than the first: do not adopt it blindly")
    console.note(f"compare both certificates, then take the principles over: kindling prompts adopt {out}")


def _rounds(standing: Standing) -> list[tuple[Any, ...]]:
    rows = []
    for one in standing.rounds:
        said = "; ".join(
            "accepted: " + measured(each.decision) if each.decision.accepted else ", ".join(each.decision.refusals)
            for each in one.proposals
        )
        rows.append(
            (one.number, one.forged, one.caught, len(one.fooled), one.examined, one.errors, said or "no lesson")
        )
    return rows
