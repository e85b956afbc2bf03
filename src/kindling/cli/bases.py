"""The texts that the embedded base learns to write from: what the embedded generators write, good and flawed.

Real base models have read both. The requests are drawn by the query writer, and the strong and the weak generator
answer them in turn; the examples of the corpus are among them. What ships as queries stays out, so that no model has
seen what it may be measured on. The same seed gives the same texts.
"""

from kindling.cli import casting
from kindling.config import Config
from kindling.records import Query
from kindling.tables import read_rows

TEXTS = 8_000
EMBEDDED = "embedded"
Pairs = list[tuple[str, str]]
"""Queries and responses."""


async def embedded_texts(config: Config, seed: int) -> Pairs:
    """Pairs of query and response. Raises `InputError` if the pack has no embedded writers or queries."""
    from kindling.agents.embedded.queries import QueryWriter

    plan = casting.plan_cast(config, EMBEDDED, EMBEDDED, seed=seed)
    generators = casting.cast_of(plan, None).generators
    corpus = read_rows(plan.pack.file("corpus.jsonl"), ("query", "response"))
    written = [(str(row["query"]), str(row["response"])) for row in corpus]
    held_out = tuple(str(row["query"]) for row in read_rows(plan.pack.file("queries.txt"), ("query",), "query"))
    asked = QueryWriter(plan.pack.file("queries.toml")).write(TEXTS - len(written), seed, held_out)
    for place, query in enumerate(asked):
        generator = generators[place % len(generators)]
        written.append((query, (await generator.generate(Query(query), (), 0)).text))
    return written
