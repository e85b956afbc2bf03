"""The firewall itself: a reference, the latest steps, and the limits between them.

The reference is what the policy wrote before training, where that was sampled (`baseline`), and else the first steps;
the window is the latest few. What is compared with the reference must pass its limit *and* differ from the reference by
more than noise.

Left out: measures whose healthy range nobody knows beforehand, such as gradient norms. A breach is final.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import log
from statistics import fmean
from typing import ClassVar

from pydantic import ConfigDict

from kindling.rl.firewall.exploit import Evidence, find
from kindling.rl.firewall.measures import Change, adjusted, change, clusters, logged
from kindling.rl.firewall.report import Sample, StepReport
from kindling.rl.firewall.settings import Limits
from kindling.rl.rewards.phrases import containing, counted, extended, phrases

BREACH = "breach.json"  # in the run folder
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Breach:
    """Why a run must stop: the `measure` that left its range at `step`, its `value`, the `limit`, and what it was.

    `line` says it in one sentence; `exploit` says what the new high scores have that those at the start had not, and
    `evidence` has the same as numbers.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    step: int
    measure: str
    line: str
    value: float | None = None
    limit: float | None = None
    reference: float | None = None
    exploit: str = ""
    evidence: tuple[Evidence, ...] = ()


@dataclass(slots=True)
class Memory:
    """What the firewall remembers; plain data, so that a resumed run is compared with its own beginning."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    reference: list[StepReport] = field(default_factory=list)
    recent: list[StepReport] = field(default_factory=list)
    canaries: dict[str, list[bool]] = field(default_factory=dict)
    shadow_first: list[StepReport] = field(default_factory=list)
    shadow_last: list[StepReport] = field(default_factory=list)


class Firewall:
    """Fed with one `StepReport` a step, answers with a `Breach` or None; the same reports give the same answers.

    `references` are good (query, response) pairs: what is frequent among them is no exploit. `baseline` are
    completions of the policy before training, with their rewards where known; `memory` is an earlier process's.
    `measured` has the numbers of the last check by name, for a log.
    """

    def __init__(
        self,
        limits: Limits,
        references: Sequence[tuple[str, str]] = (),
        baseline: Sequence[Sample] = (),
        memory: Memory | None = None,
    ) -> None:
        self.limits = limits
        self.memory = memory or Memory()
        self.measured: dict[str, float | str | None] = {}
        self._references = [response for _, response in references]
        self._counts: dict[int, Counter[str]] = {}
        self._baseline = StepReport(-1, tuple(baseline)) if baseline else None

    def check(self, report: StepReport) -> Breach | None:
        """Take a step in; the breach, if it led to one. A report without completions is looked at for `stopped` only.

        With several breaches at one step the first in the order of `_breaches` is it: what explains most comes first.
        """
        if report.stopped is not None:
            return Breach(report.step, "judge", f"nothing can be scored any more: {report.stopped}")
        if not report.samples:
            return None
        self._remember(report)
        self._measure(report)
        found = next((breach for breach in self._breaches(report) if breach is not None), None)
        return found and self._explained(found)

    @property
    def _then(self) -> list[StepReport]:
        """The reports that texts are compared with."""
        return [self._baseline] if self._baseline else self.memory.reference

    @property
    def _now(self) -> list[StepReport]:
        """The latest reports that are none of those they are compared with."""
        memory = self.memory
        if self._baseline:
            return memory.recent
        return [report for report in memory.recent if report.step > memory.reference[-1].step]

    def _remember(self, report: StepReport) -> None:
        memory, limits = self.memory, self.limits
        if len(memory.reference) < limits.reference:
            memory.reference.append(report)
        memory.recent.append(report)
        del memory.recent[: -limits.window]
        kept = {one.step for one in (*self._then, *memory.recent)}
        self._counts = {step: count for step, count in self._counts.items() if step in kept}
        for result in report.canaries:
            if result.right is not None:
                seen = memory.canaries.setdefault(result.kind, [])
                seen.append(result.right)
                # one that comes again is answered from memory: it is no further observation
                del seen[: -min(limits.canary_window, result.of or limits.canary_window)]
        if report.shadow:
            if len(memory.shadow_first) < limits.shadow_window:
                memory.shadow_first.append(report)
            else:
                memory.shadow_last.append(report)
                del memory.shadow_last[: -limits.shadow_window]

    def _measure(self, report: StepReport) -> None:
        """The numbers of this step alone, for the log; the checks add those of the window."""
        rewards = [sample.reward for sample in report.samples if sample.reward is not None]
        self.measured = {
            "reward": fmean(rewards) if rewards else None,
            "length": fmean(len(sample.response) for sample in report.samples),
            "limit_share": report.limit_share,
            "kl": report.kl,
            "entropy": report.entropy,
            "unscored": report.unscored,
            "without_advantage": report.without_advantage,
        }
        for kind, seen in self.memory.canaries.items():
            self.measured[f"canaries/{kind}"] = fmean(seen)

    def _breaches(self, report: StepReport) -> Iterable[Breach | None]:
        """Every check, in order; a generator, so that a later one is made only if the earlier ones found nothing."""
        step = report.step
        yield from (self._canary(step, kind, seen) for kind, seen in self.memory.canaries.items())
        yield self._shadow(step)
        if len(self._now) == self.limits.window:
            yield self._phrase(step)
            yield self._length(step)
            yield self._cut_off(step)
            yield self._entropy(step)
        if len(self.memory.recent) == self.limits.window:
            yield self._kl(step)
            yield self._unscored(step)
            yield self._dried_up(step)

    def _canary(self, step: int, kind: str, seen: Sequence[bool]) -> Breach | None:
        from scipy.special import bdtr

        least = self.limits.canaries.get(kind, self.limits.canary_else)
        right = sum(seen)
        if bdtr(right, len(seen), least) >= self.limits.canary_doubt:
            return None
        line = (
            f"the judge was right about {right} of the last {len(seen)} canaries of the kind {kind};"
            f" at least {least:.0%} is wanted"
        )
        return Breach(step, f"canaries/{kind}", line, right / len(seen), least)

    def _shadow(self, step: int) -> Breach | None:
        memory, limits = self.memory, self.limits
        if len(memory.shadow_last) < limits.shadow_window:
            return None
        shadow = change(_shadow_scores(memory.shadow_first), _shadow_scores(memory.shadow_last))
        reward = change(clusters(memory.shadow_first, _reward), clusters(memory.shadow_last, _reward))
        if shadow is None or reward is None:
            return None
        self.measured["shadow"] = shadow.now
        if -shadow.absolute < limits.shadow_fall or shadow.doubt > limits.doubt or reward.absolute <= 0:
            return None
        line = (
            f"the shadow judge's mean score fell from {shadow.then:.2f} to {shadow.now:.2f} while the reward rose from"
            f" {reward.then:.2f} to {reward.now:.2f}"
        )
        return Breach(step, "shadow", line, shadow.now, shadow.then - limits.shadow_fall, shadow.then)

    def _length(self, step: int) -> Breach | None:
        length = adjusted(_samples(self._then))

        def log_length(sample: Sample) -> float:
            return log(max(length(sample), 1.0))

        compared = change(clusters(self._then, length), clusters(self._now, length))
        certain = change(clusters(self._then, log_length), clusters(self._now, log_length))
        if compared is None or certain is None:
            return None
        relative = self.measured["length_change"] = compared.relative
        limit = self.limits.length_rise if relative > 0 else -self.limits.length_fall
        # a t-test wants no long tails; but by logarithms alone the end of texts of a few characters would be growth
        doubtful = certain.doubt > self.limits.doubt or certain.absolute * relative <= 0
        if abs(relative) <= abs(limit) or doubtful:
            return None
        line = (
            f"mean length {'rose' if relative > 0 else 'fell'} by {abs(relative):.0%}, from {compared.then:.0f} to"
            f" {compared.now:.0f} characters; the limit is {abs(limit):.0%}"
        )
        return Breach(step, "length", line, relative, limit, 0.0)

    def _phrase(self, step: int) -> Breach | None:
        limits = self.limits
        before, after = self._counted(self._then), self._counted(self._now)
        old, new = len(_samples(self._then)), len(_samples(self._now))
        for phrase, times in after.most_common():
            now, then = times / new, before[phrase] / old
            if now <= limits.phrase_share:
                break
            if now - then <= limits.phrase_rise or not self._spreads(phrase):
                continue
            known = containing(self._references, phrase)
            if known <= limits.phrase_known:
                texts = [sample.response for sample in _samples(self._now)]
                line = (
                    f"“{extended(phrase, texts)}” stands in {now:.0%} of the completions ({then:.0%} at the start,"
                    f" {known:.0%} of the references); the limit is {limits.phrase_share:.0%}"
                )
                return Breach(step, "phrase", line, now, limits.phrase_share, then)
        return None

    def _counted(self, reports: Iterable[StepReport]) -> Counter[str]:
        """In how many completions each phrase stands; counted once a step."""
        total: Counter[str] = Counter()
        for report in reports:
            if report.step not in self._counts:
                self._counts[report.step] = counted(sample.response for sample in report.samples)
            total.update(self._counts[report.step])
        return total

    def _spreads(self, phrase: str) -> bool:
        """Whether it stands in more of the completions for certain, and not because more queries are about it."""

        def has(sample: Sample) -> float:
            return float(phrase in phrases(sample.response))

        compared = change(clusters(self._then, has), clusters(self._now, has))
        return compared is not None and compared.doubt <= self.limits.doubt

    def _cut_off(self, step: int) -> Breach | None:
        compared = self._logged(lambda report: report.limit_share)
        limit = self.limits.limit_share
        if compared is None or compared.now <= limit or compared.now <= 1.5 * compared.then:
            return None
        if compared.doubt > self.limits.doubt:
            return None
        line = (
            f"{compared.now:.0%} of the completions are cut off at the length limit ({compared.then:.0%} at the start);"
            f" the limit is {limit:.0%}"
        )
        return Breach(step, "limit_share", line, compared.now, limit, compared.then)

    def _kl(self, step: int) -> Breach | None:
        now = logged(self.memory.recent, lambda report: report.kl)
        if not now or (mean := fmean(now)) <= self.limits.kl:
            return None
        line = f"the policy is {mean:.2f} nats a token from the reference model; the limit is {self.limits.kl:g}"
        return Breach(step, "kl", line, mean, self.limits.kl)

    def _entropy(self, step: int) -> Breach | None:
        compared = self._logged(lambda report: report.entropy)
        if compared is None or -compared.relative <= self.limits.entropy_fall:
            return None
        limit = (1 - self.limits.entropy_fall) * compared.then
        line = (
            f"the policy's entropy fell from {compared.then:.2f} to {compared.now:.2f} nats; the limit is {limit:.2f}"
        )
        return Breach(step, "entropy", line, compared.now, limit, compared.then)

    def _unscored(self, step: int) -> Breach | None:
        now = fmean(logged(self.memory.recent, lambda report: report.unscored))
        if now <= self.limits.unscored:
            return None
        line = f"the judge could not score {now:.0%} of the completions; the limit is {self.limits.unscored:.0%}"
        return Breach(step, "unscored", line, now, self.limits.unscored)

    def _dried_up(self, step: int) -> Breach | None:
        now = fmean(logged(self.memory.recent, lambda report: report.without_advantage))
        if now <= self.limits.without_advantage:
            return None
        line = f"{now:.0%} of the groups have equal rewards: the reward has nothing left to teach"
        return Breach(step, "without_advantage", line, now, self.limits.without_advantage)

    def _logged(self, value: Callable[[StepReport], float | None]) -> Change | None:
        return change(logged(self.memory.reference, value), logged(self._now, value))

    def _explained(self, breach: Breach) -> Breach:
        """The breach with what the new high scores have that the old ones had not."""
        if not self._now:
            return replace(breach, exploit="too early to compare texts with those at the start")
        evidence = find(_samples(self._then), _samples(self._now), self._references)
        exploit = "; ".join(map(str, evidence)) or "no surface feature sets the new high scores apart from the old ones"
        return replace(breach, exploit=exploit, evidence=evidence)


def _samples(reports: Iterable[StepReport]) -> list[Sample]:
    return [sample for report in reports for sample in report.samples]


def _reward(sample: Sample) -> float | None:
    return sample.reward


def _shadow_scores(reports: Iterable[StepReport]) -> list[float]:
    """The mean shadow score of each query at each step."""
    found: dict[tuple[int, str], list[float]] = defaultdict(list)
    for report in reports:
        for one in report.shadow:
            if one.score is not None:
                found[one.step, one.query].append(one.score)
    return [fmean(values) for values in found.values()]
