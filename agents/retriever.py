"""The retriever: good examples near a query, for whoever writes or criticises.

    LexicalRetriever   TF-IDF over character 1- to 3-grams of the queries, cosine; needs no model, ~0.05 ms a query
    DenseRetriever     sentence embeddings in a faiss inner-product index, cosine (the `dense` extra)

Both find rows by similarity alone and share one ranking: rows below the minimum similarity and the query's own answer
drop out, popularity multiplies what is left by at most 1 + `popularity_weight` (logarithmic, relative to the most
popular row), ties go to the earlier row. So a row can pass another only if it is nearly as similar, however popular.

The weights are the usual ones (sublinear term frequency, smoothed inverse document frequency, unit length) and equal to
scikit-learn's `TfidfVectorizer`, which a test compares; importing it would cost each run 135 MB and most of a second.

Left out: similarity to the responses (a query asks for a kind of text, and the corpus says which query each text
answered), and approximate indices (a corpus of shown examples is small).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import log, log1p, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kindling.config import Config
from kindling.errors import ConfigError, InputError
from kindling.records import Example, Query, request_key
from kindling.tables import read_rows

if TYPE_CHECKING:
    from kindling.prompts.taskpack import TaskPack

Vectors = NDArray[np.float32]
Encode = Callable[[list[str]], Vectors]

NGRAMS = (1, 2, 3)


class Retriever(Protocol):
    """Finds examples. At most k come back, best first, each at or above the minimum similarity; none is not an error.

    An implementation never returns the query's own answer (the same query after normalisation), and popularity may
    re-rank among similar examples but never replaces similarity. It makes no paid call.
    """

    async def retrieve(self, query: Query) -> tuple[Example, ...]:
        """Examples for `query`, best first."""
        ...


class Index(Protocol):
    """What a dense index must do; faiss's `IndexFlatIP` does."""

    def add(self, vectors: Vectors) -> None:
        """Add rows: vectors of shape (n, d)."""
        ...

    def search(self, vectors: Vectors, k: int) -> tuple[Vectors, NDArray[np.int64]]:
        """Return the k largest inner products of q vectors and their rows, both (q, k); row -1 where there is none."""
        ...


def load_examples(path: Path) -> tuple[Example, ...]:
    """Read a corpus: `query`, `response` and optionally `popularity` (a count); other columns are ignored.

    Raises `InputError` with the row if a text is missing or empty, or a popularity is no count.
    """
    examples = []
    for number, row in enumerate(read_rows(path, ("query", "response")), 1):
        for name in ("query", "response"):
            if not isinstance(row[name], str) or not row[name].strip():
                raise InputError(f"{path}: row {number}: {name} must be a text that is not empty, not {row[name]!r}")
        examples.append(Example(row["query"], row["response"], popularity=_count(row.get("popularity"), path, number)))
    return tuple(examples)


def _count(value: Any, path: Path, number: int) -> int:
    """Read a popularity; csv gives it as text, a missing one is none."""
    try:
        count = int(value or 0)
    except (TypeError, ValueError):
        count = -1
    if count < 0 or (isinstance(value, float) and value != count):
        raise InputError(f"{path}: row {number}: popularity must be a whole number from 0, not {value!r}")
    return count


def corpus_file(config: Config, pack: "TaskPack") -> Path:
    """The file of the examples: the configuration's own, or else the task pack's corpus."""
    return config.root / config.retriever.examples if config.retriever.examples else pack.file("corpus.jsonl")


def open_retriever(config: Config, pack: "TaskPack") -> Retriever:
    """The retriever of the configuration. Raises `InputError` for its corpus, `ConfigError` for what it needs."""
    section = config.retriever
    ranking = {name: getattr(section, name) for name in ("k", "min_similarity", "popularity_weight")}
    examples = load_examples(corpus_file(config, pack))
    if section.kind == "dense":
        return dense_retriever(examples, section.model, **ranking)
    return LexicalRetriever(examples, **ranking)


class _Ranking:
    """The corpus, and the rules by which found rows become examples."""

    def __init__(self, examples: Iterable[Example], k: int, min_similarity: float, popularity_weight: float) -> None:
        self.examples = tuple(examples)
        self.keys = [request_key(example.query) for example in self.examples]
        self.k = k
        self._min_similarity = min_similarity
        top = max((example.popularity for example in self.examples), default=0)
        scale = popularity_weight / log1p(top) if top else 0.0
        self._boost = [1 + scale * log1p(example.popularity) for example in self.examples]

    def choose(self, key: str, rows: Iterable[int], similarities: Sequence[float]) -> tuple[Example, ...]:
        """Choose the best k of the found `rows` for the query normalised to `key`; `similarities` are by corpus row."""
        kept = [row for row in rows if similarities[row] >= self._min_similarity and self.keys[row] != key]
        kept.sort(key=lambda row: (-similarities[row] * self._boost[row], row))
        return tuple(
            replace(self.examples[row], similarity=round(min(similarities[row], 1.0), 6)) for row in kept[: self.k]
        )


class LexicalRetriever:
    """Nearest queries by character n-grams. `k` = 0 or an empty corpus gives no examples."""

    def __init__(
        self, examples: Iterable[Example], k: int = 3, min_similarity: float = 0.25, popularity_weight: float = 0.1
    ) -> None:
        self._ranking = _Ranking(examples, k, min_similarity, popularity_weight)
        if not any(self._ranking.keys):
            self._ranking.k = 0  # nothing to be near to, and no vocabulary to build
            return
        counts = [Counter(ngrams(key)) for key in self._ranking.keys]
        frequencies = Counter(term for count in counts for term in count)
        self._idf = {term: log((1 + len(counts)) / (1 + rows)) + 1 for term, rows in frequencies.items()}
        postings: dict[str, list[tuple[int, float]]] = {term: [] for term in frequencies}
        for row, count in enumerate(counts):
            for term, weight in self._unit(count).items():
                postings[term].append((row, weight))
        self._postings = {
            term: (np.array([row for row, _ in found]), np.array([weight for _, weight in found]))
            for term, found in postings.items()
        }

    async def retrieve(self, query: Query) -> tuple[Example, ...]:
        """Examples for `query`, best first."""
        if not self._ranking.k:
            return ()
        key = request_key(query.text)
        similarities = self.similarities(key)
        return self._ranking.choose(key, np.flatnonzero(similarities).tolist(), similarities.tolist())

    def similarities(self, key: str) -> NDArray[np.float64]:
        """Cosine of the normalised query `key` to every row of the corpus, in [0, 1]."""
        found = np.zeros(len(self._ranking.keys))
        for term, weight in self._unit(Counter(ngrams(key))).items():
            rows, weights = self._postings[term]
            found[rows] += weight * weights  # a row stands once in a term's postings
        return found

    def _unit(self, count: Counter[str]) -> dict[str, float]:
        """The TF-IDF weights of the known terms, of length one."""
        weights = {term: (1 + log(times)) * self._idf[term] for term, times in count.items() if term in self._idf}
        length = sqrt(sum(weight * weight for weight in weights.values()))
        return {term: weight / length for term, weight in weights.items()}


def ngrams(text: str) -> list[str]:
    """All character 1- to 3-grams of `text`, repeated ones too."""
    return [text[start : start + size] for size in NGRAMS for start in range(len(text) - size + 1)]


class DenseRetriever:
    """Nearest queries by embedding. `encode` gives a vector a text, shape (n, d); it is called once for the corpus."""

    def __init__(
        self,
        examples: Iterable[Example],
        encode: Encode,
        index: Callable[[int], Index],
        k: int = 3,
        min_similarity: float = 0.25,
        popularity_weight: float = 0.1,
    ) -> None:
        self._ranking = _Ranking(examples, k, min_similarity, popularity_weight)
        self._encode = encode
        if not self._ranking.examples:
            self._ranking.k = 0
            return
        vectors = _unit(encode([example.query for example in self._ranking.examples]))
        self._index = index(vectors.shape[1])
        self._index.add(vectors)
        # popularity can lift a row by its weight only, so a few times k are enough to choose from
        self._reach = min(len(self._ranking.examples), 10 * max(k, 1))

    async def retrieve(self, query: Query) -> tuple[Example, ...]:
        """Examples for `query`, best first."""
        if not self._ranking.k:
            return ()
        products, rows = self._index.search(_unit(self._encode([query.text])), self._reach)
        similarities = [0.0] * len(self._ranking.examples)
        found = [int(row) for row in rows[0] if row >= 0]
        for row, product in zip(found, products[0], strict=False):
            similarities[row] = max(0.0, float(product))
        return self._ranking.choose(request_key(query.text), found, similarities)


def _unit(vectors: Vectors) -> Vectors:
    """Rows of length one (a zero row stays zero), so that the inner product is the cosine."""
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    unit: Vectors = np.divide(array, lengths, out=np.zeros_like(array), where=lengths > 0)
    return unit


def dense_retriever(examples: Iterable[Example], model: str, **ranking: Any) -> DenseRetriever:
    """Build a retriever on the sentence-transformers `model` and faiss; raises `ConfigError` if one is missing."""
    if not model:
        raise ConfigError(
            "retriever.kind = dense needs retriever.model, the name or folder of a sentence embedding model"
        )
    try:
        import faiss
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ConfigError(f"retriever.kind = dense: {error.name} is missing: pip install 'kindling[dense]'") from error
    try:
        encoder = SentenceTransformer(model)
    except (OSError, ValueError) as error:
        raise ConfigError(f"retriever.model {model!r} cannot be loaded: {str(error).splitlines()[0]}") from error

    def encode(texts: list[str]) -> Vectors:
        return np.asarray(encoder.encode(texts, show_progress_bar=False), dtype=np.float32)

    return DenseRetriever(examples, encode, faiss.IndexFlatIP, **ranking)
