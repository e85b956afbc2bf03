"""The work behind `kindling train grpo`: judges, certificate, reward, canaries, firewall, and the run.

The certificate is checked here, against the very judge that will reward: name, prompts and models must be those that
were certified. What trains gets the answer and nothing else.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from kindling.agents.requests import case_of
from kindling.agents.retriever import corpus_file
from kindling.cli import canaries as known
from kindling.cli import casting, certificates, console, planning, training
from kindling.cli.training import Request
from kindling.errors import ConfigError, UsageError
from kindling.eval.labelled import read_labelled
from kindling.records import load
from kindling.rl.firewall.firewall import BREACH, Breach
from kindling.rl.firewall.settings import Limits
from kindling.rl.training import data
from kindling.rl.training.arguments import is_main, processes
from kindling.rl.training.runner import Job, loading
from kindling.rl.training.settings import GrpoSettings, VllmSettings, section

if TYPE_CHECKING:
    from kindling.agents.judge import Judge
    from kindling.rl.rewards.judging import CachedJudge
    from kindling.rl.training.grpo import Parts

SECTIONS = ("train", "reward", "firewall", "vllm")


class RewardSettings(BaseModel):
    """Weights of the qualities and strengths of the gates; 0 leaves a term out."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    judge: float = Field(1.0, ge=0)
    reward_model: float = Field(1.0, ge=0)
    requests: float = Field(1.0, ge=0, le=1)
    length: float = Field(1.0, ge=0, le=1)
    repetition: float = Field(1.0, ge=0, le=1)
    diversity: float = Field(1.0, ge=0, le=1)
    commonplace: float = Field(1.0, ge=0, le=1)
    length_control: float = Field(1.0, ge=0, le=1)


@dataclass(frozen=True, slots=True)
class Rewarding:
    """Who rewards, by what, and who watches."""

    judge: str | None
    reward_model: Path | None
    certificate: Path | None
    uncertified: bool
    shadow: str | None
    references: Path | None
    labelled: Path | None
    weights: RewardSettings
    limits: Limits
    vllm: VllmSettings


@dataclass(slots=True)
class Bench:
    """The judges of one run, and what they came to: `spent` is filled when a judge is closed."""

    request: Request
    judge: casting.CastPlan | None
    shadow: casting.CastPlan | None
    spent: dict[str, Any] = field(default_factory=dict)

    @property
    def batches(self) -> tuple[int, int]:
        """How many cases of one rollout the judge and the shadow are asked about at once, in each process."""
        from kindling.rl.firewall.canaries import PER_STEP
        from kindling.rl.firewall.shadow import AT_MOST

        assert isinstance(self.request.settings, GrpoSettings)
        each = self.request.settings.completions // processes()
        return each + PER_STEP, min(AT_MOST, each)

    def narrow(self) -> Iterator[str]:
        """A line for every endpoint that is not allowed as many calls at once as its judge makes."""
        for plan, batch in zip((self.judge, self.shadow), self.batches, strict=True):
            yield from plan.too_narrow(batch) if plan else ()

    @asynccontextmanager
    async def open(self, plan: casting.CastPlan, name: str, batch: int) -> AsyncIterator["Judge"]:
        """Open the judge of `plan`, to be asked about `batch` cases at once; its ledger is the run's file `name`."""
        async with casting.open_cast(plan, self.request.out / name, batch=batch) as company:
            try:
                yield company.judge
            finally:
                self.spent[name] = company.spent()


def carry_out(request: Request, rewarding: Rewarding, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Train, or describe what it would take; returns the exit status."""
    settings = request.settings
    assert isinstance(settings, GrpoSettings)
    rows = data.read("grpo", request.source, request.column)
    bench = _bench(request, rewarding)
    warning, judged = _standing(bench, rewarding)
    planned = planning.plan(request, rows, len(rows.rows))
    if is_main():
        for line in bench.narrow():
            console.note(line)
    from kindling.rl.training import grpo, vllm

    grpo.check(settings, len(rows.rows), shadow=bench.shadow is not None)
    if dry_run:
        _describe(request, rows, planned, bench, as_json=as_json)
        return 0
    _no_breach(request)
    vllm.installed(rewarding.vllm)
    training.ready(request)
    vllm.check(rewarding.vllm)
    with training.run_folder(request, _defining(request, rewarding, rows, bench)) as run:
        model = training.start(request, run, quiet=as_json)
        keep = iter(grpo.short_enough(model, rows.rows, settings))
        rows = rows.where(lambda _: next(keep), "longer than train.prompt_tokens")
        grpo.check(settings, len(rows.rows), shadow=bench.shadow is not None)
        try:
            with _parts(request, rewarding, bench, model, [row["query"] for row in rows.rows]) as parts:
                total = planned.plan.steps
                with console.progress("training (grpo)", total, quiet=as_json or not is_main()) as advance:
                    job = Job(
                        model,
                        request.out,
                        settings,
                        request.seed,
                        request.log,
                        request.merge,
                        on_step=lambda step, _, line: advance(step, training.words(line)),
                    )
                    result = grpo.train(job, rows.rows, parts)
        finally:
            if run is not None:  # also of a run that ends in an error: it was paid
                run.save(spent=bench.spent)
        if run is not None:
            run.save(unscored=dict(parts.reward.failures))
        if (breach := parts.firewall.breach) is not None and breach.exploit and run is not None:
            console.note(f"exploit: {breach.exploit}")
        return training.finish(request, run, rows, job, result, as_json=as_json, judged=judged, warning=warning)


def _no_breach(request: Request) -> None:
    """Refuse to go on where the firewall has ended a run (`ConfigError`): its limits are the run's, and it is over."""
    breach = request.out / BREACH
    if request.resume and breach.is_file() and (request.out / "model").is_dir():
        line = load(Breach, orjson.loads(breach.read_bytes()), str(breach)).line
        raise ConfigError(f"{request.out}: the firewall has ended this run ({line}); begin another one")


def _bench(request: Request, rewarding: Rewarding) -> Bench:
    """Who judges. Raises `ConfigError` if nobody does, or the shadow is the judge itself."""
    if rewarding.judge is None and rewarding.reward_model is None:
        raise ConfigError("nothing to reward with: give --judge J, --rm PATH, or both")
    if rewarding.shadow is not None and rewarding.shadow == rewarding.judge:
        raise ConfigError(f"--shadow {rewarding.shadow}: is the judge that rewards; a shadow is one of another kind")
    judge, shadow = (
        casting.plan_cast(request.config, name, seed=request.seed) if name else None
        for name in (rewarding.judge, rewarding.shadow)
    )
    return Bench(request, judge, shadow)


def _standing(bench: Bench, rewarding: Rewarding) -> tuple[str | None, tuple[str, ...]]:
    """What the card says of the reward: a warning if nobody certified it, and a line for everyone who gives it.

    Raises `ConfigError` where a certificate is missing or speaks for another judge, or a reward model's own calibration
    speaks against it, and `--uncertified` was not given.
    """
    if bench.judge is None and not rewarding.uncertified:
        raise ConfigError("--rm alone has no certificate: certify it as --judge rm:PATH, or give --uncertified")
    lines: list[str] = []
    if rewarding.reward_model is not None:
        lines += _of_the_model(rewarding.reward_model, uncertified=rewarding.uncertified)
    if bench.judge is None:
        return "The reward model that rewarded it was not certified.", tuple(lines)
    name, template, model = asyncio.run(_identity(bench.judge))
    lines.append(f"judge: {name}, prompt `{template or 'none'}`{f', model {model}' if model else ''}")
    if bench.shadow is not None:
        lines.append(f"shadow judge: {bench.shadow.judge}")
    certificates.demand(name, rewarding.certificate, uncertified=rewarding.uncertified)
    if rewarding.certificate is None:
        return "The judge that rewarded it was not certified.", tuple(lines)
    certificate, reasons = certificates.held_against(
        rewarding.certificate,
        name,
        template,
        model,
        bench.judge.grading,
        uncertified=rewarding.uncertified,
        does="trains",
    )
    lines.append(f"certificate: `{rewarding.certificate.name}`, made {certificate.created}")
    if reasons:
        lines += [f"certificate: {reason}" for reason in reasons]
        return "The certificate of the judge that rewarded it does not hold.", tuple(lines)
    return None, tuple(lines)


def _of_the_model(path: Path, *, uncertified: bool) -> Iterator[str]:
    """What the card says of a reward model. Raises `ConfigError` for one that its own held-out pairs speak against."""
    from kindling.rl.training import calibration
    from kindling.rl.training.scoring import weights_folder

    yield f"reward model: `{path}`"
    found = calibration.find(weights_folder(path))
    if found is not None and found.fault:
        if not uncertified:
            raise ConfigError(
                f"--rm {path}: {found.fault}; train it on more pairs, leave it out, or give --uncertified"
            )
        yield f"reward model: {found.fault}"


async def _identity(plan: casting.CastPlan) -> tuple[str, str, str]:
    """The judge as its certificate names it: name, template, models."""
    with tempfile.TemporaryDirectory() as scratch:
        async with casting.open_cast(plan, Path(scratch) / "ledger.sqlite") as company:
            return plan.judge, company.judge.template, plan.models


def _defining(request: Request, rewarding: Rewarding, rows: data.Data, bench: Bench) -> dict[str, Any]:
    """What defines the run, rewards included."""
    return training.defining(request, rows) | {
        "judge": rewarding.judge,
        "players": bench.judge.players if bench.judge else {},
        "reward_model": str(rewarding.reward_model) if rewarding.reward_model else None,
        "shadow": rewarding.shadow,
        "uncertified": rewarding.uncertified,
        "references": str(rewarding.references) if rewarding.references else None,
        "labelled": str(rewarding.labelled) if rewarding.labelled else None,
        "reward": rewarding.weights.model_dump(),
        "firewall": asdict(rewarding.limits),
        "vllm": rewarding.vllm.model_dump(),
    }


@contextmanager
def _parts(
    request: Request, rewarding: Rewarding, bench: Bench, model: str, queries: Sequence[str]
) -> Iterator["Parts"]:
    """The reward with its terms and watches, and the firewall; judges that were opened are closed afterwards."""
    from accelerate.utils import gather_object

    from kindling.prompts.taskpack import load_pack
    from kindling.rl.firewall import baseline
    from kindling.rl.firewall.callback import FirewallCallback
    from kindling.rl.firewall.canaries import CanaryWatch
    from kindling.rl.firewall.firewall import Firewall
    from kindling.rl.policy.sampling import Sampling
    from kindling.rl.rewards.judging import CachedJudge
    from kindling.rl.rewards.length_control import Lengths, log_ratio
    from kindling.rl.rewards.reward import Reward
    from kindling.rl.rewards.shape import LengthBand, asks_for_size
    from kindling.rl.training.completions import Completions
    from kindling.rl.training.grpo import Parts, RememberedShadow

    project = request.config.project
    pack = load_pack(project.task, request.config.prompts_dir / project.task)
    make = partial(case_of, brief_chars=pack.settings.brief_chars)
    references = _references(rewarding.references or corpus_file(request.config, pack))
    settings = request.settings
    assert isinstance(settings, GrpoSettings)
    opened: list[CachedJudge] = []

    def cached(plan: casting.CastPlan, name: str, batch: int) -> CachedJudge:
        opened.append(CachedJudge(partial(bench.open, plan, name, batch)))
        return opened[-1]

    judged, watched = bench.batches
    judge = cached(bench.judge, "ledger.sqlite", judged) if bench.judge else None
    second = cached(bench.shadow, "shadow.sqlite", watched) if bench.shadow else None
    every, stride = settings.shadow_every, settings.steps_per_rollout
    shadow = RememberedShadow(second, every, stride) if second else None
    watch = None
    if judge is not None:
        cases = read_labelled(rewarding.labelled or pack.file("golden.jsonl"))
        watch = CanaryWatch(judge, known.canaries(cases, make, request.seed), make, request.seed)
    band = LengthBand(references, make)
    qualities, gates = _terms(rewarding, judge, band, references)
    sink = Completions(request.out / "completions")
    watches = [one for one in (watch, shadow) if one]
    drawn = Sampling(settings.temperature, settings.top_p, settings.completion_tokens, request.seed)
    with loading(model):
        before = baseline.draw(model, queries, rewarding.limits.baseline, drawn, band.typical)
    free = (sample for sample in before if not asks_for_size(make(sample.query, sample.response)))
    ratio = log_ratio((len(sample.response), sample.typical) for sample in free)
    lengths = Lengths(rewarding.weights.length_control, band.usual, ratio)
    reward = Reward(qualities, gates, make, watches=watches, sink=sink, gather=gather_object, lengths=lengths)
    firewall = FirewallCallback(
        Firewall(rewarding.limits, references, before),
        reward,
        request.out,
        canaries=watch,
        shadow=shadow,
        typical=band.typical,
    )
    try:
        yield Parts(reward, firewall, sink, rewarding.vllm, shadow)
    finally:
        for one in opened:
            one.close()


def _references(file: Path) -> list[tuple[str, str]]:
    """Good texts and what they answer, from any format that SFT reads."""
    return [(str(row["prompt"][-1]["content"]), data.text(row, "completion")) for row in data.read("sft", file).rows]


def _terms(
    rewarding: Rewarding, judge: "CachedJudge | None", band: Any, references: Sequence[tuple[str, str]]
) -> tuple[list[Any], list[Any]]:
    """The qualities and gates with a weight above 0."""
    from kindling.rl.rewards.commonplace import Commonplace
    from kindling.rl.rewards.quality import JudgeScore, RewardModelScore
    from kindling.rl.rewards.shape import Diversity, Repetition, RequestsMet
    from kindling.rl.rewards.terms import Gate, Weighted
    from kindling.rl.training.scoring import Scorer

    weights = rewarding.weights
    qualities = [Weighted(JudgeScore(judge), weights.judge)] if judge is not None and weights.judge else []
    if rewarding.reward_model is not None and weights.reward_model:
        score = RewardModelScore.fitted(Scorer(rewarding.reward_model).score_pairs, references)
        qualities.append(Weighted(score, weights.reward_model))
    if not qualities:
        raise ConfigError("no quality is left in the reward: reward.judge or reward.reward_model must be above 0")
    gates = [
        Gate(term, strength)
        for term, strength in (
            (RequestsMet(), weights.requests),
            (band, weights.length),
            (Repetition(references), weights.repetition),
            (Diversity(), weights.diversity),
            (Commonplace(references), weights.commonplace),
        )
        if strength
    ]
    return qualities, gates


def _describe(request: Request, rows: data.Data, planned: planning.Planned, bench: Bench, *, as_json: bool) -> None:
    """The dry run."""
    from kindling.rl.firewall.canaries import PER_STEP
    from kindling.rl.firewall.shadow import AT_MOST

    settings = request.settings
    assert isinstance(settings, GrpoSettings)
    calls: dict[str, int] = {}
    cost = 0.0
    rollouts = planned.plan.rollouts
    looks = min(rollouts, -(-planned.plan.steps // settings.shadow_every))
    asked = (
        (bench.judge, "", planned.plan.judgements + rollouts * PER_STEP),
        (bench.shadow, "shadow ", looks * min(AT_MOST, settings.completions)),
    )
    for plan, prefix, cases in asked:
        if plan is not None:
            counted = plan.calls(cases, 1)
            calls |= {f"{prefix}{role}": count for role, count in counted.items()}
            cost += sum(plan.cost(rows.rows[0]["query"], counted).values())
    planning.describe(request, rows, planned, as_json=as_json, calls=calls, cost=cost)


def rewarding(taken: dict[str, dict[str, Any]], **given: Any) -> Rewarding:
    """The options of the reward with the `--set` values of its sections. Raises `ConfigError` for a wrong one."""
    mode = given.pop("vllm")
    url = given.pop("vllm_url")
    values = taken["vllm"] | ({"mode": mode} if mode else {}) | ({"url": url} if url else {})
    return Rewarding(
        **given,
        weights=section(RewardSettings, "reward", taken["reward"]),
        limits=_limits(taken["firewall"]),
        vllm=section(VllmSettings, "vllm", values),
    )


def _limits(values: dict[str, Any]) -> Limits:
    """The firewall's limits with `values` in place of the defaults. Raises `ConfigError`."""
    known = [one.name for one in fields(Limits)]
    if unknown := [name for name in values if name not in known]:
        raise ConfigError(f"--set firewall.{unknown[0]}: no such setting; there are {', '.join(sorted(known))}")
    try:
        return load(Limits, values, "firewall")
    except UsageError as error:
        raise ConfigError(f"--set {error}") from error
