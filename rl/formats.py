"""TRL's conversational dataset formats: how records become rows that its trainers read as they are.

The columns that a trainer reads (`prompt`, `chosen`, `rejected`, `messages`) hold messages; every further column is
provenance, flat and named after the record's field, and is ignored by the trainers. Texts pass unchanged.
"""

from dataclasses import asdict
from typing import Any

from kindling.records import Judgement, PreferencePair, Query

Message = dict[str, str]


def prompt(query: str) -> list[Message]:
    """The conversation that asks for a response to `query`."""
    return [{"role": "user", "content": query}]


def response(text: str) -> list[Message]:
    """The assistant's turn."""
    return [{"role": "assistant", "content": text}]


def preference_row(pair: PreferencePair) -> dict[str, Any]:
    """Explicit-prompt preference format: `prompt`, `chosen`, `rejected`, then the pair's provenance."""
    provenance = asdict(pair)
    query, chosen, rejected = (provenance.pop(name) for name in ("query", "chosen", "rejected"))
    return {"prompt": prompt(query), "chosen": response(chosen), "rejected": response(rejected), **provenance}


def sft_row(query: Query, best: Judgement) -> dict[str, Any]:
    """Language-modelling format: `messages`, then where the response comes from."""
    return {
        "messages": prompt(query.text) + response(best.candidate.text),
        "query_id": query.id,
        "source": best.candidate.source,
        "score": best.verdict.score,
        "judge": best.verdict.judge,
        "template": best.verdict.template,
    }
