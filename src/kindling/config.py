"""`kindling.toml`: one file, a section an endpoint and a role; defaults that need neither a network nor a key.

    [project]                      task pack and the folder of your edited templates
    [endpoints.NAME]               where a model is served, the *name* of the variable that holds its key, limits
    [roles.ROLE]                   which endpoint and model play a role; a role without a section is embedded
    [retriever] [curate] [certify] [budget]  everything else

`load_config` reads the file, applies `--set a.b=c` overrides (values are TOML, bare words are strings), checks every
name and reports the first offence in one line. A `Config` is frozen and holds no secret: keys are read from the
environment when a model is built.
"""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kindling.errors import ConfigError

FILE = "kindling.toml"
GENERATORS = ("generator_strong", "generator_weak")
RoleName = Literal[
    "generator_strong", "generator_weak", "positive", "negative", "judge", "reflector",
    "forger", "explainer", "optimizer", "tactician",
]  # fmt: skip
ROLES: tuple[RoleName, ...] = get_args(RoleName)
# request fields that are set from elsewhere, or whose answers nobody here would read
OWN_FIELDS = frozenset(
    ("model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "response_format")
) | {"n", "stream", "tools", "logprobs", "top_logprobs"}
_SECRET = re.compile(r"api_?key|authorization|secret|password|access_?token|bearer", re.IGNORECASE)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Endpoint(_Section):
    """An OpenAI-compatible server. `api_key_env` is the name of an environment variable, never the key."""

    base_url: str
    api_key_env: str | None = None
    timeout_s: float = Field(60.0, gt=0)
    max_in_flight: int = Field(64, ge=1)
    retries: int = Field(5, ge=0, description="further tries of a call after 429, 5xx, a time-out or a cut connection")
    structured: Literal["auto", "json_schema", "text"] = "auto"

    @model_validator(mode="after")
    def _no_secret(self) -> "Endpoint":
        # no message quotes a value: it may be the key that was put in the wrong place
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError("base_url must start with http:// or https://")
        if "@" in self.base_url or "?" in self.base_url:
            raise ValueError("base_url is stored with every run: give no user, password or query in it")
        if self.api_key_env is not None and not re.fullmatch(r"[A-Za-z_]\w*", self.api_key_env):
            raise ValueError("api_key_env is the name of an environment variable, never the key")
        return self


class Role(_Section):
    """Who plays a role: a model on an endpoint, or the embedded cast where `endpoint` is "embedded"."""

    endpoint: str = "embedded"
    model: str = ""
    temperature: float | None = Field(None, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int = Field(1024, ge=1)
    price_in: float = Field(0.0, ge=0, description="money for a million prompt tokens")
    price_out: float = Field(0.0, ge=0, description="money for a million completion tokens")
    votes: int = Field(1, ge=1, description="verdicts a case; the judge's score is the share of good (judge only)")
    graded: Literal["auto", "logprobs", "votes"] = Field(
        "auto", description="whether a verdict's score is its probability, where the endpoint tells it (judge only)"
    )
    extra: dict[str, Any] = Field(default_factory=dict, description="further request fields, sent as they are")

    @field_validator("extra")
    @classmethod
    def _harmless(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(OWN_FIELDS & value.keys()):
            raise ValueError(f"has {taken[0]!r}, which is not to be set here")
        if secret := next((name for name in _names(value) if _SECRET.search(name)), None):
            raise ValueError(f"has {secret!r}: extra stands in every run.json; a key belongs in api_key_env")
        return value

    @model_validator(mode="after")
    def _whole(self) -> "Role":
        if self.endpoint != "embedded" and not self.model:
            raise ValueError(f"endpoint {self.endpoint!r} is set but no model")
        if self.endpoint == "embedded" and self.model:
            raise ValueError(f"model {self.model!r} is set but no endpoint")
        return self


def _names(value: Any) -> Iterator[str]:
    """All keys of nested tables."""
    if isinstance(value, dict):
        yield from map(str, value)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names(inner)


class Project(_Section):
    """The task pack and the folder of edited templates, relative to the file."""

    task: str = "greetings"
    prompts: str = "prompts"


class RetrieverSection(_Section):
    """Which examples are found, and who gets to see them."""

    kind: Literal["lexical", "dense"] = "lexical"
    examples: str | None = Field(None, description="JSONL with query and response; none: the task pack's corpus")
    k: int = Field(3, ge=0)
    min_similarity: float = Field(0.25, ge=0, le=1)
    popularity_weight: float = Field(0.1, ge=0, le=0.5)
    model: str = Field("", description="the sentence embedding model, for kind = dense")
    show_to: tuple[Literal["generator", "positive", "negative"], ...] = ("generator",)


class CurateSection(_Section):
    """How candidates are drawn and pairs made."""

    candidates: int = Field(4, ge=1, le=64)
    pairing: Literal["closest_length", "best_worst", "all"] = "closest_length"
    margin: float = Field(0.2, ge=0, le=1, description="smallest score difference of a pair")
    in_flight: int = Field(64, ge=1, description="rows worked on at once")
    max_query_chars: int = Field(200, ge=2)


class CertifySection(_Section):
    """What a judge is measured by, and what it must reach: shares in [0, 1]."""

    min_kappa: float = Field(0.70, ge=-1, le=1)
    min_gain_over_length: float = Field(0.0, description="length-matched AUC above that of length; low end")
    min_reading_occasion: float = Field(0.95, ge=0, le=1, description="own query preferred to one of another occasion")
    min_reading_recipient: float = Field(0.90, ge=0, le=1, description="... to one of another recipient")
    max_attack: float = Field(0.02, ge=0, le=1, description="success rate of each family of attacks but padding")
    max_padding: float = Field(0.02, ge=0, le=1, description="bad texts that turn good when padded")
    max_flips: float = Field(0.10, ge=0, le=1, description="cases whose label differs between repeats")
    max_unscored: float = Field(0.05, ge=0, le=1)
    attack_cases: int = Field(20, ge=1, description="cases that each attack is tried on")
    repeats: int = Field(3, ge=1, description="verdicts on each repeated case")
    repeat_cases: int = Field(100, ge=1, description="cases that are judged repeatedly")
    in_flight: int = Field(64, ge=1, description="judgements worked on at once")


class Budget(_Section):
    """Limits of a run; none means unlimited. Minutes count this process, not those before a resume."""

    max_calls: int | None = Field(None, ge=0)
    max_cost: float | None = Field(None, ge=0)
    max_minutes: float | None = Field(None, gt=0)


class Config(_Section):
    """The whole file, with every default filled in; `root` is the folder that relative paths start from."""

    project: Project = Project()
    endpoints: dict[str, Endpoint] = Field(default_factory=dict)
    roles: dict[RoleName, Role] = Field(default_factory=dict)
    retriever: RetrieverSection = RetrieverSection()
    curate: CurateSection = CurateSection()
    certify: CertifySection = CertifySection()
    budget: Budget = Budget()
    root: Path = Field(Path("."), exclude=True)

    @model_validator(mode="after")
    def _roles_make_sense(self) -> "Config":
        for name, role in self.roles.items():
            if role.endpoint != "embedded" and role.endpoint not in self.endpoints:
                known = ", ".join(sorted(self.endpoints)) or "none"
                raise ValueError(f"roles.{name}: no [endpoints.{role.endpoint}] in this file (there: {known})")
            if name != "judge" and role.votes > 1:
                raise ValueError(f"roles.{name}: votes are the judge's alone")
            if name != "judge" and role.graded != "auto":
                raise ValueError(f"roles.{name}: graded is the judge's alone")
        return self

    def role(self, name: str) -> Role:
        """The section of role `name`; the embedded cast where the file has none."""
        return self.roles.get(name, Role())  # type: ignore[call-overload, no-any-return]

    @property
    def prompts_dir(self) -> Path:
        """The folder of edited templates; need not exist."""
        return self.root / self.project.prompts


def api_key(name: str, endpoint: Endpoint) -> str:
    """The key of endpoint `name` from the environment; a placeholder for endpoints that ask for none.

    Raises `ConfigError` that names the variable, never a value.
    """
    if endpoint.api_key_env is None:
        return "none"
    key = os.environ.get(endpoint.api_key_env, "").strip()
    if not key:
        raise ConfigError(f"endpoint {name!r}: no key in the environment: export {endpoint.api_key_env}=...")
    return key


def load_config(path: Path | None = None, overrides: tuple[str, ...] = ()) -> Config:
    """The configuration in `path` (default: `kindling.toml` here, if there is one) with `overrides` applied.

    Raises `ConfigError` in one line: which file, which name, what is wrong with it.
    """
    file = path or Path(FILE)
    data: dict[str, Any] = {}
    if path is not None or file.exists():
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file}: cannot be read: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{file}: not TOML: {error}") from error
    for override in overrides:
        _apply(data, override)
    _refuse_huge_numbers(file, data)
    if "root" in data:
        raise ConfigError(f"{file}: root: is the folder of this file and cannot be set")
    try:
        return Config.model_validate({**data, "root": file.parent})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        message = "no such setting" if unknown else first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{file}: {where}: {message}" if where else f"{file}: {message}") from error


def _refuse_huge_numbers(file: Path, data: dict[str, Any], section: str = "") -> None:
    """Refuse what TOML forbids and Python's reader takes: it could not be written into a run.json."""
    for name, value in data.items():
        if isinstance(value, dict):
            _refuse_huge_numbers(file, value, f"{section}{name}.")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ConfigError(f"{file}: {section}{name}: a number in TOML has at most 64 bits")


def _apply(data: dict[str, Any], override: str) -> None:
    """Set one `a.b=c` in place."""
    name, equals, value = override.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {override!r}: write section.name=value, for example curate.candidates=8")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    for key in keys[:-1]:
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise ConfigError(f"--set {override!r}: {key!r} is not a section")
    data[keys[-1]] = parsed
