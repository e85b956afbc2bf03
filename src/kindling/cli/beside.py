"""Certificates side by side: one table of several judges on the same cases, with length alone as the last column.

Nothing is judged for it: the other judges' certificates were made before, on the same file and with the same seed,
which draws the length-matched cases, the other queries and the attacked texts. Attacks are tried only on texts that a
judge got right, so their trials differ from judge to judge.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kindling.cli import console
from kindling.errors import InputError
from kindling.eval.agreement import Agreement
from kindling.eval.certificate import Certificate, load_certificate
from kindling.tables import sha256

LENGTH = "length"
MEASURES = {"accuracy": "accuracy", "kappa": "κ", "auc": "AUC"}


def read(files: Sequence[Path], labelled: Path, seed: int) -> tuple[Certificate, ...]:
    """The certificates in `files`. Raises `InputError` for one that was made on other cases, or with another seed."""
    digest = sha256(labelled) if files else ""
    found = []
    for file in files:
        certificate = load_certificate(file)
        if certificate.data.sha256 != digest:
            raise InputError(f"{file}: was made on other cases ({certificate.data.file}) than {labelled}")
        if certificate.seed != seed:
            raise InputError(f"{file}: was made with seed {certificate.seed}; certify both with the same --seed")
        found.append(certificate)
    return tuple(found)


def show(certificates: Sequence[Certificate]) -> None:
    """Print the table, a column a judge."""
    names = [one.judge.name for one in certificates]
    console.table("Side by side", ("", *names, LENGTH), list(_rows(certificates)))


def _rows(certificates: Sequence[Certificate]) -> Iterator[tuple[str, ...]]:
    length = next(one for one in certificates[0].findings.baselines if one.name == LENGTH)
    every = [one.findings for one in certificates]
    yield from _measures("", [*(one.agreement for one in every), length.agreement])
    yield from _measures(", length-matched", [*(one.matched for one in every), length.matched])
    lines = [{line.name: line.estimate.value for line in one.lines} for one in certificates]
    for name in dict.fromkeys(name for one in lines for name in one if name != "kappa"):
        yield name, *(_shown(one.get(name)) for one in lines), _shown(None)
    said = ("passed" if one.passed else "FAILED" for one in certificates)
    yield "certificate", *said, _shown(None)


def _measures(where: str, found: Sequence[Agreement]) -> Iterator[tuple[str, ...]]:
    for name, said in MEASURES.items():
        yield f"{said}{where}", *(_shown(getattr(one, name).value) for one in found)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
