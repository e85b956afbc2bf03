"""The work behind `kindling serve`: everything that can be refused is refused before the port is opened.

The first Ctrl-C (or SIGTERM) ends it as it should end, with status 0: no new requests, those at work are answered, paid
answers are stored. A second one leaves at once, with status 130.
"""

import asyncio
import os
import signal
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kindling.agents.requests import case_of
from kindling.cli import casting, certificates, console
from kindling.config import Config
from kindling.errors import ConfigError, InputError
from kindling.rl.rewards.judging import CachedJudge
from kindling.rl.serving.app import Limits, Service, is_loopback, listening
from kindling.rl.serving.openrlhf import ENDS
from kindling.rl.serving.scoring import REMEMBERED, Scorer

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    judge: str
    config: Config
    host: str
    port: int
    token_env: str | None
    certificate: Path | None
    uncertified: bool
    ledger: Path
    limits: Limits
    ends: tuple[str, ...]
    seed: int


def carry_out(request: Request, *, as_json: bool = False) -> int:
    """Serve until told to stop; returns the exit status."""
    token = _token(request)
    certificates.demand(request.judge, request.certificate, uncertified=request.uncertified)
    if not request.ledger.parent.is_dir():
        raise InputError(f"{request.ledger.parent}: no such folder; --ledger names a file in one that is there")
    plan = casting.plan_cast(request.config, request.judge, seed=request.seed)
    try:
        asyncio.run(_serve(request, plan, token, as_json=as_json))
    except asyncio.CancelledError:
        console.note("gave up what was asked; paid answers are in the ledger")
        return INTERRUPTED
    return 0


def _token(request: Request) -> str | None:
    """The token from the environment. Raises `ConfigError` where there must be one and is none, and never quotes it."""
    if request.token_env is None:
        if not is_loopback(request.host):
            raise ConfigError(f"--host {request.host}: others could ask too; give a token with --token-env NAME")
        return None
    token = os.environ.get(request.token_env, "").strip()
    if not token:
        raise ConfigError(f"--token-env: no token in the environment: export {request.token_env}=...")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(f"--token-env: {request.token_env} holds spaces or characters that no HTTP header may")
    return token


async def _serve(request: Request, plan: casting.CastPlan, token: str | None, *, as_json: bool) -> None:
    async with casting.open_cast(plan, request.ledger) as company:
        card = _card(request, plan, company.judge.template)
        judge = CachedJudge(lambda: nullcontext(company.judge), remember=REMEMBERED)
        scorer = Scorer(judge, partial(case_of, brief_chars=plan.pack.settings.brief_chars))
        service = Service(scorer, card, request.limits, token, (*ENDS, *request.ends))
        try:
            async with listening(service.app(), request.host, request.port, request.limits.seconds) as url:
                _announce(url, card, as_json=as_json)
                await _told_to_stop()
                console.note("finishing what is asked; Ctrl-C again gives it up")
        finally:
            await scorer.aclose()
        counts, spent = scorer.counts, company.spent()
        console.note(
            f"{counts.items:,} items, {scorer.judged:,} judged, {counts.unscored:,} unscored,"
            f" {spent['calls']:,} calls, cost {spent['cost']:.4f}"
        )


def _card(request: Request, plan: casting.CastPlan, template: str) -> dict[str, Any]:
    """Who judges and whether that is certified, for `/health`. Raises `ConfigError` if it must be and is not."""
    who = {"judge": plan.judge, "template": template, "model": plan.models}
    if request.certificate is None:
        return who | {"certificate": {"state": "none"}}
    certificate, reasons = certificates.held_against(
        request.certificate, **who, grading=plan.grading, uncertified=request.uncertified, does="serves"
    )
    state = "does not hold" if reasons else "holds"
    about = {"file": request.certificate.name, "made": certificate.created, "reasons": reasons}
    return who | {"certificate": {"state": state, **about}}


def _announce(url: str, card: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.answer({"url": url, **card})
    else:
        model = f", {card['model']}" if card["model"] else ""
        console.out.print(f"{url}  judge {card['judge']}{model}; certificate: {card['certificate']['state']}")
    # whoever started this waits for the line, often through a pipe
    console.out.file.flush()


async def _told_to_stop() -> None:
    """Wait for the first signal; the second cancels what called this."""
    stop, loop, main = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()
    assert main is not None

    def told() -> None:
        if stop.is_set():
            main.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # where the platform has no signal handlers, Ctrl-C cancels
            loop.add_signal_handler(number, told)
    await stop.wait()
