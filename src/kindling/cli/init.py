"""`kindling init`: a project folder with a commented kindling.toml and editable copies of the prompts."""

from pathlib import Path
from typing import Annotated

import typer

TEMPLATE = """\
# kindling.toml: who plays which role, and what a run may cost. Every line that starts with "# " after a section name is
# an example: take the "# " away to use it. Roles without a section are played by the embedded cast, offline.

[project]
task = "{task}"
prompts = "prompts"             # your copies of the templates; a file you delete here is taken from the package

# [endpoints.main]
# base_url = "https://api.example.com/v1"
# api_key_env = "MAIN_API_KEY"  # the NAME of the environment variable that holds the key
# timeout_s = 60
# max_in_flight = 64            # the limit adapts to 429 and latency below this

# [endpoints.judging]
# base_url = "http://127.0.0.1:8000/v1"
# structured = "auto"           # json_schema where the endpoint has it; or "json_schema", or "text"

# [roles.generator_strong]
# endpoint = "main"
# model = "a-large-model"
# temperature = 1.0
# price_in = 0.5                # money for a million tokens
# price_out = 1.5

# [roles.generator_weak]
# endpoint = "main"
# model = "a-small-model"
# temperature = 1.0

# [roles.positive]
# endpoint = "judging"
# model = "a-careful-model"
# temperature = 0.0

# [roles.negative]
# endpoint = "judging"
# model = "a-careful-model"
# temperature = 0.0

# [roles.judge]
# endpoint = "judging"
# model = "a-careful-model"
# temperature = 0.7
# votes = 3                     # the score is the mean over them
# graded = "auto"               # a vote is the probability of good, where the endpoint tells it; or "logprobs", "votes"

# [roles.reflector]
# endpoint = "judging"
# model = "a-careful-model"
# temperature = 0.0

# [roles.forger]                # this and the next three play in kindling refine, with the judge
# endpoint = "main"
# model = "a-large-model"
# temperature = 1.0

# [roles.explainer]
# endpoint = "judging"
# model = "a-careful-model"
# temperature = 0.0

# [roles.optimizer]
# endpoint = "judging"
# model = "a-careful-model"
# temperature = 0.7

# [roles.tactician]
# endpoint = "main"
# model = "a-large-model"
# temperature = 1.0

[retriever]
k = 3                           # examples a query; 0 for none
# examples = "examples.jsonl"   # your own: a line {{"query": ..., "response": ...}} each
show_to = ["generator"]         # also "positive", "negative"

[curate]
candidates = 4                  # responses a query
pairing = "closest_length"      # or "best_worst", "all"
margin = 0.2                    # smallest score difference of a pair
in_flight = 64                  # rows worked on at once

[budget]
# max_calls = 10000
# max_cost = 10.0
# max_minutes = 60
"""


def init(
    directory: Annotated[Path, typer.Argument(help="The folder to make, or an empty one.")],
    task: Annotated[str, typer.Option(help="The task pack to copy.")] = "greetings",
) -> None:
    """Make a project folder: kindling.toml, and copies of the prompts for you to edit.

    [bold]Examples[/bold]

    kindling init mine

    kindling init mine --task slogans
    """
    import shutil
    import tempfile

    from kindling.config import FILE
    from kindling.errors import RunFolderError
    from kindling.prompts.rules import PRINCIPLES, TACTICS, kind
    from kindling.prompts.taskpack import load_pack

    pack = load_pack(task)
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise RunFolderError(f"{directory}: exists and is not empty; choose another folder")
        directory.mkdir(parents=True, exist_ok=True)
        # made inside and moved up, so that `kindling init .` works and a full disk leaves nothing half-written
        with tempfile.TemporaryDirectory(dir=directory, prefix=".init.") as made:
            prompts = Path(made) / "prompts" / task
            prompts.mkdir(parents=True)
            for template in sorted(pack.folders[-1].glob("*.j2")):
                if not kind(template.name) or template.name in (PRINCIPLES, TACTICS):  # other lists are to start from
                    shutil.copyfile(template, prompts / template.name)
            (Path(made) / FILE).write_text(TEMPLATE.format(task=task), encoding="utf-8")
            for child in sorted(Path(made).iterdir()):
                child.rename(directory / child.name)
    except OSError as error:
        raise RunFolderError(f"{directory}: cannot be written: {error.strerror or error}") from error
    typer.echo(f"made {directory / FILE} and {directory / 'prompts' / task}/; next: cd {directory}")
