"""The embedded players of a task pack, all over one examiner."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kindling.agents.embedded.cast import embedded_examiner
from kindling.agents.embedded.debate import EmbeddedJudge
from kindling.agents.embedded.examiner import Examiner
from kindling.agents.embedded.game.explainer import EmbeddedExplainer
from kindling.agents.embedded.game.forger import EmbeddedForger
from kindling.agents.embedded.game.optimizer import EmbeddedOptimizer
from kindling.agents.embedded.game.script import load_script
from kindling.agents.embedded.game.tactician import EmbeddedTactician
from kindling.agents.embedded.grammar import load_grammar
from kindling.agents.embedded.writer import Writer
from kindling.agents.players import Players
from kindling.game import Rules

if TYPE_CHECKING:
    from kindling.prompts.taskpack import TaskPack

SCRIPT = "game.toml"


def embedded_players(pack: "TaskPack", seed: int = 0) -> Players:
    """Everyone offline; `seed` is the forger's, nobody else draws.

    Raises `InputError` if the pack has no usable `lexicon.toml`, `grammar.toml` or `game.toml`.
    """
    examiner = embedded_examiner(pack)
    grammar = load_grammar(pack.file("grammar.toml"), examiner.lexicon)
    script = load_script(pack.file(SCRIPT), examiner.lexicon, grammar)
    return Players(
        judge_for=_judge_for(examiner),
        forger=EmbeddedForger(examiner, Writer(grammar), script, seed),
        explainer=EmbeddedExplainer(examiner, script),
        optimizer=EmbeddedOptimizer(examiner.lexicon, script),
        tactician=EmbeddedTactician(examiner.lexicon, script),
        brief_chars=pack.settings.brief_chars,
    )


def embedded_judge_for(pack: "TaskPack") -> Callable[[Rules], EmbeddedJudge]:
    """The embedded judge of any principles. Raises `InputError` if the pack has no usable `lexicon.toml`."""
    return _judge_for(embedded_examiner(pack))


def _judge_for(examiner: Examiner) -> Callable[[Rules], EmbeddedJudge]:
    return lambda principles: EmbeddedJudge(examiner, principles)
