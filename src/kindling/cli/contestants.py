"""Models on the command line of `kindling eval`: who writes, under which name, and which judges had a part in them.

    policy:PATH         a model that was trained here, or any other folder or hub name with one; a run of kindling train
                        stands for its model, and the prefix may be left out
    file:PATH           texts that exist already: rows with query and response; the prefix may be left out
    llm                 the generators of kindling.toml, taking turns
    endpoint:NAME/MODEL a model on an endpoint of kindling.toml, asked as its generator_strong is
    embedded            the embedded generators, taking turns
    generator_strong, generator_weak    whoever kindling.toml casts so

`NAME=MODEL` names a column; else it is called after its run, its folder or its file.

Which judges had a part in a policy its run says (`lineage`); what no record says can be told, `--taught-by NAME=JUDGE`.
Who writes is tied to a judge that it plays itself.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from kindling.cli import casting, lineage
from kindling.config import GENERATORS, Config
from kindling.errors import ConfigError, InputError
from kindling.eval.scorecard.card import Contestant, Tie
from kindling.eval.scorecard.sheets import Row, Written
from kindling.records import request_key
from kindling.runs import read_record
from kindling.tables import FORMATS, read_rows, sha256

TAUGHT, ITSELF = "taught it", "the same model"
_NAMED = re.compile(r"(?P<name>[^=/:\\]+)=(?P<model>.+)", re.DOTALL)
_HUB = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Entrant:
    """One model: a `policy` to load, a `plan` with the `roles` that write (all of them: none), or texts `recorded`.

    `identity` is what makes it another model: hashes of files, or sections of the configuration.
    """

    contestant: Contestant
    identity: Any
    policy: str | None = None
    plan: casting.CastPlan | None = None
    role: str | None = None
    recorded: Path | None = None

    @property
    def name(self) -> str:
        """What its column is called."""
        return self.contestant.name


def entrants(models: Sequence[str], config: Config, seed: int, told: Sequence[str] = ()) -> tuple[Entrant, ...]:
    """Understand the models; `told` are NAME=JUDGE. Raises `UsageError` for the first that cannot be used."""
    if not models:
        raise InputError("no model: name at least one (a folder, a hub name, llm, embedded or a file of responses)")
    found = [_entrant(given, config, seed) for given in models]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two models are called {name!r}: name them, as in first=MODEL second=MODEL")
    for one in told:
        name, equals, judge = one.partition("=")
        if not equals or not judge or name not in names:
            raise ConfigError(f"--taught-by {one}: write NAME=JUDGE, with one of the models {', '.join(names)}")
        place = names.index(name)
        card = found[place].contestant
        ties = (*card.ties, *_taught(judge, config, seed))
        found[place] = replace(found[place], contestant=replace(card, ties=ties))
    return tuple(found)


def _taught(judge: str, config: Config, seed: int) -> Iterator[Tie]:
    """The ties to a judge that taught a model: by its name, and by whoever plays in it. MODEL @ ENDPOINT plays itself.

    Raises `ConfigError` for an unknown judge.
    """
    players = () if " @ " in judge else casting.plan_cast(config, judge, seed=seed).players.values()
    yield from (Tie(lineage.placed(name), TAUGHT) for name in dict.fromkeys((judge, *players)))


def _entrant(given: str, config: Config, seed: int) -> Entrant:
    named = _NAMED.fullmatch(given)
    name, model = (named["name"], named["model"]) if named else ("", given)
    kind, _, rest = model.partition(":")
    if model in ("llm", casting.EMBEDDED, *GENERATORS) or (kind == "endpoint" and rest):
        return _cast(name or model, model, config, seed)
    if kind == "file" and rest:
        return _file(name, model, Path(rest))
    path = rest if kind == "policy" and rest else model
    if kind != "policy" and (Path(path).is_file() or Path(path).suffix in FORMATS):
        return _file(name, model, Path(path))
    return _policy(name, model, path)


def _cast(name: str, model: str, config: Config, seed: int) -> Entrant:
    """A model that kindling.toml, or the embedded cast, plays."""
    kind, _, rest = model.partition(":")
    source, role = model, None
    if kind == "endpoint":
        config, source = _only(config, rest), "llm"
    elif model in GENERATORS:
        source = casting.EMBEDDED if config.role(model).endpoint == casting.EMBEDDED else "llm"
        role = model
    plan = casting.plan_cast(config, casting.EMBEDDED, source, seed=seed)
    players = {part: player for part, player in plan.players.items() if part in GENERATORS and part in (role or part)}
    identity = {"players": players, **plan.paid_by()} if plan.paid else {"players": players, **plan.templates()}
    distinct = dict.fromkeys(players.values())
    ties = tuple(Tie(player, ITSELF) for player in distinct)
    return Entrant(Contestant(name, model, ", ".join(distinct), ties), identity, plan=plan, role=role)


def _only(config: Config, place: str) -> Config:
    """The configuration with one generator: a model at an endpoint, ENDPOINT/MODEL."""
    endpoint, _, model = place.partition("/")
    if endpoint not in config.endpoints or not model:
        known = ", ".join(sorted(config.endpoints)) or "none"
        raise ConfigError(f"endpoint:{place}: write endpoint:NAME/MODEL, with a NAME of kindling.toml (there: {known})")
    strong, _ = GENERATORS
    like = config.role(strong).model_copy(update={"endpoint": endpoint, "model": model})
    others = {role: section for role, section in config.roles.items() if role not in GENERATORS}
    return config.model_copy(update={"roles": {**others, strong: like}})


def _file(name: str, model: str, path: Path) -> Entrant:
    digest = sha256(path) if path.is_file() else ""
    return Entrant(Contestant(name or path.stem, model, f"file {path}", ()), digest, recorded=path)


def _policy(name: str, model: str, path: str) -> Entrant:
    folder = Path(path)
    if (folder / "run.json").is_file():  # a run of kindling train
        folder /= "model"
        if not folder.is_dir():
            raise InputError(f"{path}: this run holds no model: it is not finished, or no run of kindling train")
    if folder.is_dir():
        _check_folder(folder)
        path = str(folder)
    elif not _HUB.fullmatch(path) or folder.parent.is_dir() or path.startswith("."):
        raise InputError(f"{path}: no such model; name a folder, a hub name like ORG/NAME, llm, embedded or a file")
    weights = {file.name: sha256(file) for file in sorted(folder.glob("*.safetensors"))}
    called = name or (folder.parent.name if folder.name == "model" else folder.name) or folder.name
    player = Contestant(called, model, f"policy {path}", lineage.ties(folder), _stopped(folder))
    return Entrant(player, weights or path, policy=path)


def _check_folder(folder: Path) -> None:
    """See what loading would refuse, before anything is loaded or written."""
    for file, what in (("config.json", "model"), ("tokenizer_config.json", "tokenizer")):
        if not (folder / file).is_file() and not (what == "model" and (folder / "adapter_config.json").is_file()):
            raise InputError(f"{folder}: no {what} ({file}) in this folder")
    template = any((folder / file).is_file() for file in ("chat_template.jinja", "chat_template.json"))
    if not template and not _json(folder / "tokenizer_config.json").get("chat_template"):
        raise InputError(f"{folder}: its tokenizer has no chat template, so it takes no requests")


def _stopped(folder: Path) -> str:
    """Why the run that made a model ended before its time, if it did."""
    run = lineage.run_of(folder)
    why = read_record(run).get("stopped") if run else None
    return f"stopped: {why}" if why else ""


def _json(file: Path) -> dict[str, Any]:
    try:
        data = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{file}: not a JSON object")
    return data


def read_texts(path: Path, rows: Sequence[Row]) -> list[Written]:
    """The texts of a file for all `rows`, in its order a query; `finished` false (kindling generate) means cut off.

    Queries match as requests do everywhere: case, width, spaces and punctuation do not count. Raises `InputError` if
    the file has too few for any row.
    """
    texts: dict[str, list[Written]] = {}
    for number, row in enumerate(read_rows(path, ("query", "response")), 1):
        query, text = row["query"], "" if row["response"] is None else row["response"]
        if not isinstance(query, str) or not isinstance(text, str):
            raise InputError(f"{path}: row {number}: query and response must be text")
        texts.setdefault(request_key(query), []).append(_written(text, cut_off=row.get("finished") is False))
    lacking = [row for row in rows if row.index >= len(texts.get(request_key(row.query), ()))]
    if lacking:
        first, queries = lacking[0], len({row.query for row in lacking})
        have, asked = len(texts.get(request_key(first.query), ())), len({row.query for row in rows})
        raise InputError(
            f"{path}: does not match the queries: too few responses to {queries} of {asked} "
            f"({have} to {first.query[:40]!r}, and --n asks for {1 + max(row.index for row in rows)})"
        )
    return [texts[request_key(row.query)][row.index] for row in rows]


def _written(text: str, *, cut_off: bool) -> Written:
    if cut_off:
        return Written(text, "cut_off", "cut off")
    return Written(text) if text.strip() else Written(text, "empty", "empty")
