"""Chat models on a scripted server, in three words: `async with scripted_models(server, path) as play: ...`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kindling.agents.budget import Budget
from kindling.agents.ledger import Ledger
from kindling.agents.models import ChatModel, Models, open_models
from kindling.config import ROLES, Config
from tests.scripted_server import ScriptedServer


@dataclass(frozen=True)
class Play:
    """Everything that stands behind the models."""

    models: Models
    ledger: Ledger
    budget: Budget

    @property
    def judge(self) -> ChatModel:
        """The role that most tests use."""
        return self.models.role("judge")


def scripted_config(
    url: str, *, endpoint: dict[str, Any] | None = None, role: dict[str, Any] | None = None, **sections: Any
) -> Config:
    """Every role on one endpoint at `url`, its model named after it; `endpoint` and `role` change their settings."""
    roles = {name: {"endpoint": "scripted", "model": f"{name}-model", **(role or {})} for name in ROLES}
    there = {"base_url": url, "timeout_s": 5, **(endpoint or {})}
    return Config.model_validate({"endpoints": {"scripted": there}, "roles": roles, **sections})


@asynccontextmanager
async def scripted_models(
    server: ScriptedServer | str, path: Path, *, seed: int = 7, budget: Budget | None = None, **settings: Any
) -> AsyncIterator[Play]:
    """Models on `server` (or on a URL) with the ledger at `path`; `settings` as for `scripted_config`."""
    config = scripted_config(server if isinstance(server, str) else server.url, **settings)
    ledger = Ledger(path)
    limits = budget or Budget(config.budget)
    try:
        async with open_models(config, ledger, limits, seed) as models:
            yield Play(models, ledger, limits)
    finally:
        ledger.close()


def said(text: str) -> list[dict[str, str]]:
    """One user message."""
    return [{"role": "user", "content": text}]
