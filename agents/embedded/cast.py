"""The embedded cast of a task pack, all roles over one examiner."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kindling.agents.cast import Cast
from kindling.agents.embedded.debate import EmbeddedCritic, EmbeddedJudge, EmbeddedReflector
from kindling.agents.embedded.examiner import Examiner
from kindling.agents.embedded.generator import EmbeddedGenerator
from kindling.agents.embedded.grammar import load_grammar
from kindling.agents.embedded.lexicon import Lexicon, load_lexicon
from kindling.agents.embedded.weights import load_weights
from kindling.agents.embedded.writer import Writer
from kindling.agents.retriever import Retriever

if TYPE_CHECKING:
    from kindling.prompts.taskpack import TaskPack

LEXICON = "lexicon.toml"
WEIGHTS = "judge.toml"


def embedded_cast(pack: "TaskPack", retriever: Retriever, seed: int = 0) -> Cast:
    """Everyone offline: a strong and a weak generator, two critics, judge and reflector.

    Raises `InputError` if the pack has no usable `lexicon.toml` or `grammar.toml`.
    """
    examiner = embedded_examiner(pack)
    strong, weak = embedded_generators(pack, examiner, seed)
    return Cast(
        retriever=retriever,
        generators=(strong, weak),
        positive=EmbeddedCritic(examiner, "merits"),
        negative=EmbeddedCritic(examiner, "flaws"),
        judge=EmbeddedJudge(examiner, pack.principles()),
        reflector=EmbeddedReflector(examiner),
        brief_chars=pack.settings.brief_chars,
    )


def embedded_examiner(pack: "TaskPack") -> Examiner:
    """What the embedded critics, judge and reflector of `pack` share; with learned weights where the pack has some."""
    lexicon = _lexicon(pack.file(LEXICON))
    learned = [folder / WEIGHTS for folder in pack.folders if (folder / WEIGHTS).is_file()]
    return Examiner(lexicon, pack.settings.brief_chars, load_weights(learned[0], lexicon) if learned else None)


def embedded_generators(
    pack: "TaskPack", examiner: Examiner, seed: int = 0
) -> tuple[EmbeddedGenerator, EmbeddedGenerator]:
    """Build the strong and the weak generator of `pack`."""
    writer = Writer(load_grammar(pack.file("grammar.toml"), examiner.lexicon))
    brief_chars = pack.settings.brief_chars
    return (
        EmbeddedGenerator(examiner, writer, brief_chars, "strong", seed),
        EmbeddedGenerator(examiner, writer, brief_chars, "weak", seed),
    )


@cache
def _lexicon(path: Path) -> Lexicon:
    """Read a lexicon once a process; its scanners take a moment to build."""
    return load_lexicon(path)
