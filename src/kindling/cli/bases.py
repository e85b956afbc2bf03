"""The texts that the embedded base learns to write from: what the embedded generators write, good and flawed.

Real base models have read both. Each query that ships with the task pack is answered several times by the strong and by
the weak generator, and the examples of the corpus are among them: the same seed gives the same texts.
"""

from kindling.cli import casting
from kindling.config import Config
from kindling.records import Query
from kindling.tables import read_rows

TEXTS = 6000  # about so many
EMBEDDED = "embedded"


async def embedded_texts(config: Config, seed: int) -> list[tuple[str, str]]:
    """Pairs of query and response. Raises `InputError` if the pack has no embedded writers or queries."""
    plan = casting.plan_cast(config, EMBEDDED, EMBEDDED, seed=seed)
    cast = casting.cast_of(plan, None)
    known = [(str(row["query"]), str(row["response"])) for row in _rows(plan, "corpus.jsonl", "query", "response")]
    asked = [str(row["query"]) for row in _rows(plan, "queries.txt", "query")]
    queries = [Query(text) for text in dict.fromkeys([*asked, *(query for query, _ in known)])]
    written = []
    for index in range(-(-TEXTS // (len(queries) * len(cast.generators)))):
        for query in queries:
            for generator in cast.generators:
                written.append((query.text, (await generator.generate(query, (), index)).text))
    return [*known, *written]


def _rows(plan: casting.CastPlan, name: str, *needs: str) -> list[dict[str, object]]:
    return read_rows(plan.pack.file(name), needs, text_column="query" if name.endswith(".txt") else None)
