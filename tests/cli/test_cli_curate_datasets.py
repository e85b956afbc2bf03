"""What `kindling curate` leaves is a dataset: the datasets library reads it, offline, by file and by the card."""

import orjson
import pytest

from tests.cli.running import project, queries, rows_of, serve

PAIRS = {
    "prompt", "chosen", "rejected", "query_id", "chosen_index", "rejected_index", "chosen_score", "rejected_score",
    "chosen_source", "rejected_source", "judge", "template",
}  # fmt: skip
SFT = {"messages", "query_id", "source", "score", "judge", "template"}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """`datasets.load_dataset`, offline and with its cache here."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    def call(*arguments, **options):
        return datasets.load_dataset(*arguments, split="train", cache_dir=str(tmp_path / "cache"), **options)

    return call


# the library's own deprecations are not ours to mend
@pytest.mark.filterwarnings("default")
def test_the_datasets_library_reads_the_files_and_the_card(kindling, tmp_path, load):
    with serve() as server:
        project(tmp_path, server)
        command = ("curate", queries(tmp_path, 8), "--candidates", 4, "--out", "run", "--pairing", "all")
        assert kindling(*command).status == 0
    run = tmp_path / "run"
    for name, columns in (("pairs", PAIRS), ("sft", SFT)):
        by_file = load("json", data_files=str(run / f"{name}.jsonl"))
        by_card = load(str(run), name)
        assert set(by_file.column_names) == set(by_card.column_names) == columns
        assert list(by_file) == list(by_card) == rows_of(run / f"{name}.jsonl")
    pair = by_card_row(load(str(run), "pairs"))
    assert [turn["role"] for turn in pair["prompt"] + pair["chosen"] + pair["rejected"]] == [
        "user", "assistant", "assistant",
    ]  # fmt: skip
    assert pair["chosen_score"] > pair["rejected_score"]


def by_card_row(data):
    assert len(data) > 0
    return data[0]


def test_the_card_says_what_became_of_the_rows_and_who_made_them(kindling, tmp_path):
    with serve() as server:
        project(tmp_path, server)
        assert kindling("curate", queries(tmp_path, 6), "--candidates", 2, "--out", "run").status == 0
    card = (tmp_path / "run/README.md").read_text(encoding="utf-8")
    record = orjson.loads((tmp_path / "run/run.json").read_bytes())
    assert card.startswith("---\nlanguage: zh\n")
    for one in record["reasons"]:
        assert f"- {one['status']}, {one['reason']}: {one['rows']}\n" in card
    for role, player in record["players"].items():
        assert f"- {role}: {player}\n" in card
    for role, template in record["templates"].items():
        assert f"- template {role}: {template}\n" in card
    assert f"| pairs.jsonl, pairs.parquet | {record['pairs']} |" in card
    assert record["settings"]["queries"]["sha256"] in card


def test_without_a_pair_the_card_promises_none(kindling, tmp_path):
    with serve(good=1.0) as server:
        project(tmp_path, server)
        assert kindling("curate", queries(tmp_path, 3), "--candidates", 2, "--out", "run").status == 0
    assert (tmp_path / "run/pairs.jsonl").read_bytes() == b""
    assert not (tmp_path / "run/pairs.parquet").exists()
    card = (tmp_path / "run/README.md").read_text(encoding="utf-8")
    assert "config_name: pairs" not in card
    assert "config_name: sft" in card
    assert "There are no pairs." in card
