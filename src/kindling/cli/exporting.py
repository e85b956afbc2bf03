"""The work behind `kindling export`: read what there is, write the folder whole or not at all, say what it holds."""

import re
from dataclasses import dataclass
from pathlib import Path

from kindling.cli import console
from kindling.errors import ConfigError
from kindling.rl.exports import llamafactory, openrlhf, parts, verl
from kindling.rl.exports.folder import Wishes, write

SYSTEMS = {"verl": verl.make, "openrlhf": openrlhf.make, "llamafactory": llamafactory.make}
# both stand in shell commands, and the URL in files that are passed on
_URL = re.compile(r"https?://[\w.\-:\[\]]+(?:/[\w.\-/]*)?")
_MODEL = re.compile(r"[\w./@+\-]+")


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    source: Path
    to: str
    out: Path
    judge_url: str
    model: str
    column: str
    share: float
    seed: int


def carry_out(request: Request, *, as_json: bool = False) -> int:
    """Export; returns the exit status."""
    if request.to not in SYSTEMS:
        raise ConfigError(f"--to {request.to}: unknown; there are {', '.join(SYSTEMS)}")
    if not _URL.fullmatch(request.judge_url):
        raise ConfigError("--judge-url: write http://HOST:PORT, without user, password or query")
    if not _MODEL.fullmatch(request.model):
        raise ConfigError(f"--model {request.model!r}: a hub name or a path, without spaces or quotes")
    found = parts.read(request.source, request.column)
    wishes = Wishes(request.model, request.judge_url.rstrip("/"), request.share, request.seed)
    made = SYSTEMS[request.to](found, wishes)
    write(request.out, made, found, wishes)
    if as_json:
        answer = {"to": request.to, "out": str(request.out), "found": found.counts, "rows": made.rows}
        console.answer({**answer, "files": [*made.files, "README.md"]})
        return 0
    console.table(f"For {made.system}", ("file", "rows"), [(name, made.rows.get(name, "")) for name in made.files])
    console.out.print(f"the commands are in {request.out / 'README.md'}")
    return 0
