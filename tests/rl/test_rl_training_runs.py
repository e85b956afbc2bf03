"""SFT and reward model over TRL: they learn, survive a kill with the same weights, and leave whole, honest folders."""

import json
import shutil

import orjson
import pytest

from tests.rl.training import (
    fork_with_trainers,
    kill_after,
    kindling,
    metrics,
    pair_file,
    sft_file,
    weights,
)

# the libraries' own deprecations are not ours to mend
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("default")]
SFT = ("--set", "train.batch=4", "--set", "train.epochs=4", "--set", "train.learning_rate=3e-3", "--full")
RM = ("--lora", "--set", "train.batch=8", "--set", "train.epochs=6", "--set", "train.learning_rate=3e-3")


@pytest.fixture(scope="module", autouse=True)
def _forks():
    fork_with_trainers()


def test_sft_learns_says_so_in_json_and_leaves_a_whole_folder(tiny_model, tmp_path):
    file = sft_file(tmp_path)
    done = kindling(tmp_path, "train", "sft", "--data", file, "--model", tiny_model, "--out", "run", *SFT, "--json")
    assert done.status == 0, done.err
    report = json.loads(done.out)
    losses = metrics(tmp_path / "run")
    assert len(losses) == report["steps"] == report["planned"] == 24
    assert losses[-1] < losses[0] / 2
    model = tmp_path / "run" / "model"
    assert {path.suffix for path in model.iterdir()} == {".safetensors", ".json", ".jinja", ".md"}
    record = orjson.loads((tmp_path / "run" / "run.json").read_bytes())
    assert record["status"] == "finished"
    assert record["train"]["learning_rate"] == 3e-3
    assert record["ties"] == [{"judge": "embedded", "how": "chose its texts"}]
    card = (model / "README.md").read_text()
    assert record["data"]["sha256"] in card
    assert "- `embedded`: chose its texts" in card
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert AutoModelForCausalLM.from_pretrained(model).num_parameters() > 100_000
    assert AutoTokenizer.from_pretrained(model).chat_template


def test_a_killed_run_resumes_to_the_same_weights(tiny_model, tmp_path):
    file = sft_file(tmp_path)
    command = ("train", "sft", "--data", file, "--model", tiny_model, *SFT, "--set", "train.save_every=6")
    assert kindling(tmp_path, *command, "--out", "whole").status == 0
    kill_after(tmp_path, 6, "cut", *command, "--out", "cut")
    (tmp_path / "cut/trainer/checkpoint-99").mkdir()  # what a kill in the midst of saving leaves
    refused = kindling(tmp_path, *command, "--out", "cut", "--resume", "--set", "train.learning_rate=1e-3")
    assert refused.status == 2
    assert "train.learning_rate" in refused.err
    shutil.copytree(tmp_path / "cut", tmp_path / "tight")
    done = kindling(tmp_path, *command, "--out", "cut", "--resume")
    assert done.status == 0, done.err
    assert weights(tmp_path / "cut/model") == weights(tmp_path / "whole/model")
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")
    assert not (tmp_path / "cut/trainer/checkpoint-99").exists()
    less_memory = ("--set", "train.micro_batch=2", "--set", "train.gradient_checkpointing=true")
    done = kindling(tmp_path, *command, *less_memory, "--out", "tight", "--resume")
    assert done.status == 0, done.err
    assert metrics(tmp_path / "tight") == pytest.approx(metrics(tmp_path / "whole"), rel=1e-3)


@pytest.mark.parametrize("stage", ["sft", "rm"])
def test_a_run_that_is_killed_after_its_last_step_takes_no_further_one(stage, tiny_model, tmp_path):
    files, more = {"sft": (sft_file, SFT), "rm": (pair_file, RM)}[stage]
    command = ("train", stage, "--data", files(tmp_path), "--model", tiny_model, *more, "--out", "run", "--json")
    whole = kindling(tmp_path, *command, "--set", "train.max_steps=3")  # in the midst of an epoch
    assert whole.status == 0, whole.err
    model = tmp_path / "run/model"
    before, losses = weights(model), metrics(tmp_path / "run")
    shutil.rmtree(model)
    again = kindling(tmp_path, *command, "--set", "train.max_steps=3", "--resume")
    assert again.status == 0, again.err
    assert weights(model) == before
    assert metrics(tmp_path / "run") == losses
    told = [json.loads(done.out) for done in (whole, again)]
    assert told[0]["steps"] == told[1]["steps"] == 3
    assert told[0]["measured"] == told[1]["measured"]


def test_an_adapter_and_the_model_it_is_merged_into_say_the_same(tiny_model, tmp_path):
    from kindling.rl.training.scoring import Scorer

    file = pair_file(tmp_path)
    command = ("train", "rm", "--data", file, "--model", tiny_model, *RM, "--set", "train.held_out=0.25")
    done = kindling(tmp_path, *command, "--out", "adapter", "--json")
    assert done.status == 0, done.err
    measured = json.loads(done.out)["measured"]
    assert measured["pairs"] == measured["matched_pairs"] > 0
    assert measured["accuracy"] > 0.9, "one character tells good from bad, and it was not learned"
    assert measured["longer"] == 0.5
    merged = kindling(tmp_path, *command, "--out", "merged", "--merge")
    assert merged.status == 0, merged.err
    assert (tmp_path / "adapter/model/adapter_config.json").is_file()
    assert not (tmp_path / "merged/model/adapter_config.json").exists()
    asked = [[{"role": "user", "content": f"写{n}"}] for n in range(3)]
    said = ["愿你开心", "随便", "愿"]
    one, other = (Scorer(tmp_path / name / "model").score(asked, said) for name in ("adapter", "merged"))
    assert one == pytest.approx(other, abs=1e-3)
    assert len(set(one)) == 3


@pytest.mark.parametrize(
    ("stage", "more", "says"),
    [
        ("rm", ("--set", "train.max_tokens=8"), "rows are longer than train.max_tokens = 8"),
        ("sft", ("--set", "train.precision=bf16"), "train.precision = bf16 needs a GPU"),
        ("sft", ("--log", "wandb"), "wandb: not installed"),
        ("rm", ("--model", "nobody/nothing"), "nobody/nothing"),
        (
            "sft",
            ("--model", "odd"),
            "odd: cannot be loaded: The checkpoint you are trying to load has model type `odd`",
        ),
        ("sft", ("--model", "mute"), "mute: no tokenizer"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_no_folder(stage, more, says, tiny_model, tmp_path):
    file = (pair_file if stage == "rm" else sft_file)(tmp_path)
    for name in ("odd", "mute"):
        shutil.copytree(tiny_model, tmp_path / name)
    config = tmp_path / "odd/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "odd"}))
    (tmp_path / "mute/tokenizer_config.json").unlink()
    done = kindling(tmp_path, "train", stage, "--data", file, "--model", tiny_model, "--out", "run", *more)
    assert done.status == 2, done.err
    assert len(done.err.strip().splitlines()) == 1
    assert says in done.err
    assert not (tmp_path / "run").exists()
