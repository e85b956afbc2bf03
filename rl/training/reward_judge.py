"""`rm:PATH`: a trained reward model behind the contract of all judges.

Its score becomes the probability of *good* by the calibration that `kindling train rm` left beside the weights;
without one there is no judge. Measured facts come before anything learned: a text that misses a verifiable request is
bad. A score that is no finite number, and a text that the model breaks on, are no judgement: unscored.

Cases that wait at the same time are scored together (`batching`). Which ones share a pass changes the last bits of a
score, so it is rounded before anything follows from it: the same case gets the same verdict in any company.

Opening reads no weights, so that plans and dry runs are quick; the first case loads them.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import orjson

from kindling.errors import InputError, UsageError
from kindling.records import Case, Critique, Verdict, fingerprint
from kindling.rl.policy import runtime
from kindling.rl.training import calibration
from kindling.rl.training.batching import Batches, Pair, ScorePairs
from kindling.rl.training.calibration import Calibration
from kindling.rl.training.scoring import AT_ONCE, LEARNED, Scorer, weights_folder

DECIMALS = 4
CARD = "README.md"


class RewardJudge:
    """A scorer of pairs and its calibration as a `Judge`."""

    def __init__(
        self,
        score: ScorePairs,
        calibrated: Calibration,
        name: str,
        template: str,
        learned: frozenset[str] | None = None,
    ) -> None:
        self.name = name
        self.template = template
        self._calibrated = calibrated
        self._learned = learned
        self._batches = Batches(score, AT_ONCE)

    @classmethod
    def open(cls, path: Path) -> "RewardJudge":
        """The judge in a run of `kindling train rm`, or in its model folder. Raises `UsageError`."""
        folder = weights_folder(path)
        calibrated = calibration.read(folder)
        runtime.prepare()
        return cls(_Weights(folder).score, calibrated, f"rm:{path}", template(folder), _learned(folder))

    def seen(self, texts: Iterable[str]) -> int | None:
        """Count those of `texts` that it was trained or calibrated with; None where it does not say."""
        return None if self._learned is None else sum(fingerprint(text) in self._learned for text in texts)

    async def judge(self, case: Case, critiques: tuple[Critique, ...] = ()) -> Verdict:
        """Judge one case; critiques are not heard."""
        if case.missed:
            return Verdict.of(0.0, "; ".join(case.missed), self.name, self.template)
        try:
            raw = round(await self._batches.score((case.query, case.response)), DECIMALS)
        except UsageError:
            raise
        except Exception as error:  # out of memory, text that cannot be encoded
            return Verdict.none(f"{type(error).__name__}: {error}", self.name, self.template)
        if not math.isfinite(raw):
            return Verdict.none(f"the reward model's score is {raw}", self.name, self.template)
        score = self._calibrated.probability(raw)
        return Verdict.of(score, f"reward {raw:.2f}, good with probability {score:.2f}", self.name, self.template)


class _Weights:
    """The model of `folder`, loaded by whoever scores first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _scorer(self) -> Scorer:
        runtime.hush()
        return Scorer(self._folder)

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        return self._scorer.score_pairs(pairs)


def _learned(folder: Path) -> frozenset[str] | None:
    file = folder / LEARNED
    try:
        return frozenset(map(str, orjson.loads(file.read_bytes())))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, orjson.JSONDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}; {calibration.MEND}") from error


def template(folder: Path) -> str:
    """SHA-256 over all that decides what a model says: weights, tokenizer, chat template, calibration.

    Everything in the folder counts but the card. Of an adapter's base only the name stands there.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != CARD and not path.name.startswith("."):
            with path.open("rb") as file:
                digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
