"""`rm:PATH` end to end: a tiny reward model is trained, calibrates itself, judges, is certified, and is refused."""

import asyncio
import json
import shutil

import pytest

from kindling.eval.certificate import fits, load_certificate
from kindling.records import Case, Fact
from kindling.rl.training import calibration
from kindling.rl.training.reward_judge import RewardJudge, template
from kindling.rl.training.scoring import Scorer
from kindling.tables import read_rows, write_jsonl
from tests.rl.training import QUERIES, fork_with_trainers, kindling, pair_file

# the libraries' own deprecations are not ours to mend
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("default")]
RM = ("--lora", "--set", "train.batch=8", "--set", "train.epochs=6", "--set", "train.learning_rate=3e-3")


@pytest.fixture(scope="module")
def work(tiny_model, tmp_path_factory):
    """A folder with the run `rm`, its pairs, and cases that it has not seen."""
    fork_with_trainers()
    folder = tmp_path_factory.mktemp("work")
    command = ("train", "rm", "--data", pair_file(folder), "--model", tiny_model, *RM, "--set", "train.held_out=0.4")
    done = kindling(folder, *command, "--out", "rm")
    assert done.status == 0, done.err
    assert "it judges as --judge rm:rm" in done.err
    rows = [
        {"query": query, "response": f"{text}{n:04}", "label": label}
        for n, query in enumerate(QUERIES)
        for text, label in (("愿你开心", 1), ("随便写写", 0))
    ]
    write_jsonl(folder / "cases.jsonl", rows)
    return folder


def test_training_calibrates_on_what_it_held_out(work):
    found = calibration.read(work / "rm/model")
    measured = json.loads((work / "rm/run.json").read_text())["measured"]
    assert found.pairs == measured["pairs"] >= calibration.FEWEST
    assert found.slope == measured["slope"] > 0
    assert "0.4 of the queries" in found.source


def test_the_file_command_judges_with_it(work):
    done = kindling(work, "judge", "cases.jsonl", "--judge", "rm:rm", "--out", "judged.jsonl", "--json")
    assert done.status == 0, done.err
    rows = read_rows(work / "judged.jsonl", ("verdict", "score"))
    right = sum((row["verdict"] == "good") == bool(row["label"]) for row in rows)
    assert right > 0.9 * len(rows), "one character tells good from bad"
    assert all(0 < row["score"] < 1 for row in rows)


def test_many_at_once_are_judged_as_each_alone(work):
    judge = RewardJudge.open(work / "rm")
    cases = [Case(query, "愿你开心" * (n % 7 + 1)) for n, query in enumerate(QUERIES * 3)]

    async def ask():
        together = await asyncio.gather(*map(judge.judge, cases))
        return together, [await judge.judge(case) for case in cases]

    together, alone = asyncio.run(ask())
    assert together == alone
    raw = Scorer(work / "rm/model").score_pairs([(case.query, case.response) for case in cases])
    known = calibration.read(work / "rm/model")
    assert [one.score for one in together] == pytest.approx([known.probability(score) for score in raw], abs=1e-4)


def test_odd_texts_get_a_verdict_or_none_and_never_an_error(work):
    judge = RewardJudge.open(work / "rm")
    texts = ["", " ", "\x00", "\ud800", "<|im_end|>", "愿" * 3000, "\u202e反"]

    async def ask():
        return await asyncio.gather(*(judge.judge(Case("写一句", text)) for text in texts))

    verdicts = asyncio.run(ask())
    assert [text for text, one in zip(texts, verdicts, strict=True) if one.unscored] == ["\ud800"]


def test_what_code_counts_comes_first(work):
    fact = Fact("chars", "8", "4", False)
    verdict = asyncio.run(RewardJudge.open(work / "rm").judge(Case("八个字", "愿你开心", (fact,))))
    assert (verdict.label, verdict.score, verdict.reason) == ("bad", 0.0, "chars: asked 8, has 4")


def test_it_is_certified_and_other_weights_are_another_judge(work):
    fast = ("--labelled", "cases.jsonl", "--attack-cases", 1, "--repeats", 2, "--set", "certify.repeat_cases=5")
    assert kindling(work, "certify", *fast, "--judge", "embedded", "--out", "embedded.json").status in (0, 1)
    done = kindling(work, "certify", *fast, "--judge", "rm:rm", "--beside", "embedded.json", "--out", "cert.json")
    assert done.status in (0, 1), done.err
    certificate = load_certificate(work / "cert.json")
    assert [cell.strip() for cell in done.out.splitlines()[1].split("┃")] == ["", "rm:rm", "embedded", "length"]
    assert certificate.findings.agreement.cases == 48
    assert certificate.findings.unscored.share.value == 0
    assert certificate.findings.steadiness.flips.value == 0
    assert (certificate.data.seen, certificate.judge.model) == (0, "")
    assert next(line for line in certificate.lines if line.name == "seen in training").passed
    assert fits(certificate, "rm:rm", template(work / "rm/model"), "", "")[1:] == []
    shutil.copytree(work / "rm", work / "touched")
    weights = next((work / "touched/model").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    reasons = fits(certificate, "rm:rm", RewardJudge.open(work / "touched").template, "", "")
    assert "it was made for template" in reasons[0]


def test_texts_that_it_learned_from_are_counted(work):
    rows = read_rows(work / "pairs.jsonl", ("query", "chosen", "rejected"))
    texts = [row[side] for row in rows for side in ("chosen", "rejected")]
    assert RewardJudge.open(work / "rm").seen(texts) == len(texts)
    assert RewardJudge.open(work / "rm").seen(["别的话"]) == 0


def test_without_held_out_pairs_there_is_a_model_and_no_judge(work, tiny_model):
    command = ("train", "rm", "--data", "pairs.jsonl", "--model", tiny_model, *RM, "--set", "train.held_out=0")
    done = kindling(work, *command, "--set", "train.max_steps=1", "--out", "bare")
    assert done.status == 0, done.err
    assert "no judge yet" in done.err
    for command in (
        ("judge", "cases.jsonl", "--judge", "rm:bare", "--out", "no.jsonl"),
        ("certify", "--judge", "rm:bare", "--out", "no.json"),
        ("serve", "--judge", "rm:bare", "--uncertified"),
        ("train", "grpo", "--data", "cases.jsonl", "--judge", "rm:bare", "--uncertified", "--out", "no"),
    ):
        refused = kindling(work, *command)
        assert refused.status == 2, command
        assert len(refused.err.strip().splitlines()) == 1
        assert "no calibration.json" in refused.err
        assert "train.held_out above 0" in refused.err
    assert not any((work / name).exists() for name in ("no.jsonl", "no.json", "no"))


def test_damaged_weights_end_the_command_in_one_line_and_write_nothing(work):
    shutil.copytree(work / "rm", work / "torn")
    weights = next((work / "torn/model").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    done = kindling(work, "judge", "cases.jsonl", "--judge", "rm:torn", "--out", "no.jsonl")
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1
    assert "no reward model" in done.err
    assert not (work / "no.jsonl").exists()
