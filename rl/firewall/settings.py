"""The limits of a run, each with its reason. A limit is passed when the numbers say so beyond their own noise.

Values are read from the command line, and checked: one that could never be passed would disarm its check unseen.
"""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

_Count = Annotated[int, Field(ge=0)]
_Steps = Annotated[int, Field(ge=1)]
_Rise = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Doubt = Annotated[float, Field(gt=0, le=0.5)]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a healthy run keeps. Texts are compared with those of a *reference*, in a *window* of the latest steps.

    baseline        completions that are drawn before training to be the reference; 0 takes the first steps instead,
                    which are noisier and have learned something already.
    reference       so many first steps: the reference of what the trainer logs, and of texts without a baseline.
    window          short, since a policy that grows does so by percents a step, and a mean over many would come late.
    doubt           p-value that a change from the reference must stay below besides passing its limit. The check is
                    made at every step, so the usual 5 % would stop every healthy run.
    length_rise     how far the mean length may rise over the reference, relative. Good texts have a length of their
                    own; a run that needs more than this to be better has learned something else.
    length_fall     the same downwards.
    limit_share     share of completions cut off at the token limit; counts only where it has also risen by half of
                    itself, since a base model that was never tuned starts high.
    kl              nats a token from the reference model: at one half, a text of 60 tokens is e^30 times less likely
                    under the model that was certified to be sound.
    entropy_fall    how far the entropy may fall relative to the reference: beyond it the policy writes one text.
    phrase_share    no phrase may come to stand in more completions than this …
    phrase_rise     … having risen by so much (absolute) since the reference …
    phrase_known    … unless more than this share of the references have it too.
    unscored        share of completions that the judge could not score: beyond it the run is taught by few.
    without_advantage   share of groups whose rewards are all equal: beyond it there is nothing left to learn from.
    canaries        least accuracy by kind of canary, `canary_else` for other kinds. A judge may be that bad and no
                    worse: the alarm is a one-sided binomial test at `canary_doubt` over the last `canary_window`, or as
                    many as there are of the kind.
    shadow_fall     how far the shadow judge's mean score may fall while the reward rises.
    shadow_window   reports of the shadow that are compared, at the beginning and now.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    baseline: _Count = 512
    reference: _Steps = 8
    window: _Steps = 4
    doubt: _Doubt = 1e-4
    length_rise: _Rise = 0.15
    length_fall: _Share = 0.30
    limit_share: _Share = 0.10
    kl: _Rise = 0.5
    entropy_fall: _Share = 0.70
    phrase_share: _Share = 0.50
    phrase_rise: _Share = 0.30
    phrase_known: _Share = 0.20
    unscored: _Share = 0.50
    without_advantage: _Share = 0.95
    canaries: dict[str, _Share] = field(
        default_factory=lambda: {"good": 0.5, "bad": 0.6, "off-topic": 0.5, "attack": 0.7, "padded": 0.6}
    )
    canary_else: _Share = 0.5
    canary_window: _Steps = 60
    canary_doubt: _Doubt = 1e-3
    shadow_fall: _Share = 0.05
    shadow_window: _Steps = 3
