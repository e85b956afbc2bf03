"""A whole audit: every check on every file, findings in the order in which one should read them."""

from dataclasses import dataclass
from pathlib import Path

from kindling.eval.audit.balance import TopicOf, balance
from kindling.eval.audit.dataset import Dataset, read_dataset
from kindling.eval.audit.defects import Facts, Hit, find, report
from kindling.eval.audit.finding import Finding
from kindling.eval.audit.overlap import overlap
from kindling.eval.audit.requests import unmet
from kindling.eval.audit.shortcuts import shortcuts
from kindling.eval.audit.style import styled

_ORDER = ("severe", "warning", "note")


@dataclass(frozen=True)
class Audit:
    """What was audited, what was found (severe first), and the single defects by file, which `repair` works from."""

    datasets: tuple[Dataset, ...]
    findings: tuple[Finding, ...]
    hits: dict[str, list[Hit]]

    @property
    def severe(self) -> int:
        """How many findings are severe."""
        return sum(finding.severity == "severe" for finding in self.findings)


def audit(
    paths: list[Path], facts: Facts | None = None, topic_of: TopicOf | None = None, top: int = 20, seed: int = 0
) -> Audit:
    """Audit the files together. Raises `InputError` for a file that cannot be read or understood.

    `facts(query, response)` measures the verifiable requests of a query, `topic_of(query)` names its topic; `top` is
    how many likely wrong labels are listed. The same files and seed give the same findings.
    """
    datasets = [read_dataset(path) for path in paths]
    measure = facts or (lambda query, response: ())
    hits = {data.name: find(data, measure) for data in datasets}
    files, names = styled(datasets)
    findings = shortcuts(files, names, top, seed) + overlap(datasets)
    for data in datasets:
        findings += report(data, hits[data.name]) + unmet(data, measure)
    findings += balance(datasets, topic_of)
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    return Audit(tuple(datasets), tuple(findings), hits)
