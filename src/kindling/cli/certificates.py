"""Asking for a judge's certificate before its verdicts are used: one rule for every command that trains or serves."""

from pathlib import Path

from kindling.errors import ConfigError
from kindling.eval.certificate import Certificate, fits, load_certificate


def demand(judge: str, certificate: Path | None, *, uncertified: bool) -> None:
    """See that there is a certificate, or that none is wanted. Raises `ConfigError`."""
    if certificate is None and not uncertified:
        raise ConfigError(
            f"--judge {judge}: no certificate; make one with kindling certify --judge {judge} --out cert.json"
            " and give it with --certificate, or add --uncertified"
        )


def held_against(
    file: Path, judge: str, template: str, model: str, grading: str, *, uncertified: bool, does: str
) -> tuple[Certificate, list[str]]:
    """The certificate in `file`, and why it does not speak for this judge: nothing if it does.

    Raises `ConfigError` where it does not and `uncertified` was not given; `does` is what goes on if it is ("trains").
    """
    certificate = load_certificate(file)
    reasons = fits(certificate, judge, template, model, grading)
    if reasons and not uncertified:
        raise ConfigError(f"{file}: {'; '.join(reasons)}; --uncertified {does} all the same")
    return certificate, reasons
