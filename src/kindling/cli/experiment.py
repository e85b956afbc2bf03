"""`kindling eval --arms`: every arm trained and evaluated in one run, by the commands that a user would type.

    prompts ─ curate ─▶ good texts ─ train sft ─▶ SFT ─ curate what it writes ─▶ pairs ─ train rm ─┐
       │         └ fit-judge ─▶ a judge that is no reward                                          ▼
       └──────────────────────────────────── train grpo, from the base and from SFT ◀─ reward model, judge
    held-out queries ───────────────────────────────────── eval ◀┘

A step that has ended is not run again on a resume; one that was cut short goes on by its own `--resume`. An arm that
the firewall stopped is a result: its last checkpoint is evaluated, and the table says why it was stopped.

The judge that rewards evaluates too, and is shown as what it is: not independent. The judge learned from the curated
pairs was no part of any reward, but its pairs were judged by the one that was: it is a pupil with other eyes, no second
opinion from outside. Give others with further `--judge`s.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict
from rich.text import Text

from kindling.agents.embedded.queries import QueryWriter
from kindling.cli import casting, console, scored
from kindling.cli.appended import Appended
from kindling.cli.arms import ARMS, Arm
from kindling.cli.groundwork import LEARNED, groundwork
from kindling.cli.lineage import placed
from kindling.cli.steps import Step, check, is_result, run_step, stopped_by
from kindling.config import FILE as CONFIG_FILE
from kindling.config import Config, load_config
from kindling.errors import ConfigError, InputError
from kindling.eval.scorecard.card import ALL, FILE, Scorecard, load_scorecard
from kindling.prompts.taskpack import load_pack
from kindling.records import request_key
from kindling.rl.training.settings import split
from kindling.runs import RunFolder, open_run, versions
from kindling.tables import read_rows, sha256, write_jsonl

EMBEDDED = "embedded"
CUT_SHORT = 3
INTERRUPTED = 130
HELD_OUT = 500  # as many as the paper's
SAMPLED = 3  # of so many prompts, SFT writes to one for its reward model's pairs
GRPO_SECTIONS = ("train", "reward", "firewall", "vllm")


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for. The first of `judges` rewards, all of them evaluate.

    Without `prompts`, so many are `drawn` from the task's own; without `queries`, `HELD_OUT` further ones are held out,
    and the task's sample queries.
    """

    model: str
    prompts: Path | None
    drawn: int
    queries: Path | None
    out: Path
    config: Config
    config_file: Path | None
    overrides: tuple[str, ...]
    judges: tuple[str, ...]
    steps: int
    samples: int
    column: str
    seed: int
    resume: bool


@dataclass(frozen=True, slots=True)
class Done:
    """A step that has ended: a line of steps.jsonl."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    step: str
    command: str
    status: int
    seconds: float


def request(
    *,
    models: Sequence[str] | None,
    model: str,
    prompts: Path | None,
    drawn: int,
    queries: Path | None,
    out: Path,
    config: Path | None,
    overrides: tuple[str, ...],
    judges: Sequence[str] | None,
    steps: int,
    samples: int,
    column: str,
    seed: int,
    resume: bool,
) -> Request:
    """Read the options. Raises `UsageError` for models, which the arms are, and for a wrong configuration."""
    if models:
        raise ConfigError("--arms trains its own models: leave the models out, and name the one to train with --model")
    _, rest = split(overrides, GRPO_SECTIONS)
    loaded = load_config(config, tuple(rest))
    # commands are run from the run's folder, and a learned judge lies elsewhere
    asked = tuple(dict.fromkeys(placed(judge) for judge in judges or [EMBEDDED]))
    return Request(
        model, prompts, drawn, queries, out, loaded, config, overrides, asked, steps, samples, column, seed, resume
    )


def carry_out(request: Request, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Train and evaluate all arms, or say which commands that takes; returns the exit status."""
    for judge in request.judges:
        casting.plan_cast(request.config, judge, seed=request.seed)
    steps = commands(request)
    prompts, held_out = _queries(request)
    if dry_run:
        _describe(steps, as_json=as_json)
        return 0
    check()
    with closing(open_run(request.out, "eval --arms", _settings(request), resume=request.resume)) as run:
        run.save(status="running", config=request.config.model_dump(mode="json"), versions=versions(), arms=ARMS)
        sampled = prompts[: -(-len(prompts) // SAMPLED)]
        write_jsonl(run.path / "prompts.jsonl", ({"query": query} for query in prompts))
        write_jsonl(run.path / "sampled.jsonl", ({"query": query} for query in sampled))
        write_jsonl(run.path / "held-out.jsonl", held_out)
        with closing(Appended(run.path / "steps.jsonl", Done)) as ended:
            for step in steps:
                if any(one.step == step.title for one in ended.records):
                    continue
                status, seconds = run_step(step, run.path, as_json=as_json)
                if status and not (status == 1 and is_result(step, run.path)):
                    return _stop(run, step, status)
                ended.add(Done(step.title, " ".join(step.arguments), status, round(seconds, 1)))
            scorecard = load_scorecard(run.path / "eval" / FILE)
            _sum_up(request, run, scorecard, ended.records, as_json=as_json)
    return 0


def _settings(request: Request) -> dict[str, Any]:
    """What defines the run: a resume with anything else here is another run."""
    return {
        "task": request.config.project.task,
        "model": request.model,
        "prompts": sha256(request.prompts) if request.prompts else request.drawn,
        "queries": sha256(request.queries) if request.queries else None,
        "column": request.column,
        "judges": list(request.judges),
        "steps": request.steps,
        "samples": request.samples,
        "set": list(request.overrides),
        "seed": request.seed,
    }


def _queries(request: Request) -> tuple[list[str], list[dict[str, Any]]]:
    """The prompts that arms learn on, and the rows of the evaluation, which none of them asks for.

    Drawn queries are what the arms were trained on, in kind; the task's samples were written one by one. Raises
    `InputError` if no prompt is left.
    """
    pack = load_pack(request.config.project.task, request.config.prompts_dir / request.config.project.task)
    if request.queries is not None:
        rows = read_rows(request.queries, (request.column,), request.column)
        held_out = [{**row, "query": row[request.column]} for row in rows]
    else:
        held_out = [{"query": query, "group": "ordinary"} for query in _texts(pack.file("queries.txt"), "query")]
    if request.prompts is not None:
        known = {request_key(str(row["query"])) for row in held_out}
        prompts = [text for text in _texts(request.prompts, request.column) if request_key(text) not in known]
        if not prompts:
            raise InputError(f"{request.prompts}: no prompt is left: those that are evaluated on are not learned on")
        return prompts, held_out
    further = HELD_OUT if request.queries is None else 0
    writer, without = QueryWriter(pack.file("queries.toml")), tuple(str(row["query"]) for row in held_out)
    drawn = writer.write(request.drawn + further, request.seed, without)
    return list(drawn[: request.drawn]), [
        *({"query": query, "group": "frequent"} for query in drawn[request.drawn :]),
        *held_out,
    ]


def _texts(file: Path, column: str) -> list[str]:
    rows = read_rows(file, (column,), column)
    return [str(row[column]) for row in rows if isinstance(row[column], str) and row[column].strip()]


def commands(request: Request) -> list[Step]:
    """The whole experiment as commands; paths are relative to its folder."""
    reward = request.judges[0]
    _, rest = split(request.overrides, GRPO_SECTIONS)
    own = [value for value in request.overrides if value not in rest]
    same = ("--seed", str(request.seed), *_configured(request, rest))
    start = ("--base", "base") if request.model == EMBEDDED else ("--model", _path(request.model))
    plain = [one for one in own if one.startswith("train.")]
    certified = [(judge, f"certificate-{place}.json") for place, judge in enumerate(_evaluating(request))]
    queries = ("prompts.jsonl", "--judge", reward)
    return [
        *groundwork(queries, "sampled.jsonl", reward, start, request.seed, same, _set(plain)),
        *(
            Step(f"certify {judge}", ("certify", "--judge", judge, "--out", file, *same), file, may_fail=True)
            for judge, file in certified
        ),
        *(_trained(request, arm, certified[0][1], (*same, *_set(own))) for arm in ARMS if arm.reward),
        # its tables are shown at the end, arm by arm
        Step("evaluate", _evaluation(request, certified, same), "eval", quiet=True),
    ]


def _evaluating(request: Request) -> list[str]:
    return list(dict.fromkeys((*request.judges, LEARNED)))


def _configured(request: Request, rest: Sequence[str]) -> tuple[str, ...]:
    """The configuration file, wherever a command is run from, and the values that were set."""
    here = Path(CONFIG_FILE)
    file = request.config_file or (here if here.is_file() else None)
    return (*(("--config", str(file.resolve())) if file else ()), *_set(rest))


def _set(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for value in values for word in ("--set", value))


def _path(model: str) -> str:
    """A folder as it is found from anywhere; the name of a model on the hub as it is."""
    return str(Path(model).resolve()) if Path(model).exists() else model


def _model(request: Request, arm: Arm) -> str:
    """Where an arm's weights lie, from the folder of the whole."""
    if arm.name == "base":
        return "base" if request.model == EMBEDDED else _path(request.model)
    return f"{arm.folder}/model"


def _trained(request: Request, arm: Arm, certificate: str, more: tuple[str, ...]) -> Step:
    """GRPO of one arm. No certificate is demanded, since the comparison is what shows what a judge is worth."""
    begin = next(one for one in ARMS if one.start == arm.start and one.reward is None)
    rewarded = ("--rm", "rm/model") if arm.reward == "reward model" else ("--judge", request.judges[0])
    spoken = ("--certificate", certificate) if arm.reward == "judge" else ()
    arguments = (
        "train", "grpo", "--data", "prompts.jsonl", "--model", _model(request, begin), *rewarded, *spoken,
        "--uncertified", "--out", arm.folder, "--set", f"train.max_steps={request.steps}", *more,
    )  # fmt: skip
    return Step(arm.name, arguments, arm.folder, may_fail=True)


def _evaluation(request: Request, certified: Sequence[tuple[str, str]], same: tuple[str, ...]) -> tuple[str, ...]:
    """The command that evaluates all arms. Whom a judge had a part in training, the runs' own records say."""
    models = [f"{arm.name}={_model(request, arm)}" for arm in ARMS]
    judges = [word for judge, file in certified for word in ("--judge", judge, "--certificate", file)]
    return (
        "eval", *models, "--queries", "held-out.jsonl", *judges, "--allow-reward-judge", "--train", "curate",
        "-n", str(request.samples), "--out", "eval", *same,
    )  # fmt: skip


def _stop(run: RunFolder, step: Step, status: int) -> int:
    """End the whole after a step that did not end well."""
    run.save(status="interrupted" if status == INTERRUPTED else "stopped", at=step.title)
    run.event("stopped", at=step.title, status=status)
    console.note(f"{step.title} ended with status {status}; the same command with --resume goes on from there")
    return status if status in (CUT_SHORT, INTERRUPTED) else 1 if status < 0 else status


def _describe(steps: Sequence[Step], *, as_json: bool) -> None:
    if as_json:
        console.answer({"arms": [arm.name for arm in ARMS], "commands": [list(step.arguments) for step in steps]})
        return
    for step in steps:
        console.out.print(f"$ kindling {' '.join(step.arguments)}")
    console.out.print(f"{len(ARMS)} arms in {len(steps)} commands; nothing was run or written")


def _sum_up(request: Request, run: RunFolder, scorecard: Scorecard, steps: Sequence[Done], *, as_json: bool) -> None:
    """The table of arms, the conclusions, and what each step took."""
    stopped = {arm.name: why for arm in ARMS if arm.reward and (why := stopped_by(run.path / arm.folder))}
    run.save(status="finished", steps=steps, stopped=stopped, seconds=sum(one.seconds for one in steps))
    run.event("finished")
    if as_json:
        console.answer({"scorecard": scorecard, "stopped": stopped, "steps": steps, "out": str(request.out)})
        return
    console.table("Steps", ("step", "took"), [(one.step, console.duration(one.seconds)) for one in steps])
    for group, queries in scorecard.asked.groups.items():
        _table(scorecard, group, queries, stopped)
    scored.conclusions(scorecard)
    console.note(
        f"{scored.short(LEARNED)} learned from pairs that {request.judges[0]} judged: no part of any reward, but no"
        " opinion from outside"
    )
    console.out.print(f"everything lies in {request.out}; the scorecard in {request.out / 'eval' / FILE}")


def _table(scorecard: Scorecard, group: str, queries: int, stopped: dict[str, str]) -> None:
    """One of the paper's tables: arms by judges, on the queries of a group."""
    judges = tuple(
        f"{scored.short(judge.name)}{'' if len(judge.independent_of) == len(ARMS) else ' *'}"
        for judge in scorecard.judges
    )
    rows: list[tuple[Any, ...]] = []
    for arm in ARMS:
        said = (scored.percent(one.raw) for one in scorecard.card(arm.name, group).excellence)
        rows.append((arm.name, *said, Text("firewall" if arm.name in stopped else "", style="yellow")))
    where = f"{queries:,} queries" if group == ALL else f"{queries:,} {group} queries"
    title = f"Called good, %, on {where}; *: had a part in the training of some"
    console.table(title, ("arm", *judges, "stopped by"), rows)
    if group == next(reversed(scorecard.asked.groups)):
        for name, why in stopped.items():
            console.note(f"{name} stopped: {why}")
