"""Which judges stand behind a model: those of the run of `kindling train` that made it, and of the runs before.

    reward                    its verdicts were the reward
    chose its texts           it judged what SFT or a reward model learned from: as the rows say (`judge`), and the run
                              of kindling curate that they lie in, which knows who played
    taught its reward model   it stands behind the model that gave the reward
    shadow                    it watched, and chose the checkpoint

A run keeps its ties in run.json, those that it inherited from its base and its reward model included, so that they stay
when the folders before it are gone. For a run that was made before runs did so they are found by its settings. What no
record says is no tie here: nobody knows.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling.cli import casting
from kindling.eval.scorecard.card import Tie
from kindling.records import load
from kindling.runs import read_record

if TYPE_CHECKING:
    from kindling.rl.training.data import Data

REWARD, CHOSE, TAUGHT_REWARD, SHADOW = "reward", "chose its texts", "taught its reward model", "shadow"
GENERATIONS = 16  # of runs that a model was trained through; more is a circle


def ties(model: Path, generations: int = GENERATIONS) -> tuple[Tie, ...]:
    """The judges behind the model, or the checkpoint, in the folder `model`; none where no run says how it was made."""
    run = run_of(model)
    if run is None or not generations:
        return ()
    record = read_record(run)
    if "ties" in record:
        told = [load(Tie, one, f"{run}: run.json: ties") for one in record["ties"]]
        return tuple(Tie(placed(one.judge, run.parent), one.how) for one in told)
    return ties_of(record["settings"], at=run.parent, generations=generations - 1)


def ties_of(
    settings: Mapping[str, Any], rows: "Data | None" = None, at: Path = Path(), generations: int = GENERATIONS
) -> tuple[Tie, ...]:
    """The judges behind what a run of kindling train with these `settings`, on these `rows`, makes.

    Paths are looked for from here, and from `at`.
    """
    found = [Tie(placed(judge, at), how) for judge, how in (*_rewarding(settings), *_choosing(rows))]
    for name in ("model", "base"):
        found += ties(_found(settings.get(name), at), generations)
    for name in _reward_models(settings):
        found += [Tie(one.judge, TAUGHT_REWARD) for one in ties(_whole(_found(name, at)), generations)]
    return tuple(dict.fromkeys(found))


def _rewarding(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Who rewarded, and who watched."""
    if judge := settings.get("judge"):
        yield str(judge), REWARD
    # the same model by another name, such as a debate's, is the same judge
    yield from ((str(player), REWARD) for player in dict.fromkeys((settings.get("players") or {}).values()))
    yield from ((f"rm:{model}", REWARD) for model in _reward_models(settings))
    if shadow := settings.get("shadow"):
        yield str(shadow), SHADOW


def _reward_models(settings: Mapping[str, Any]) -> Iterator[str]:
    """The reward models that rewarded, as a term of their own or as the judge."""
    kind, _, path = str(settings.get("judge") or "").partition(":")
    yield from (str(model) for model in (settings.get("reward_model"), path if kind == "rm" else None) if model)


def _choosing(rows: "Data | None") -> Iterator[tuple[str, str]]:
    """Who chose the texts: by the rows, and by the record of the curation that they lie in."""
    if rows is None or not rows.judged_by:
        return
    yield from ((judge, CHOSE) for judge, _ in rows.judged_by)
    run = rows.file.parent
    record = read_record(run) if (run / "run.json").is_file() else {}
    if record.get("command") == "curate":
        settings = record["settings"]
        played = settings.get("players") or {}
        judges = (settings.get("judge"), *(played.get(role) for role in casting.DEBATERS))
        yield from ((str(judge), CHOSE) for judge in judges if judge)


def _found(model: Any, at: Path) -> Path:
    """The folder of a model that a run names, as it is found from here, or from `at`."""
    folder = Path(str(model or ""))
    return folder if folder.is_dir() else at / folder


def run_of(model: Path) -> Path | None:
    """The run of kindling train that made the model, or checkpoint, in this folder; a base beside it is another's."""
    run = model.parent.parent if model.parent.name == "trainer" else model.parent
    made = model.name == "model" or model.parent.name == "trainer"
    there = made and (run / "run.json").is_file() and str(read_record(run)["command"]).startswith("train ")
    return run if there else None


def _whole(folder: Path) -> Path:
    """The model of a run, where `folder` is one."""
    return folder / "model" if (folder / "model").is_dir() else folder


def placed(judge: str, folder: Path = Path()) -> str:
    """The name of a judge; that of a learned one with its whole path, if it lies here, in `folder` or in one above."""
    learned = casting.learned_from(judge)
    if learned is None:
        return judge
    above = folder.resolve()
    there = next((at for at in (learned, *(one / learned for one in (above, *above.parents))) if at.exists()), None)
    return f"{judge.partition(':')[0]}:{_whole(there).resolve()}" if there else judge


def from_here(found: Iterable[Tie]) -> tuple[Tie, ...]:
    """The same ties, to be written down: what lies here is named without the folders above, which are nobody else's."""
    return tuple(Tie(one.judge.replace(f":{Path.cwd()}/", ":"), one.how) for one in found)
