"""TRL reads what `kindling curate` writes: its own checks, its own preparation, and trainers that take real steps.

The trainers run on a random model made from a configuration, on the CPU. What they learn is not looked at; that they
see every row, exactly our texts, and nothing of our provenance columns, is.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUERIES = ROOT / "prompts/greetings/queries.txt"
ON_CPU = {"use_cpu": True, "bf16": False, "max_steps": 2, "logging_steps": 1, "per_device_train_batch_size": 4}
QUIET = {"report_to": "none", "save_strategy": "no", "disable_tqdm": True, "gradient_checkpointing": False}

# the libraries' own deprecations are not ours to mend
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("offline")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run folder of 40 shipped queries, curated by the embedded cast."""
    out = tmp_path_factory.mktemp("curated") / "run"
    command = [sys.executable, "-m", "kindling", "curate", str(QUERIES), "--limit", "40", "--out", str(out), "--json"]
    # from elsewhere, so that no kindling.toml of the checkout is read
    subprocess.run(command, check=True, timeout=120, capture_output=True, cwd=out.parent)
    return out


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def data(run, tmp_path_factory):
    """Both datasets, as the card's front matter has `load_dataset` find them."""
    from datasets import load_dataset

    cache = str(tmp_path_factory.mktemp("cache"))
    return {name: load_dataset(str(run), name, split="train", cache_dir=cache) for name in ("pairs", "sft")}


def test_the_card_and_the_jsonl_files_give_the_same_rows(run, data):
    from kindling.tables import read_rows

    for name, dataset in data.items():
        assert len(dataset) >= 10
        assert dataset.to_list() == read_rows(run / f"{name}.jsonl", ())


def test_every_row_is_conversational_and_keeps_its_explicit_prompt(data):
    from trl import is_conversational
    from trl.data_utils import maybe_extract_prompt

    for row in [*data["pairs"], *data["sft"]]:
        assert is_conversational(row)
    for row in data["pairs"]:
        assert maybe_extract_prompt(row) == row
        for side in ("prompt", "chosen", "rejected"):
            assert is_conversational({side: row[side]})


def test_the_explicit_prompt_is_what_trl_would_extract(data):
    from trl import extract_prompt

    for row in data["pairs"]:
        whole = {side: row["prompt"] + row[side] for side in ("chosen", "rejected")}
        assert extract_prompt(whole) == {side: row[side] for side in ("prompt", "chosen", "rejected")}


def test_the_chat_template_ends_each_text_with_the_end_of_turn_and_leaves_it_whole(data, tokenizer):
    from trl import apply_chat_template

    for row in data["pairs"]:
        texts = apply_chat_template({side: row[side] for side in ("prompt", "chosen", "rejected")}, tokenizer)
        assert texts["prompt"] == f"<|im_start|>user\n{row['prompt'][0]['content']}<|im_end|>\n<|im_start|>assistant\n"
        for side in ("chosen", "rejected"):
            assert texts[side] == f"{row[side][0]['content']}<|im_end|>\n"
    for row in data["sft"]:
        asked, answered = (message["content"] for message in row["messages"])
        text = apply_chat_template({"messages": row["messages"]}, tokenizer)["text"]
        assert text == f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n{answered}<|im_end|>\n"


def test_pairs_unpair_into_good_and_bad_texts(data):
    from trl import unpair_preference_dataset

    rows = unpair_preference_dataset(data["pairs"].select_columns(["prompt", "chosen", "rejected"]))
    assert len(rows) == 2 * len(data["pairs"])
    assert sum(rows["label"]) == len(data["pairs"])


def trainer(kind, tiny_model, dataset, out):
    """A trainer of TRL on `dataset`, with nothing set but what a small CPU needs."""
    import trl

    config = getattr(trl, f"{kind}Config")(output_dir=str(out), **ON_CPU, **QUIET)
    return getattr(trl, f"{kind}Trainer")(model=str(tiny_model), args=config, train_dataset=dataset)


@pytest.mark.parametrize(
    ("kind", "name", "columns"),
    [
        ("Reward", "pairs", ["prompt", "chosen", "rejected"]),
        ("DPO", "pairs", ["prompt", "chosen", "rejected"]),
        ("SFT", "sft", ["messages"]),
    ],
)
def test_a_trainer_takes_every_row_and_learns_the_same_with_and_without_provenance(
    kind, name, columns, data, tiny_model, tokenizer, tmp_path
):
    losses = []
    for dataset in (data[name], data[name].select_columns(columns)):
        training = trainer(kind, tiny_model, dataset, tmp_path)
        assert len(training.train_dataset) == len(data[name]), "rows were filtered away"
        first = training.train_dataset[0]
        seen = tokenizer.decode(first["input_ids"] if kind == "SFT" else first["chosen_ids"])
        said = data[name][0]["messages" if kind == "SFT" else "chosen"][-1]["content"]
        assert seen.rstrip().endswith(f"{said}<|im_end|>")
        training.train()
        assert training.state.global_step == 2
        losses.append([step["loss"] for step in training.state.log_history if "loss" in step])
    assert len(losses[0]) == 2
    assert all(loss > 0 for loss in losses[0])
    assert losses[0] == losses[1]
