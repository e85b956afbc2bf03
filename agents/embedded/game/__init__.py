"""The embedded players of the refinement game, from a task pack's `game.toml` beside its lexicon and grammar.

    script     the sentences that they speak, checked        naming     what a sentence says, by the checks it names
    forger     drafts from the grammar, spoilt               explainer  findings that no principle heeds
    optimizer  principles from explanations                  tactician  tactics from confessions
    players    all of it for a pack

They understand each other, and any other player of the same roles, only through sentences: what a sentence names is
what it says. None of them sees a case that the contracts do not show it.
"""

from kindling.agents.embedded.game.players import SCRIPT, embedded_judge_for, embedded_players

__all__ = ["SCRIPT", "embedded_judge_for", "embedded_players"]
