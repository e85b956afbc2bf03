"""The embedded optimizer: counts what the explanations of a batch name, and rewrites the principles accordingly.

A lesson *lacks* the checks that its explanation names, that speak for the truth and that no principle heeds. If there
are none, it was *misled* by the heeded ones named that speak against it. A check needs `NEEDED` lessons, or all of a
smaller batch. What is lacking goes into the rule that says most about its family of checks, if there is one with room,
else into a new one. Only where nothing is lacking, the one check that misled most is taken out: errors are all that a
batch shows, and what misleads in them may be right in all other cases, which nobody shows here. Whether a rewrite helps
is for the gate to say.
"""

from collections import Counter
from dataclasses import dataclass, field

from kindling.agents.embedded.debate import NAME, heeded, understood
from kindling.agents.embedded.game.explainer import speaks_for
from kindling.agents.embedded.game.naming import named
from kindling.agents.embedded.game.script import Family, Script
from kindling.agents.embedded.lexicon import Lexicon
from kindling.game import Lesson, Rewrite, Rules
from kindling.prompts.rules import MAX_RULES

NEEDED = 2  # lessons that a check must be named in: one may be a slip of the label or of the explanation


@dataclass
class _Draft:
    """The rules in the making, and what was done to them."""

    rules: list[str]
    done: list[str] = field(default_factory=list)


class EmbeddedOptimizer:
    """Adds, sharpens or trims principles; the same rules and lessons give the same rewrite."""

    name = NAME

    def __init__(self, lexicon: Lexicon, script: Script) -> None:
        self._lexicon = lexicon
        self._script = script

    async def rewrite(self, rules: Rules, lessons: tuple[Lesson, ...], index: int) -> Rewrite:
        """New principles, or the same ones where no check is named often enough."""
        lacking, misleading = self._count(rules, lessons)
        needed = min(NEEDED, len(lessons))
        draft = _Draft(list(rules))
        for family in self._script.families.values():
            if keys := [key for key in family.phrases if lacking[key] >= needed]:
                self._add(draft, family, keys, max(lacking[key] for key in keys))
        if not draft.done:
            self._trim(draft, [(key, many) for key, many in misleading.most_common() if many >= needed])
        return Rewrite(tuple(draft.rules), "".join(draft.done) or self._script.sentences.unchanged)

    def _count(self, rules: Rules, lessons: tuple[Lesson, ...]) -> tuple[Counter[str], Counter[str]]:
        """In how many lessons each check was lacking, and in how many it misled."""
        checks, seen = self._lexicon.checks, heeded(rules, self._lexicon)
        lacking: Counter[str] = Counter()
        misleading: Counter[str] = Counter()
        for lesson in lessons:
            said = named(lesson.why, self._lexicon)
            helpful = {key for key in said if speaks_for(checks[key].side, lesson.truth)}
            lacking.update(sorted(helpful - seen))
            if helpful <= seen:
                misleading.update(sorted((said - helpful) & seen))
        return lacking, misleading

    def _add(self, draft: _Draft, family: Family, keys: list[str], count: int) -> None:
        """Put `keys` into the rule about their family, into a new one, or into the place of one that names nothing."""
        sentences = self._script.sentences
        phrases = self._script.phrased(self._unnamed(keys, draft.rules))
        if not phrases:
            return
        about = {rule: len(family.phrases.keys() & set(understood(rule, self._lexicon))) for rule in draft.rules}
        target = max(
            (rule for rule in draft.rules if len(rule) + len(phrases) < sentences.room),
            key=about.__getitem__,
            default="",
        )
        if target and about[target]:
            sharper = sentences.sharpened.format(rule=target.removesuffix(sentences.stop), phrases=phrases)
            draft.rules[draft.rules.index(target)] = sharper + sentences.stop
            draft.done.append(sentences.sharper.format(rule=target, phrases=phrases, count=count))
            return
        idle = next((rule for rule in draft.rules if not understood(rule, self._lexicon)), None)
        principle = sentences.principle.format(lead=family.lead, phrases=phrases) + sentences.stop
        if len(draft.rules) < MAX_RULES:
            draft.rules.append(principle)
        elif idle is not None:
            draft.rules[draft.rules.index(idle)] = principle
        else:
            draft.done.append(sentences.crowded.format(phrases=phrases))
            return
        draft.done.append(sentences.added.format(phrases=phrases, count=count))

    def _unnamed(self, keys: list[str], rules: list[str]) -> list[str]:
        """Those of `keys` that neither the rules nor the phrases of those before name."""
        seen, found = heeded(rules, self._lexicon), []
        for key in keys:
            if key not in seen:
                found.append(key)
                seen |= heeded([self._script.phrases[key]], self._lexicon)
        return found

    def _trim(self, draft: _Draft, misleading: list[tuple[str, int]]) -> None:
        """Take out the first check that can be: rules that name it are written anew with what else they name."""
        for key, count in misleading:
            rules = [rule for rule in (self._without(key, rule) for rule in draft.rules) if rule]
            if rules and key not in heeded(rules, self._lexicon):
                draft.rules = rules
                phrases = self._script.phrased([key])
                draft.done.append(self._script.sentences.trimmed.format(phrases=phrases, count=count))
                return

    def _without(self, key: str, rule: str) -> str:
        """The rule as it is if it does not name `key`, else what is left of it; empty if nothing is."""
        names = understood(rule, self._lexicon)
        return self._script.principle(name for name in names if name != key) if key in names else rule
