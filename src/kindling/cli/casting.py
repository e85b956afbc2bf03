"""From names on the command line to agents: who plays which role, and the cast that plays.

`plan_cast` needs no network and no key; it checks every name and says who would play. `open_cast` builds the agents, with
one ledger and one budget behind all paid calls.

    --source llm         the generators of kindling.toml
             embedded    the embedded generators
             file:PATH   responses that exist already: columns query and response
    --judge  debate      positive and negative critic, judge, reflector, each as kindling.toml casts it
             llm         the configured judge alone, one call a case and vote
             embedded    the embedded judge alone
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kindling.config import GENERATORS, Config, api_key
from kindling.errors import ConfigError
from kindling.records import text_id

if TYPE_CHECKING:
    from kindling.agents.cast import Cast
    from kindling.agents.models import Models
    from kindling.prompts.library import TaskPack

JUDGES = ("debate", "llm", "embedded")
DEBATERS = ("positive", "negative", "judge", "reflector")
