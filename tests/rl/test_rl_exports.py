"""Exports as the other systems read them: their columns, their loaders, their calls, commands that fit the files."""

import ast
import asyncio
import importlib.util
import re
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from datasets import load_dataset

from kindling.errors import InputError, RunFolderError
from kindling.records import Candidate, Judgement, PreferencePair, Query, Verdict
from kindling.rl.exports import llamafactory, openrlhf, parts, verl
from kindling.rl.exports.folder import Wishes, batch, write
from kindling.rl.formats import preference_row, sft_row
from kindling.tables import read_rows, write_jsonl
from tests.rl.serving import ScriptedJudge, served_in_thread

MAKE = {"verl": verl.make, "openrlhf": openrlhf.make, "llamafactory": llamafactory.make}
TOKEN = "a-token-that-nobody-guesses"
QUERIES = [f"给第{number}位同事写一句话" for number in range(12)]
CHATML = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder as a curation leaves it: twelve queries, one dropped, pairs for six, a good text for nine."""
    folder = tmp_path_factory.mktemp("run")
    pairs = [PreferencePair(query, "好好", "坏", "id", 0, 1, 0.9, 0.1, "a", "b", "llm") for query in QUERIES[:6]]
    best = Judgement(Candidate("好好", "a"), Verdict.of(0.9, "理由", "llm"))
    write_jsonl(folder / "pairs.jsonl", map(preference_row, pairs))
    write_jsonl(folder / "sft.jsonl", (sft_row(Query(query), best) for query in QUERIES[:9]))
    statuses = ["dropped", *["accepted"] * 11]
    records = ({"query": {"text": query}, "status": one} for query, one in zip(QUERIES, statuses, strict=True))
    write_jsonl(folder / "records.jsonl", records)
    return folder


@pytest.fixture
def exported(run, tmp_path):
    """A function that exports the run (or another source) and gives the folder."""

    def export(system, source=run, url="http://127.0.0.1:8000"):
        out, wishes = tmp_path / system, Wishes("org/model", url, 0.2, 0)
        found = parts.read(source)
        write(out, MAKE[system](found, wishes), found, wishes)
        return out

    return export


@pytest.fixture
def loaded(tmp_path):
    """Load a file as all three systems do: the datasets library, by the kind of file."""

    def load(file):
        kind = {".jsonl": "json", ".json": "json", ".parquet": "parquet"}[file.suffix]
        return load_dataset(kind, data_files=str(file), split="train", cache_dir=str(tmp_path / "cache")).to_list()

    return load


def reward_function(file):
    """`compute_score` out of the written file, imported by its path as verl imports it."""
    spec = importlib.util.spec_from_file_location("custom_module", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.PAUSE_S = 0.01
    return module.compute_score


# verl


def test_verl_finds_the_columns_that_its_rl_dataset_reads(exported, loaded):
    out = exported("verl")
    splits = {split: loaded(out / f"{split}.parquet") for split in ("train", "val")}
    for split, rows in splits.items():
        for index, row in enumerate(rows):
            assert set(row) == {"data_source", "prompt", "ability", "reward_model", "extra_info"}
            assert row["prompt"] == [{"role": "user", "content": row["extra_info"]["query"]}]
            assert isinstance(row["reward_model"]["ground_truth"], str)
            assert (row["extra_info"]["split"], row["extra_info"]["index"]) == (split, index)
            assert row["data_source"]
    asked = {split: {row["extra_info"]["query"] for row in rows} for split, rows in splits.items()}
    assert asked["train"] | asked["val"] == set(QUERIES[1:])
    assert not asked["train"] & asked["val"]
    assert asked["val"]
    assert [row["messages"][-1] for row in loaded(out / "sft.parquet")] == [
        {"role": "assistant", "content": "好好"}
    ] * 9


def verl_scores(function, url, rows, texts):
    """Call as verl's naive reward manager does: by keywords, each text in a thread, with what it adds to extra_info."""

    def call(row, text):
        extra = {**row["extra_info"], "num_turns": None, "rollout_reward_scores": {}}
        truth = row["reward_model"]["ground_truth"]
        return function(
            data_source=row["data_source"], solution_str=text, ground_truth=truth, extra_info=extra, judge_url=url
        )

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(partial(call, row, text)) for row, text in zip(rows, texts, strict=True)]
        return [one.exception() or one.result() for one in asked]


def test_verl_gets_the_judges_scores_from_the_written_function(exported, loaded):
    out = exported("verl")
    rows = loaded(out / "train.parquet")[:4]
    judge = ScriptedJudge()
    with served_in_thread(judge) as url:
        texts = ["好好", "好不", "不", ""]
        scores = verl_scores(reward_function(out / "reward.py"), url, rows, texts)
    assert scores == [{"score": s, "acc": float(s > 0.5)} for s in (1.0, 0.5, 0.0, 0.0)]
    assert set(judge.asked) == {(row["extra_info"]["query"], text) for row, text in zip(rows, texts, strict=True)}


def test_verl_gets_no_number_for_what_could_not_be_judged(exported, loaded):
    """Not 0, not None, not NaN: an error, after the judge was asked anew five times. A failure that passes heals."""
    out = exported("verl")
    rows = loaded(out / "train.parquet")[:2]
    judge = ScriptedJudge()
    judge.failing.update({"坏": 99, "好": 2})
    with served_in_thread(judge) as url:
        failed, healed = verl_scores(reward_function(out / "reward.py"), url, rows, ["坏", "好"])
    assert isinstance(failed, RuntimeError)
    assert "unscored: the model refused" in str(failed)
    assert judge.asked[rows[0]["extra_info"]["query"], "坏"] == 5
    assert healed == {"score": 1.0, "acc": 1.0}


def test_a_server_that_is_gone_raises_and_a_bad_request_is_not_repeated(exported, monkeypatch):
    function = reward_function(exported("verl") / "reward.py")
    judge = ScriptedJudge()
    with served_in_thread(judge, token=TOKEN) as url:
        with pytest.raises(RuntimeError, match=r"HTTP 401.*no valid token"):
            function("kindling", "好", "", {"query": "写"}, judge_url=url)
        monkeypatch.setenv("KINDLING_TOKEN", TOKEN)
        assert function("kindling", "好", "", {"query": "写"}, judge_url=f"{url}/")["score"] == 1.0
    with pytest.raises(RuntimeError, match=r"not judged: URLError"):
        function("kindling", "好", "", {"query": "写"}, judge_url=url)
    with pytest.raises(ValueError, match="kindling export"):
        function("other", "好", "4", {"split": "train"}, judge_url=url)
    with pytest.raises(ValueError, match="kindling export"):
        function("other", "好", "4")


def test_the_written_function_needs_nothing_but_python(exported):
    source = (exported("verl") / "reward.py").read_text(encoding="utf-8")
    imported = {
        name.name.partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for name in node.names
    } | {node.module.partition(".")[0] for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names
    assert "token" not in re.findall(r'"([^"]*)"', source)


# OpenRLHF


def test_openrlhf_finds_the_keys_that_its_commands_name(exported, loaded):
    out = exported("openrlhf")
    prompts = loaded(out / "prompts.jsonl")
    assert {row["label"] for row in prompts} == set(QUERIES[1:])
    assert all(row["input"] == [{"role": "user", "content": row["label"]}] for row in prompts)
    # its SFT reads the last message as the response, its preference trainers add each side to the prompt
    for row in loaded(out / "sft.jsonl"):
        assert [turn["role"] for turn in row["input"]] == ["user", "assistant"]
    pairs = loaded(out / "preference.jsonl")
    assert len(pairs) == 6
    for row in pairs:
        assert [turn["role"] for turn in row["prompt"] + row["chosen"]] == ["user", "assistant"]
        assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("好好", "坏")
        assert "margin" not in row, "OpenRLHF would read it as the margin of the loss"


def test_what_openrlhf_makes_of_the_file_comes_back_as_the_query(exported, loaded):
    """From the exported row through the chat template and its request to the judge: query and text as they were."""
    import aiohttp

    rows = loaded(exported("openrlhf") / "prompts.jsonl")
    judge = ScriptedJudge()

    async def rollout(url, row):
        prompt = CHATML.format(row["input"][-1]["content"])
        payload = {"query": [f"{prompt}好<|im_end|>"], "prompts": [prompt], "labels": [row["label"]]}
        async with aiohttp.ClientSession() as session, session.post(f"{url}/reward", json=payload) as answer:
            return await answer.json()

    async def all_rollouts(url):
        return await asyncio.gather(*(rollout(url, row) for row in rows))

    with served_in_thread(judge) as url:
        answers = asyncio.run(all_rollouts(url))
    assert [one["rewards"] for one in answers] == [[1.0]] * len(rows)
    assert set(judge.asked) == {(query, "好") for query in QUERIES[1:]}


# LLaMA-Factory


def test_llamafactory_finds_its_datasets_through_dataset_info(exported, loaded):
    out = exported("llamafactory")
    info = read_json(out / "dataset_info.json")
    assert set(info) == {"kindling_sft", "kindling_pairs"}
    for entry in info.values():
        rows, tags, columns = loaded(out / entry["file_name"]), entry["tags"], entry["columns"]
        ranking = entry.get("ranking", False)
        for row in rows:
            turns = row[columns["messages"]]
            roles = [turn[tags["role_tag"]] for turn in turns]
            assert all(isinstance(turn[tags["content_tag"]], str) for turn in turns)
            # it takes turns by their place: the user's, the model's, ...; an odd number if the answers stand beside
            assert roles == [
                tags["user_tag"] if place % 2 == 0 else tags["assistant_tag"] for place in range(len(turns))
            ]
            assert len(turns) % 2 == ranking
            if ranking:
                assert [row[columns[side]][tags["role_tag"]] for side in ("chosen", "rejected")] == [
                    tags["assistant_tag"]
                ] * 2
                assert row[columns["chosen"]][tags["content_tag"]] == "好好"
    assert len(loaded(out / "pairs.json")) == 6


def read_json(file):
    import orjson

    return orjson.loads(file.read_bytes())


# all of them


@pytest.mark.parametrize("system", MAKE)
def test_the_commands_name_files_that_are_there_and_batches_that_can_be_filled(exported, system):
    out = exported(system, url="http://judge.example:9000")
    text = (out / "README.md").read_text(encoding="utf-8")
    commands = [
        shlex.split(block.replace("\\\n", " "), comments=True) for block in re.findall(r"(?:^    .+\n)+", text, re.M)
    ]
    assert all(
        command[0] in {"python3", "torchrun", "deepspeed", "llamafactory-cli", "kindling"} for command in commands
    )
    named = re.findall(r"\$PWD/([\w.]+)", text)
    assert set(named) <= {file.name for file in out.iterdir()}
    assert all("org/model" in " ".join(command) for command in commands if command[0] != "kindling")
    if system != "llamafactory":
        (serve,) = (command for command in commands if command[0] == "kindling")
        assert serve[-2:] == ["--port", "9000"]
        assert any("http://judge.example:9000" in word for command in commands for word in command)
    for size in re.findall(r"(?:train_batch_size=|rollout\.batch_size )(\d+)", text):
        assert 1 <= int(size) <= 9


def test_batches_are_powers_of_two_within_the_data():
    assert [batch(rows, 64) for rows in (1, 2, 3, 63, 64, 1000)] == [1, 2, 2, 32, 64, 64]


@pytest.mark.parametrize("system", ["verl", "openrlhf"])
def test_a_file_of_queries_is_enough_for_reinforcement(exported, loaded, tmp_path, system):
    source = tmp_path / "queries.txt"
    source.write_text("写一句\n\n写一句。\n给老师写一句\n", encoding="utf-8")
    out = exported(system, source)
    files = {"verl": ("train.parquet", "val.parquet"), "openrlhf": ("prompts.jsonl",)}[system]
    rows = [row for name in files for row in loaded(out / name)]
    assert {row["prompt" if system == "verl" else "input"][0]["content"] for row in rows} == {"写一句", "给老师写一句"}
    assert not [file for file in out.iterdir() if file.name.startswith(("sft", "pref"))]
    assert "left out: 1 (empty text)" in (out / "README.md").read_text(encoding="utf-8")


def test_a_judged_file_gives_its_queries_and_none_of_its_texts(exported, tmp_path):
    """`kindling judge` leaves query, response and verdict: half of the responses are bad ones."""
    rows = [{"query": query, "response": "坏透了", "verdict": "bad", "score": 0.0, "reason": ""} for query in QUERIES]
    write_jsonl(tmp_path / "judged.jsonl", rows)
    out = exported("openrlhf", tmp_path / "judged.jsonl")
    assert sorted(file.name for file in out.iterdir()) == ["README.md", "prompts.jsonl"]
    assert "坏透了" not in (out / "prompts.jsonl").read_text(encoding="utf-8")


def test_conversations_keep_their_turns(exported, loaded, tmp_path):
    turns = [
        {"role": role, "content": text} for role, text in (("system", "守则"), ("user", "写"), ("assistant", "好"))
    ]
    write_jsonl(tmp_path / "sft.jsonl", [{"messages": turns}])
    assert loaded(exported("llamafactory", tmp_path / "sft.jsonl") / "sft.json") == [{"messages": turns}]
    assert loaded(exported("openrlhf", tmp_path / "sft.jsonl") / "prompts.jsonl") == [
        {"input": turns[:2], "label": "写"}
    ]


@pytest.mark.parametrize(
    ("system", "rows", "words"),
    [
        ("verl", [{"query": "写一句"}, {"query": "写一句!"}], "one query only"),
        ("llamafactory", [{"query": "写一句"}], "only queries"),
        ("openrlhf", [{"query": ""}], "none of its 1 rows"),
        ("openrlhf", [{"text": "写一句"}], "no column 'query'"),
    ],
)
def test_data_that_cannot_be_exported_leave_no_folder(exported, tmp_path, system, rows, words):
    write_jsonl(tmp_path / "in.jsonl", rows)
    with pytest.raises(InputError, match=re.escape(words)):
        exported(system, tmp_path / "in.jsonl")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.jsonl"]


def test_an_export_is_whole_or_not_there(run, tmp_path):
    found, wishes = parts.read(run), Wishes("org/model", "http://127.0.0.1:8000", 0.2, 0)
    made = openrlhf.make(found, wishes)

    def full_disk(path):
        raise OSError(28, "No space left on device")

    broken = type(made)(made.system, {**made.files, "last.jsonl": full_disk}, made.rows, made.steps, made.notes)
    with pytest.raises(RunFolderError, match="No space left"):
        write(tmp_path / "out", broken, found, wishes)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", made, found, wishes)
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    with pytest.raises(RunFolderError, match="already used"):
        write(tmp_path / "out", made, found, wishes)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    assert [row["label"] for row in read_rows(tmp_path / "out/prompts.jsonl", ("label",))] == QUERIES[1:]
