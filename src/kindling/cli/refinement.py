"""The work behind `kindling refine`: read, split, play, certify the first and the last judge, sum up.

The run folder is made only when everything that can be wrong with the input has been checked. After every round the
whole game is on disk, so a run that stops anywhere goes on with the round it was in; calls that were paid come out of
the ledger. The test cases are read once, when the game is over.
"""

import asyncio
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

from kindling.agents.players import Players
from kindling.cli import casting, console, game, refined
from kindling.cli.benches import CastBench
from kindling.cli.certification import Origin, exam_of, examine
from kindling.config import Config
from kindling.errors import BudgetSpent, InputError, UsageError
from kindling.eval.certificate import load_certificate, save_certificate
from kindling.eval.gate import SCHEMA_WORDS, GateLimits, StatisticalGate
from kindling.eval.hard_negatives import of_game
from kindling.eval.labelled import read_labelled
from kindling.eval.splits import groups, split
from kindling.game import Decision, Evidence, Rules, Standing
from kindling.graphs.engine import stop_on_interrupt
from kindling.graphs.intake import read_queries
from kindling.graphs.refinement import Material, Settings, Stopped, build, judge_all, play
from kindling.prompts.rules import PRINCIPLES, TACTICS
from kindling.prompts.sources import read
from kindling.prompts.taskpack import TaskPack
from kindling.records import LabelledCase, load, text_id
from kindling.runs import RunFolder, open_run, peak_memory_mb, versions
from kindling.tables import sha256

CUT_SHORT, INTERRUPTED = 3, 130


@dataclass(frozen=True, slots=True)
class Ablations:
    """Which critics a debate goes without."""

    positive: bool = False
    negative: bool = False

    @property
    def roles(self) -> frozenset[str]:
        """Their names."""
        return frozenset(name for name in ("positive", "negative") if getattr(self, name))


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for. None leaves it to the task pack or the configuration."""

    labelled: Path
    queries: Path | None
    out: Path
    config: Config
    judge: str | None
    principles: str | None
    settings: Settings
    without: Ablations
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Game:
    """A request with everything looked up: who plays, on what, from which rules."""

    request: Request
    plan: casting.CastPlan
    material: Material
    test: tuple[LabelledCase, ...]
    start: Standing
    inputs: dict[str, dict[str, str]]

    @property
    def sizes(self) -> dict[str, int]:
        """How much there is of everything."""
        return {
            "queries": len(self.material.queries),
            "train": len(self.material.train),
            "validation": len(self.material.validation),
            "test": len(self.test),
        }


def carry_out(request: Request, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Play or describe the game; returns the exit status."""
    set_up = _set_up(request)
    if dry_run:
        _describe(set_up, as_json=as_json)
        return 0
    try:
        with closing(open_run(request.out, "refine", _settings(set_up), resume=request.resume)) as run:
            try:
                return _work(set_up, run, as_json)
            except UsageError:
                if (
                    run.new
                    and not (run.path / refined.STANDING).exists()
                    and not casting.anything_paid(run.path / casting.LEDGER)
                ):
                    run.discard()
                raise
    except (KeyboardInterrupt, asyncio.CancelledError, Stopped):
        console.note("interrupted: the same command with --resume goes on from here")
        return INTERRUPTED
    except BudgetSpent as end:
        console.note(f"stopped: {end}; the same command with --resume and a larger limit goes on from here")
        return CUT_SHORT


def _set_up(request: Request) -> Game:
    """Look everything up. Raises `UsageError` for whatever cannot be used."""
    config = request.config
    plan = game.plan_game(
        config, request.judge or game.default_judge(config), request.without.roles, request.settings.seed
    )
    pack = plan.pack
    cases = read_labelled(request.labelled)
    try:
        parts = split(cases, request.settings.seed)
    except InputError as error:
        raise InputError(f"{request.labelled}: {error}") from error
    material = Material(_queries(request, pack), parts.train, parts.validation, groups(parts.validation))
    start = Standing(_principles(request.principles, pack), pack.rules(TACTICS))
    return Game(request, plan, material, parts.test, start, game.inputs(plan, start))


def _queries(request: Request, pack: TaskPack) -> tuple[str, ...]:
    file = request.queries or pack.file("queries.txt")
    found = read_queries(file, pack.settings.language, request.config.curate.max_query_chars)
    return tuple(query.text for query in found.queries)


def _principles(given: str | None, pack: TaskPack) -> Rules:
    """The principles to start from: those in use, the pack's principles_NAME.j2, or a file's."""
    if given is None:
        return pack.principles()
    named = f"principles_{given}.j2"
    if named in pack.templates():
        return pack.rules(named)
    path = Path(given)
    if not path.is_file():
        there = [
            name.removeprefix("principles_").removesuffix(".j2") for name in pack.templates() if "principles_" in name
        ]
        raise InputError(
            f"--principles {given}: no such file, and no such list in the pack (there: {', '.join(there)})"
        )
    return pack.overlaid({PRINCIPLES: read(path)}).principles()


def _settings(set_up: Game) -> dict[str, Any]:
    """What defines the game: a resume with anything else here is another game."""
    request, plan = set_up.request, set_up.plan
    return {
        "task": request.config.project.task,
        "labelled": {"file": request.labelled.name, "sha256": sha256(request.labelled)},
        "queries": text_id(*set_up.material.queries),
        "judge": plan.judge,
        "players": plan.players,
        **plan.paid_by(),
        "game": asdict(request.settings),
        "without": sorted(request.without.roles),
        "start": text_id(*set_up.start.first_principles, "", *set_up.start.first_tactics),
        "pack": plan.pack.settings.model_dump(),
        **set_up.inputs,
    }


def _work(set_up: Game, run: RunFolder, as_json: bool) -> int:
    """Play to the end, measure, sum up."""
    request, plan = set_up.request, set_up.plan
    run.save(
        status="running",
        error=None,
        config=plan.config.model_dump(mode="json"),
        templates=set_up.inputs["templates"],
        versions=versions(),
        seed=request.settings.seed,
        sizes=set_up.sizes,
    )
    started = monotonic()
    made_from = f"{request.labelled.name}, sha256 {sha256(request.labelled)[:16]}; certify on other cases"
    refined.write(run.path, standing := _standing(set_up, run.path), made_from)
    try:
        standing, test, spent = asyncio.run(_play(set_up, run, standing, made_from, quiet=as_json))
        certificates = _certify(set_up, run.path, standing, quiet=as_json)
    except BaseException as error:
        run.save(status=_ended(error), error=type(error).__name__)
        raise
    report = _report(set_up, standing, test, certificates, spent, monotonic() - started)
    run.save(status="finished", **report)
    run.event("finished", **report["counts"])
    if as_json:
        console.answer(report)
    else:
        refined.show(report, standing, request.out)
    return 0


def _ended(error: BaseException) -> str:
    if isinstance(error, BudgetSpent):
        return "stopped"
    return "failed" if isinstance(error, Exception) and not isinstance(error, Stopped) else "interrupted"


def _standing(set_up: Game, folder: Path) -> Standing:
    """The game so far: that of the run folder, or the start."""
    file = folder / refined.STANDING
    if not file.exists():
        return set_up.start
    return load(Standing, orjson.loads(file.read_bytes()), str(file))


async def _play(
    set_up: Game, run: RunFolder, standing: Standing, made_from: str, *, quiet: bool
) -> tuple[Standing, Decision, dict[str, Any]]:
    """Play on from `standing`, then compare the first and the last judge on the test cases."""
    settings = set_up.request.settings
    gate = StatisticalGate(GateLimits(), SCHEMA_WORDS[set_up.plan.pack.settings.language])
    async with game.open_players(set_up.plan, run.path / casting.LEDGER) as troupe:
        with stop_on_interrupt() as stop, console.progress("refining", settings.rounds, quiet=quiet) as advance:

            def on_round(now: Standing) -> None:
                refined.write(run.path, now, made_from)
                run.event("round", number=len(now.rounds), accepted=now.rounds[-1].accepted)
                advance(len(now.rounds), f"{len(refined.versions(now)) - 1} accepted · cost {troupe.cost:.4f}")

            graph = build(troupe.players, gate, set_up.material, settings, on_round, stop)
            try:
                standing = await play(graph, standing, settings)
                test = await _compare(set_up, troupe.players, gate, standing)
            finally:  # also of a game that a budget ended
                run.save(**troupe.spent())
            if stop.is_set():
                raise Stopped
        return standing, test, troupe.spent()


async def _compare(set_up: Game, players: Players, gate: StatisticalGate, standing: Standing) -> Decision:
    """Weigh the last judge against the first on the test cases, for the report only.

    Forgeries are left out: those that fooled a judge were chosen by what they did to it, and say nothing of two.
    """
    cases = set_up.test
    texts = [(case.query, case.response) for case in cases]
    before, _ = await judge_all(players, standing.first_principles, texts)
    after, _ = await judge_all(players, standing.principles, texts)
    evidence = Evidence(
        labels=tuple(case.label for case in cases),
        groups=groups(cases),
        lengths=tuple(len(case.response) for case in cases),
        before=before,
        after=after,
        attacks_before=(),
        attacks_after=(),
        looks=1,
    )
    return gate.weigh(evidence)


def _certify(set_up: Game, folder: Path, standing: Standing, *, quiet: bool) -> dict[str, dict[str, Any]]:
    """Certify the first and the last judge on the test cases and the hard negatives; what is there stays."""
    request, plan = set_up.request, set_up.plan
    forged = of_game(standing)
    suite = sha256(folder / refined.HARD_NEGATIVES) if forged else ""
    origin = Origin(f"{request.labelled.name} (test cases)", sha256(request.labelled), suite)
    exam = exam_of(set_up.test, plan.pack, request.config, request.settings.seed, forged)
    found = {}
    for name, rules in (("first", standing.first_principles), ("last", standing.principles)):
        file = folder / f"certificate-{name}.json"
        if not file.exists():
            bench = CastBench(game.under(plan, rules), folder / casting.LEDGER)
            with console.progress(f"certifying the {name} judge", sum(exam.plan().values()), quiet=quiet) as advance:
                save_certificate(file, asyncio.run(examine(exam, bench, origin, advance)))
        certificate = load_certificate(file)
        found[name] = {"file": file.name, "passed": certificate.passed, "failed": certificate.failed}
    return found


def _report(
    set_up: Game,
    standing: Standing,
    test: Decision,
    certificates: dict[str, dict[str, Any]],
    spent: dict[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """What run.json and --json say."""
    proposals = [proposal for played in standing.rounds for proposal in played.proposals]
    refusals = Counter(why for proposal in proposals for why in proposal.decision.refusals)
    return {
        "counts": {
            "rounds": len(standing.rounds),
            "proposed": len(proposals),
            "accepted": sum(proposal.decision.accepted for proposal in proposals),
            "unforged": sum(played.unforged for played in standing.rounds),
            "unscored": sum(played.undecided + played.unscored for played in standing.rounds),
            "refusals": dict(sorted(refusals.items())),
            "hard_negatives": len(standing.hard_negatives),
            "asked": dict(sum((Counter(played.asked) for played in standing.rounds), Counter())),
        },
        "sizes": set_up.sizes,
        "test": {"cases": len(set_up.test), "words": refined.measured(test), **asdict(test)},
        "certificates": certificates,
        "players": set_up.plan.players,
        **spent,
        "seconds": seconds,
        "peak_memory_mb": peak_memory_mb(),
        "out": str(set_up.request.out),
    }


def _describe(set_up: Game, *, as_json: bool) -> None:
    """The dry run: who plays on what, what a round asks, how many calls in all and roughly what they cost."""
    settings, sizes, plan = set_up.request.settings, set_up.sizes, set_up.plan
    material = sizes["queries"], sizes["train"], sizes["validation"]
    of_round = game.steps(settings, *material)
    exam = exam_of(set_up.test, plan.pack, set_up.request.config, settings.seed)
    judgements = sum(exam.plan().values())
    calls = game.calls(plan, settings, *material, judgements)
    cost = plan.cost(set_up.material.queries[0], calls)
    if as_json:
        steps = [asdict(step) for step in of_round]
        about = {"players": plan.players, "sizes": sizes, "round": steps, "certificate": judgements}
        console.answer({**about, "calls": calls, "cost": cost})
        return
    console.table("Who plays", ("role", "player"), list(plan.players.items()))
    console.table("Material", ("what", "number"), list(sizes.items()))
    console.table(
        "A round asks at most",
        ("node", "role", "times", ""),
        [(step.node, step.role, step.asked, step.note) for step in of_round],
    )
    console.out.print(f"At the end, two certificates of {judgements:,} judgements each, and the forgeries that fooled")
    if calls:
        console.table(
            f"Calls in {settings.rounds} rounds and for two certificates, at most, without repairs and retries",
            ("role", "calls", "cost, about"),
            [(role, count, f"{cost[role]:.4f}") for role, count in calls.items()],
        )
    console.out.print(f"{sum(calls.values()):,} calls, cost about {sum(cost.values()):.4f}; nothing was run or written")
