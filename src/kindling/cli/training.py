"""The work behind `kindling train`: check, plan, open the run folder, train, sum up.

Everything that can be wrong is looked at before the folder is made, and a run that fails before its first checkpoint
leaves none. Under `accelerate launch` every process comes through here: the first one holds the folder and speaks, the
others only train.
"""

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling.cli import console, lineage, options, planning
from kindling.config import Config, load_config
from kindling.errors import ConfigError, InputError, UsageError
from kindling.rl.training import data
from kindling.rl.training.arguments import LOGS, is_main, processes
from kindling.rl.training.card import CardFacts, card
from kindling.rl.training.checkpoints import newest
from kindling.rl.training.plan import read_shape
from kindling.rl.training.runner import Job, Result
from kindling.rl.training.settings import RewardModelSettings, Stage, TrainSettings, resolve, split
from kindling.runs import RunFolder, open_run, peak_memory_mb, versions
from kindling.tables import atomic_file

if TYPE_CHECKING:
    from kindling.rl.training.reward_model import PairData

EMBEDDED = "embedded"
SMALL = 20_000_000  # parameters: below it the embedded model's settings are the defaults
STATUS = {None: 0, "signal": 130, "budget": 3, "breach": 1}
HOW_TO_GO_ON = {
    "signal": "the same command with --resume goes on",
    "budget": "when that is mended, --resume goes on from the last checkpoint, and pays for no judgement twice",
    "breach": "",
}
# what a reward model is measured by, in words
SAID = {
    "accuracy": "prefers the chosen text",
    "matched_pairs": "pairs of about equal length",
    "matched": "prefers the chosen text of those",
    "longer": "the longer text is the chosen one",
    "reading": "prefers a text under its own query",
    "slope": "steepness of its calibration",
}
# they decide what is kept and shown of a run, and what fits into memory, not what it learns
NOT_DEFINING = {"save_every", "keep", "log_every", "micro_batch", "gradient_checkpointing"}


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for, with the settings as they were resolved."""

    stage: Stage
    model: str
    source: Path
    out: Path
    config: Config
    settings: TrainSettings
    preset: str
    seed: int
    base: Path | None = None
    merge: bool = False
    log: str = "none"
    column: str = "query"
    resume: bool = False

    @property
    def base_folder(self) -> Path:
        """Where the embedded base lies, or is to lie."""
        return self.base or self.out / "base"


def request(
    stage: Stage,
    *,
    model: str,
    source: Path,
    out: Path,
    base: Path | None,
    preset: str,
    lora: bool | None,
    merge: bool,
    log: str,
    column: str,
    config: Path | None,
    seed: int,
    resume: bool,
    overrides: Sequence[str] | None,
    sections: Sequence[str] = ("train",),
) -> tuple[Request, dict[str, dict[str, Any]]]:
    """Read the options, and the `--set` values of `sections`. Raises `UsageError` for the first that cannot be used."""
    taken, rest = split(overrides or (), sections)
    values = taken["train"] | ({} if lora is None else {"mode": "lora" if lora else "full"})
    settings = resolve(stage, preset, embedded=model == EMBEDDED or _is_small(model), given=values)
    if log not in LOGS:
        raise ConfigError(f"unknown --log {log!r}; there are {', '.join(LOGS)}")
    if base is not None and model != EMBEDDED:
        raise ConfigError("--base goes with --model embedded")
    if merge and settings.mode == "full":
        raise ConfigError("--merge goes with --lora: all weights are written whole anyway")
    loaded = load_config(config, options.overrides(list(rest)))
    _check_model(model)
    made = Request(stage, model, source, out, loaded, settings, preset, seed, base, merge, log, column, resume)
    return made, taken


def _is_small(model: str) -> bool:
    """Whether `model` is a folder with a model of the embedded one's size, such as one that came of it."""
    try:
        return read_shape(Path(model)).parameters < SMALL
    except InputError:
        return False


def _check_model(model: str) -> None:
    """See that what looks like a folder is one that holds a model."""
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(f"{model}: no config.json in this folder, so it holds no model")
    elif model != EMBEDDED and (folder.exists() or model.startswith((".", "/", "~")) or model.count("/") > 1):
        raise InputError(f"{model}: no such folder; --model takes a folder, a hub name like ORG/NAME, or embedded")


def carry_out(request: Request, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Train, or describe what it would take; returns the exit status."""
    rows = data.read(request.stage, request.source, request.column)
    examples = len(rows.rows)
    pairs = None
    if isinstance(request.settings, RewardModelSettings):
        from kindling.rl.training.reward_model import prepare_pairs

        pairs = prepare_pairs(rows.rows, request.settings, request.seed)
        examples = len(pairs.learn)
    plan = planning.plan(request, rows, examples)
    if dry_run:
        planning.describe(request, rows, plan, as_json=as_json)
        return 0
    ready(request)
    with run_folder(request, defining(request, rows), rows) as run:
        model = start(request, run, quiet=as_json)
        with console.progress(
            f"training ({request.stage})", plan.plan.steps, quiet=as_json or not is_main()
        ) as advance:
            job = Job(
                model,
                request.out,
                request.settings,
                request.seed,
                request.log,
                request.merge,
                on_step=lambda step, _, line: advance(step, words(line)),
            )
            result = _train(job, rows, pairs)
        return finish(request, run, rows, job, result, as_json=as_json)


def _train(job: Job, rows: data.Data, pairs: "PairData | None") -> Result:
    from kindling.rl.training import reward_model, sft

    return sft.train(job, rows.rows) if pairs is None else reward_model.train(job, pairs)


def ready(request: Request) -> None:
    """See that what trains is installed and can be had, before anything is written. Raises `ConfigError`."""
    from importlib.util import find_spec

    from kindling.rl.policy.runtime import hush, prepare
    from kindling.rl.training.arguments import shared, take_device
    from kindling.rl.training.runner import check_model

    prepare()
    if request.log != "none" and find_spec(request.log) is None:
        raise ConfigError(f"--log {request.log}: not installed; pip install {request.log}")
    if request.settings.mode == "lora" and find_spec("peft") is None:
        raise ConfigError("peft is not installed; pip install 'kindling[train]'")
    hush()
    take_device()
    batch: int = request.settings.batch  # type: ignore[attr-defined]
    shared(request.settings, batch, request.out, request.seed, request.log)
    if request.model != EMBEDDED:
        check_model(request.model)
    elif processes() > 1 and not request.base_folder.is_dir():
        raise ConfigError(
            f"{request.base_folder}: the embedded base is not made yet, and only one process can make it:"
            " train it without accelerate first, or name it with --base"
        )


def defining(request: Request, rows: data.Data) -> dict[str, Any]:
    """What defines the run: a resume with anything else here is another run."""
    return {
        "stage": request.stage,
        "model": request.model,
        "base": str(request.base) if request.base else None,
        "data": {"file": rows.file.name, "sha256": rows.sha256, "column": request.column},
        "seed": request.seed,
        "merge": request.merge,
        "train": request.settings.model_dump(exclude=NOT_DEFINING),
    }


@contextmanager
def run_folder(
    request: Request, settings: dict[str, Any], judged: data.Data | None = None
) -> Iterator[RunFolder | None]:
    """The open run folder of the first process, None in the others; none is left by a run that could not begin.

    `judged` are the rows that it learns from, where somebody may have judged their texts.
    """
    if not is_main():
        yield None
        return
    ties = lineage.from_here(lineage.ties_of(settings, judged))
    with closing(open_run(request.out, f"train {request.stage}", settings, resume=request.resume)) as run:
        run.save(
            status="running",
            error=None,
            preset=request.preset,
            config=request.config.model_dump(mode="json"),
            train=request.settings.model_dump(),
            versions=versions(),
            processes=processes(),
            ties=ties,
        )
        try:
            yield run
        except BaseException as error:
            if isinstance(error, UsageError) and run.new and not _anything_done(request.out):
                shutil.rmtree(request.out / "trainer", ignore_errors=True)
                shutil.rmtree(request.out / "base", ignore_errors=True)
                run.discard()
            else:
                run.save(status="failed" if isinstance(error, Exception) else "interrupted", error=type(error).__name__)
            if isinstance(error, KeyboardInterrupt):
                console.note("interrupted: the same command with --resume goes on")
            raise


def _anything_done(folder: Path) -> bool:
    """Whether a run got as far as a checkpoint, or an answer that was paid: a ledger of none leaves no file."""
    return newest(folder / "trainer") is not None or any(folder.glob("*.sqlite"))


def start(request: Request, run: RunFolder | None, *, quiet: bool) -> str:
    """Where the model to be trained lies: the embedded base is made where it is missing."""
    if request.model != EMBEDDED:
        return request.model
    folder = request.base_folder
    if not folder.is_dir() and run is not None:
        from kindling.cli.bases import embedded_texts
        from kindling.rl.policy.base import make_base

        pairs = asyncio.run(embedded_texts(request.config, request.seed))
        run.event("base", folder=str(folder), texts=len(pairs))
        with console.progress("training the embedded base", 100, quiet=quiet) as advance:
            make_base(pairs, folder, request.seed, on_step=lambda step, of: advance(100 * step // of))
    return str(folder)


def words(line: dict[str, Any]) -> str:
    """The words beside the progress bar."""
    shown = (("loss", "loss"), ("reward", "reward"), ("accuracy", "accuracy"), ("completions/mean_length", "tokens"))
    return " · ".join(f"{name} {line[key]:.3g}" for key, name in shown if isinstance(line.get(key), int | float))


def finish(
    request: Request,
    run: RunFolder | None,
    rows: data.Data,
    job: Job,
    result: Result,
    *,
    as_json: bool,
    judged: tuple[str, ...] = (),
    warning: str | None = None,
) -> int:
    """Write the card, close the record, say what came of it; returns the exit status."""
    status = STATUS[job.stop.kind if result.stopped else None]
    if run is None:
        return status
    weights = request.out / "model"
    if weights.is_dir():
        facts = CardFacts(
            stage=request.stage,
            model=request.model,
            adapter=(weights / "adapter_config.json").is_file(),
            data=rows.card,
            settings=request.settings.model_dump(),
            seed=request.seed,
            steps=result.steps,
            measured=result.measured,
            judged=judged,
            ties=tuple((one.judge, one.how) for one in lineage.from_here(lineage.ties(weights))),
            warning=warning,
            stopped=result.stopped,
        )
        with atomic_file(weights / "README.md") as file:
            file.write(card(facts).encode())
    report = {
        "stage": request.stage,
        "steps": result.steps,
        "planned": result.planned,
        "stopped": result.stopped,
        "seconds": result.seconds,
        "metrics": {name: value for name, value in result.last.items() if isinstance(value, int | float)},
        "measured": result.measured,
        "model": str(weights) if weights.is_dir() else None,
        "peak_memory_mb": peak_memory_mb(),
        "out": str(request.out),
    }
    run.save(status="finished" if result.stopped is None else "stopped", data=rows.card, **report)
    run.event("stopped" if result.stopped else "finished", step=result.steps, why=result.stopped)
    if request.stage == "rm" and weights.is_dir():
        console.note(_judges(request.out, weights))
    if as_json:
        console.answer(report)
    else:
        _show(request, report, job.stop.kind if result.stopped else None)
    return status


def _judges(out: Path, weights: Path) -> str:
    """Whether the reward model is a judge too."""
    from kindling.rl.training import calibration

    try:
        calibration.read(weights)
    except UsageError as error:
        return f"no judge yet: {error}"
    return f"it judges as --judge rm:{out}"


def _show(request: Request, report: dict[str, Any], kind: str | None) -> None:
    """The tables at the end of a run."""
    shown = ("loss", "mean_token_accuracy", "accuracy", "reward", "kl", "entropy", "completions/mean_length")
    metrics = [(name, f"{report['metrics'][name]:.4g}") for name in shown if name in report["metrics"]]
    console.table("Last metrics", ("metric", "value"), metrics)
    measured = [
        (SAID.get(name, name), f"{value:.4g}" if isinstance(value, float) else str(value))
        for name, value in report["measured"].items()
    ]
    title = {"rm": "Measured on queries that were held out"}.get(request.stage, "Means of the shadow judge's scores")
    console.table(title, ("what", "value"), measured)
    pace = f"{report['steps']:,} of {report['planned']:,} steps in {console.duration(report['seconds'])}"
    console.out.print(f"{pace} → {report['model'] or report['out']}")
    if kind is not None:
        console.note(f"stopped: {report['stopped']}; {HOW_TO_GO_ON[kind]}".rstrip("; "))
