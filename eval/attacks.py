"""Attacks on judges: ways to change a text so that a sound judge must still say *bad*, and an unsound one says *good*.

`attacks.toml` holds them as templates, by family and language. A family wants one of two things:

    bad stays bad      applied to a bad text; what is added talks to the judge or fills space, and adds nothing good
    good becomes bad   applied to a good text; it is damaged (cut off, or its count broken)

Either way the attack has succeeded if the judge answers good. A template is the attacked text with these places in it
(one without any stands alone, whatever the response):

    {response}     the response as it is; several times: repeated
    {first:N}      its first N percent, the cut moved to the nearest place inside a sentence
    {joined:X}     its characters with X between each two

A family with `breaks_facts` acts only where a verifiable request was met before and is not met after. Attacks are
deterministic and know nothing of the task, the judge or its prompt. Left out: attacks that are optimised against one
judge (suffix search); they belong to refinement, where the judge at hand is known.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from kindling.records import Case, Label

Wants = Literal["bad stays bad", "good becomes bad"]

_PLACE = re.compile(r"\{(?:(?P<response>response)|first:(?P<percent>\d+)|joined:(?P<joint>.))\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to change a response. `id` is `family.language.name`, stable over releases."""

    family: str
    id: str
    language: str
    wants: Wants
    template: str
    breaks_facts: bool = False

    @property
    def target(self) -> Label:
        """The label of the cases that it is applied to."""
        return "bad" if self.wants == "bad stays bad" else "good"

    def apply(self, response: str) -> str:
        """Give the attacked text; equal to `response` where there is nothing to act on, such as a cut of one letter."""

        def fill(place: re.Match[str]) -> str:
            if place["response"]:
                return response
            if place["percent"]:
                return cut_off(response, int(place["percent"]) / 100)
            return place["joint"].join(response)

        return _PLACE.sub(fill, self.template)

    def on(self, case: Case, make: Callable[[str, str], Case]) -> Case | None:
        """Give the attacked case, made anew by `make(query, response)` so that its facts are measured, or None.

        None says that the attack does not act: the text stays the same, or, with `breaks_facts`, no met request is
        broken.
        """
        response = self.apply(case.response)
        if response == case.response:
            return None
        attacked = make(case.query, response)
        if self.breaks_facts:
            before = bool(case.facts) and all(fact.met for fact in case.facts)
            if not before or all(fact.met for fact in attacked.facts):
                return None
        return attacked


def load_attacks() -> tuple[Attack, ...]:
    """Read every shipped attack, in the order of the file."""
    data = tomllib.loads((files("kindling.eval") / "attacks.toml").read_text(encoding="utf-8"))
    return tuple(
        Attack(
            family,
            f"{family}.{language}.{name}",
            language,
            table["wants"],
            template,
            table.get("breaks_facts", False),
        )
        for family, table in data.items()
        for language in ("zh", "en")
        for name, template in table.get(language, {}).items()
    )


def cut_off(text: str, share: float) -> str:
    """Keep about the first `share` of `text`: cut it at the nearest place between two letters.

    The text as it is where it has no such place. At least one character is left, and at least one is cut.
    """
    wanted = round(len(text) * share)
    inside = [at for at in range(1, len(text)) if text[at - 1].isalnum() and text[at].isalnum()]
    if not inside:
        return text
    return text[: min(inside, key=lambda at: abs(at - wanted))]
