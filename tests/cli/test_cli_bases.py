"""What the embedded base learns from: both kinds of writers, and nothing of what it may be measured on."""

import asyncio

from kindling.cli.bases import TEXTS, embedded_texts
from kindling.config import load_config
from kindling.prompts.taskpack import load_pack
from kindling.records import request_key
from kindling.tables import read_rows


def keys(queries):
    return {request_key(query) for query in queries}


def test_the_texts_are_the_corpus_and_as_many_again_as_there_is_room_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pairs = asyncio.run(embedded_texts(load_config(None, ()), 0))
    assert len(pairs) == TEXTS
    assert pairs == asyncio.run(embedded_texts(load_config(None, ()), 0))
    pack = load_pack("greetings")
    corpus = [(row["query"], row["response"]) for row in read_rows(pack.file("corpus.jsonl"), ())]
    assert pairs[: len(corpus)] == corpus
    drawn = [query for query, _ in pairs[len(corpus) :]]
    assert len(keys(drawn)) == len(drawn)
    shipped = [row["query"] for row in read_rows(pack.file("queries.txt"), (), "query")]
    assert not keys(drawn) & keys(shipped)
