"""Rows for trainers: texts pass unchanged, provenance is whole, flat and in nobody's way, files keep all of it."""

from dataclasses import asdict, fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling.records import Candidate, Judgement, PreferencePair, Query, Verdict
from kindling.rl.formats import preference_row, sft_row
from kindling.tables import read_rows, write_jsonl, write_parquet

# columns to which a TRL trainer or collator gives a meaning of its own, besides those that hold our messages
READ_BY_TRAINERS = {
    "attention_mask", "assistant_masks", "chat_template_kwargs", "chosen_ids", "completion", "completion_mask",
    "image", "images", "input_ids", "label", "labels", "margin", "position_ids", "prompt_ids", "ref_chosen_logps",
    "ref_rejected_logps", "rejected_ids", "seq_lengths", "text", "tools",
}  # fmt: skip
PAIR = PreferencePair("写一句", "甲", "乙", "0123456789abcdef", 3, 0, 0.75, 0.25, "strong", "weak", "llm", "beef")
TEXTS = ("  行首\n\n行尾 ", '"引号" \\ {括号}', "<|im_end|>", "\u200b零宽\u3000", "👩\u200d👧 \U00020bb7", "\r\n\t", "")


def judgement(text="甲", score=0.75):
    return Judgement(Candidate(text, "strong", 2), Verdict.of(score, "理由", "llm", "beef"))


@settings(max_examples=50)
@given(*[st.text(max_size=30)] * 3)
def test_texts_pass_unchanged(query, chosen, rejected):
    row = preference_row(PreferencePair(query, chosen, rejected, "id", 0, 1, 1.0, 0.0, "a", "b", "j"))
    assert row["prompt"] == [{"role": "user", "content": query}]
    assert row["chosen"] == [{"role": "assistant", "content": chosen}]
    assert row["rejected"] == [{"role": "assistant", "content": rejected}]
    assert sft_row(Query(query), judgement(chosen))["messages"] == row["prompt"] + row["chosen"]


def test_a_pair_can_be_made_again_from_its_row():
    row = preference_row(PAIR)
    texts = {
        "query": row.pop("prompt")[0]["content"],
        "chosen": row.pop("chosen")[0]["content"],
        "rejected": row.pop("rejected")[0]["content"],
    }
    assert PreferencePair(**texts, **row) == PAIR
    assert set(texts) | set(row) == {field.name for field in fields(PreferencePair)}


def test_an_sft_row_says_whose_text_it_is_and_who_judged_it():
    row = sft_row(Query("写一句", row=7), judgement(score=0.75))
    del row["messages"]
    assert row == {
        "query_id": Query("写一句").id,
        "source": "strong",
        "score": 0.75,
        "judge": "llm",
        "template": "beef",
    }


@pytest.mark.parametrize("row", [preference_row(PAIR), sft_row(Query("写"), judgement())], ids=["pair", "sft"])
def test_provenance_is_flat_and_no_trainer_reads_it(row):
    provenance = {name: value for name, value in row.items() if not isinstance(value, list)}
    assert set(row) - set(provenance) in ({"prompt", "chosen", "rejected"}, {"messages"})
    assert {type(value) for value in provenance.values()} <= {str, int, float}
    assert not READ_BY_TRAINERS & set(row)


def test_rows_come_out_of_files_as_they_went_in(tmp_path):
    pairs = [preference_row(PreferencePair(**{**asdict(PAIR), "chosen": text})) for text in TEXTS]
    best = [sft_row(Query("写一句"), judgement(text)) for text in TEXTS]
    for name, rows in (("pairs", pairs), ("sft", best)):
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
        write_parquet(tmp_path / f"{name}.parquet", rows)
        assert read_rows(tmp_path / f"{name}.jsonl", ()) == rows
        assert read_rows(tmp_path / f"{name}.parquet", ()) == rows
