"""`python -m bench.gpu`: how fast training is on this machine, with and without vLLM, and what the policy learns.

    vllm            vLLM alone on the prompts of a rollout
    grpo            kindling train grpo; grpo-colocate, grpo-server: the same with vLLM
    curve           SFT and GRPO of the embedded policy; curve-colocate: the same with vLLM

Each measurement is a process of its own with a time limit; one that fails becomes a line that says why. Figures are
written to --out after each, and added to what is there, so that the whole may be split into commands of a few minutes.
docs/gpu.md says what the figures mean. No model is downloaded.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.gpu.isolation import Outcome, isolated, machine, visible
from bench.gpu.plan import DEFAULT_SHAPES, LIMIT_MINUTES, NAMES, SPEED, Measurement, make_plan, minutes, model_seconds
from bench.gpu.results import Results, show, show_plan
from bench.gpu.shapes import SHAPES

LEAST_S = 20.0  # with less time left nothing is begun


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default=",".join(NAMES), help="measurements, with commas; default: all")
    parser.add_argument("--shapes", default=",".join(DEFAULT_SHAPES), help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--minutes", type=float, default=90, help="for everything; what finds no time says so")
    parser.add_argument("--out", type=Path, default=Path("bench-gpu.json"), help="the JSON file")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: for --shapes tiny")
    parser.add_argument("--dry-run", action="store_true", help="print the plan; needs neither torch nor a GPU")
    given = parser.parse_args(argv)
    only, shapes = (
        _listed(parser, *one) for one in (("--only", given.only, NAMES), ("--shapes", given.shapes, SHAPES))
    )
    plan = make_plan(only, shapes, given.device)
    if not plan:
        parser.error("nothing to measure: curves are of tiny and embedded, everything else is of the other shapes")
    if given.dry_run:
        show_plan(plan, minutes(plan))
        return
    devices = visible() if given.device == "cuda" else ()
    if given.device == "cuda" and not devices:
        parser.error("no CUDA device here; --dry-run shows the plan, --device cpu --shapes tiny runs all of it small")
    try:
        results = Results(given.out, machine())
    except ValueError as error:
        parser.error(str(error))
    carry_out(plan, results, devices, time.monotonic() + 60 * given.minutes)
    show(results.rows)


def carry_out(plan: Sequence[Measurement], results: Results, devices: tuple[str, ...], until: float) -> None:
    """Make every measurement that finds time before `until` (of the monotonic clock)."""
    with tempfile.TemporaryDirectory(prefix="bench-gpu-models-") as folder:
        made: dict[str, Outcome] = {}
        for one in plan:
            model = Path(folder) / one.shape
            if one.name in SPEED and one.shape not in made:
                print(f"model {one.shape}: about {model_seconds(one.shape) / 60:.1f} minutes", flush=True)
                task = {**one.flat(), "name": "model", "model": str(model), "gpus": 1, "by_vllm": False}
                made[one.shape] = _within(until, task, devices[:1])
            print(f"{one.name} {one.shape}: about {one.seconds() / 60:.1f} minutes", flush=True)
            outcome = made.get(one.shape)
            if one.name not in SPEED or (outcome is not None and outcome.figures is not None):
                task = {**one.flat(), "model": str(model), "gpus": one.gpus, "by_vllm": one.by_vllm}
                outcome = _within(until, task, devices[: one.gpus])
            assert outcome is not None
            results.add(one, outcome)
            print(f"  {outcome.seconds:.0f} s{': ' if outcome.why else ''}{outcome.why}", flush=True)


def _within(until: float, task: dict[str, object], devices: tuple[str, ...]) -> Outcome:
    left = until - time.monotonic()
    if left < LEAST_S:
        return Outcome(0.0, None, "no time was left; raise --minutes, or name it alone with --only")
    return isolated(task, min(left, 60 * LIMIT_MINUTES), devices)


def _listed(parser: argparse.ArgumentParser, option: str, value: str, known: Sequence[str]) -> list[str]:
    """The names that `value` lists, in the order of `known`."""
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if name not in known:
            parser.error(f"{option} {name}: there are {', '.join(known)}")
    return [name for name in known if name in names]


if __name__ == "__main__":
    main()
