"""`kindling certify` as a user runs it: exit status, certificate on disk, one line for bad input, calls paid once."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import orjson
import pytest

from kindling.agents.lexical.storage import save
from kindling.agents.lexical.training import fit
from kindling.cli import benches, casting, main
from kindling.cli.certification import Origin, exam_of, examine
from kindling.config import Budget as Limits
from kindling.config import CertifySection, Config
from kindling.eval.certificate import fits, load_certificate
from kindling.eval.hard_negatives import HardNegative
from kindling.eval.labelled import read_labelled
from kindling.records import LabelledCase
from kindling.tables import write_jsonl
from tests.lexical_data import pairs
from tests.scripted_models import scripted_config

TOML = """
[endpoints.scripted]
base_url = "{url}"
[roles.judge]
endpoint = "scripted"
model = "scripted-judge"
temperature = 1.0
price_in = 1.0
price_out = 2.0
[certify]
attack_cases = 1
"""


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["kindling", "certify", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture
def labelled(tmp_path):
    """Forty cases on twenty queries; the good texts are no longer than the bad ones."""
    rows = []
    for i in range(20):
        query = f"为第{i}本书写一句推荐"
        rows.append({"query": query, "response": f"翻开第{i}页，纸上有海风的咸味，读完才想起来喝水。", "label": 1})
        rows.append({"query": query, "response": f"这本书很好很好很好很好，大家都说好，买它就对了{i}。", "label": 0})
    path = tmp_path / "cases.jsonl"
    write_jsonl(path, rows)
    return path


@pytest.fixture
def server():
    """A scripted endpoint in a process of its own; gives (url, stats)."""
    command = [sys.executable, "-m", "tests.scripted_server", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        root = f"http://127.0.0.1:{int(process.stdout.readline())}"

        def stats():
            with urllib.request.urlopen(f"{root}/stats", timeout=10) as answer:
                return json.load(answer)

        yield f"{root}/v1", stats
        process.terminate()


def test_a_judge_without_a_model_is_measured_and_its_certificate_says_for_whom_it_speaks(run, labelled, tmp_path):
    status, out, _ = run("--labelled", labelled, "--judge", "embedded", "--out", "cert.json", "--attack-cases", 2)
    certificate = load_certificate(tmp_path / "cert.json")
    assert status == (0 if certificate.passed else 1)
    assert ("passed" if certificate.passed else "FAILED") in out
    assert (certificate.data.cases, certificate.data.good, certificate.data.queries) == (40, 20, 20)
    assert certificate.judge.name == "embedded"
    assert certificate.cost.calls == certificate.cost.money == 0
    assert certificate.limits["attack_cases"] == 2
    assert fits(certificate, "embedded", certificate.judge.template, "", "")[1:] == []
    assert not (tmp_path / "cert.json.ledger.sqlite").exists()


def test_hard_negatives_are_one_more_line_and_their_file_is_named(run, labelled, tmp_path):
    rows = [{"query": f"为第{i}扇门写一句", "response": f"门{i}。", "flaws": "空", "round": 1} for i in range(3)]
    write_jsonl(tmp_path / "forged.jsonl", rows)
    plain = ("--labelled", labelled, "--judge", "embedded", "--attack-cases", 1)
    arguments = (*plain, "--hard-negatives", "forged.jsonl")
    attacks = [
        orjson.loads(run(*given, "--out", "x.json", "--dry-run", "--json")[1])["judgements"]["attacks"]
        for given in (plain, arguments)
    ]
    assert attacks[1] == attacks[0] + 3
    _, out, _ = run(*arguments, "--out", "cert.json")
    certificate = load_certificate(tmp_path / "cert.json")
    found = certificate.findings.attacks[-1]
    assert (found.family, found.attacks, found.trials + found.unscored) == ("hard negatives", 3, 3)
    assert certificate.data.hard_negatives == sha256((tmp_path / "forged.jsonl").read_bytes()).hexdigest()
    assert "attack: hard negatives" in out
    status, _, err = run(
        "--labelled", labelled, "--judge", "embedded", "--hard-negatives", "no.jsonl", "--out", "y.json"
    )
    assert (status, "no such file" in err) == (2, True)


def test_cases_in_memory_are_examined_like_those_of_a_file(run, labelled, tmp_path):
    """What a game does with its test cases, and the command with the same cases in a file: the same findings."""
    given = ("--attack-cases", 1, "--repeats", 2, "--set", "certify.repeat_cases=5")
    run("--labelled", labelled, "--judge", "embedded", *given, "--out", "file.json")
    by_file = load_certificate(tmp_path / "file.json")
    config = Config(certify=CertifySection(attack_cases=1, repeats=2, repeat_cases=5))
    plan = casting.plan_cast(config, "embedded")
    exam = exam_of(read_labelled(labelled), plan.pack, config, 0, [HardNegative("为门写一句", "门。")])
    bench = benches.CastBench(plan, tmp_path / "ledger.sqlite")
    found = asyncio.run(examine(exam, bench, Origin("test", "00", "11")))
    assert (found.data.file, found.data.cases, found.data.hard_negatives) == ("test", 40, "11")
    assert found.judge == by_file.judge
    assert found.findings.attacks[-1].family == "hard negatives"
    same = {"seconds": 0.0, "judged": 0, "attacks": by_file.findings.attacks}
    assert found.findings.attacks[:-1] == by_file.findings.attacks
    assert replace(found.findings, **same) == replace(by_file.findings, **same)


def test_a_learned_judge_does_not_pass_on_what_it_learned_from(run, tmp_path):
    """The same file, and one in which half of the texts are others."""
    rows = pairs(60, seed=1)
    for row in rows[30:]:
        row["chosen"] = f"{row['chosen'][:-1]}，别的。"
    seen = [{"query": row["query"], "response": row[side], "label": label}
            for row in rows for side, label in (("chosen", "good"), ("rejected", "bad"))]  # fmt: skip
    judge = fit([LabelledCase(row["query"], row["response"], row["label"]) for row in seen[:60]]).model
    save(judge, tmp_path / "judge.npz")
    write_jsonl(tmp_path / "all.jsonl", seen)
    write_jsonl(tmp_path / "new.jsonl", [{**row, "response": f"{row['response']}又及。"} for row in seen])
    for name, share in (("all", 0.5), ("new", 0.0)):
        arguments = ("--labelled", f"{name}.jsonl", "--judge", "lexical:judge.npz", "--attack-cases", 1, "--repeats", 1)
        run(*arguments, "--out", f"{name}.json")
        certificate = load_certificate(tmp_path / f"{name}.json")
        line = next(line for line in certificate.lines if line.name == "seen in training")
        assert line.estimate.value == pytest.approx(share, abs=0.02)
        assert line.passed is (share == 0)
        assert certificate.data.seen == round(line.estimate.value * 120)


def test_json_is_the_certificate_and_nothing_else(run, labelled, tmp_path):
    arguments = ("--labelled", labelled, "--judge", "embedded", "--attack-cases", 1, "--repeats", 1, "--json")
    _, out, _ = run(*arguments, "--out", "a.json")
    assert orjson.loads(out) == orjson.loads((tmp_path / "a.json").read_bytes())
    run(*arguments, "--out", "b.json")
    first, second = (orjson.loads((tmp_path / name).read_bytes()) for name in ("a.json", "b.json"))
    for one in (first, second):
        one["findings"]["seconds"] = one["cost"]["seconds"] = one["created"] = None
    assert first == second


def test_another_judges_certificate_stands_beside_on_the_same_cases_only(run, tmp_path):
    cases = [
        {"query": row["query"], "response": row[side], "label": label}
        for row in pairs(40, seed=1)
        for side, label in (("chosen", 1), ("rejected", 0))
    ]
    write_jsonl(tmp_path / "cases.jsonl", cases)
    write_jsonl(tmp_path / "other.jsonl", cases[::-1])
    given = ("--labelled", "cases.jsonl", "--attack-cases", 1, "--repeats", 1)
    run(*given, "--judge", "lexical", "--out", "learned.json")
    both = (*given, "--judge", "embedded", "--beside", "learned.json")
    _, out, _ = run(*both, "--out", "cert.json")
    title, head, _, *table = out.partition("\n\n")[0].splitlines()
    assert title == "Side by side"
    assert [cell.strip() for cell in head.split("┃")] == ["", "embedded", "lexical", "length"]
    rows = {row[0]: row[1:] for row in ([cell.strip() for cell in line.split("│")] for line in table)}
    found = [load_certificate(tmp_path / name).findings for name in ("cert.json", "learned.json")]
    length = next(one for one in found[0].baselines if one.name == "length")
    for said, name in (("accuracy", "accuracy"), ("κ", "kappa"), ("AUC", "auc")):
        for where, of in (("", "agreement"), (", length-matched", "matched")):
            three = [getattr(getattr(one, of), name).value for one in (*found, length)]
            assert rows[said + where] == ["–" if value is None else f"{value:.3f}" for value in three]
    assert rows["attack: padding"][2] == "–"
    _, out, _ = run(*both, "--out", "json.json", "--json")
    written = orjson.loads((tmp_path / "json.json").read_bytes())
    assert orjson.loads(out) == written | {"beside": [orjson.loads((tmp_path / "learned.json").read_bytes())]}
    for more, says in ((("--seed", 1), "made with seed 0"), (("--labelled", "other.jsonl"), "made on other cases")):
        status, _, err = run(*both, "--out", "no.json", *more)
        assert (status, len(err.strip().splitlines())) == (2, 1)
        assert says in err
        assert not (tmp_path / "no.json").exists()


def test_limits_come_from_the_configuration_and_decide_the_status(run, labelled, tmp_path):
    loose = {"min_kappa": -1, "min_gain_over_length": -9, "min_reading_occasion": 0, "max_attack": 1, "max_padding": 1}
    given = [word for name, value in loose.items() for word in ("--set", f"certify.{name}={value}")]
    fast = ("--labelled", labelled, "--judge", "embedded", "--attack-cases", 1, "--repeats", 1)
    strict = [*given, "--set", "certify.min_kappa=1"]
    run(*fast, *given, "--out", "loose.json")
    run(*fast, *strict, "--out", "strict.json")
    kappas = []
    for name in ("loose.json", "strict.json"):
        certificate = load_certificate(tmp_path / name)
        kappas.append(next(line for line in certificate.lines if line.name == "kappa"))
    assert kappas[0].passed
    assert kappas[1].passed == (kappas[1].estimate.value == 1)
    assert kappas[0].estimate == kappas[1].estimate


def test_paid_calls_are_planned_and_paid_once_and_a_stopped_run_goes_on(run, labelled, server, tmp_path):
    url, stats = server
    (tmp_path / "kindling.toml").write_text(TOML.format(url=url), encoding="utf-8")
    arguments = ("--labelled", labelled, "--judge", "llm", "--out", "cert.json")
    status, out, _ = run(*arguments, "--dry-run", "--json")
    plan = orjson.loads(out)
    assert status == 0
    assert plan["players"] == {"judge": "scripted-judge @ scripted"}
    assert plan["judgements"]["agreement"] == 40
    assert plan["judgements"]["repeats"] == 80
    assert plan["calls"]["judge"] == sum(plan["judgements"].values())
    assert plan["cost"]["judge"] > 0
    assert stats()["requests"] == 0
    assert "nothing was run or written" in run(*arguments, "--dry-run")[1]

    status, _, err = run(*arguments, "--max-calls", 60)
    assert status == 3
    assert "stopped" in err
    assert not (tmp_path / "cert.json").exists()
    paid = stats()["answered"]
    assert 0 < paid <= 60

    status, _, _ = run(*arguments)
    assert status == 1
    after = stats()
    assert after["repeated"] == 0
    assert after["answered"] <= plan["calls"]["judge"]
    certificate = load_certificate(tmp_path / "cert.json")
    assert certificate.judge.model == "scripted-judge @ scripted"
    assert certificate.judge.served == ("scripted-judge scripted",)
    assert certificate.judge.grading == "auto, 1 vote"
    assert certificate.cost.calls == pytest.approx(1000)
    assert certificate.cost.recalled == pytest.approx(paid / after["answered"], abs=0.02)
    assert certificate.cost.money == pytest.approx(
        (certificate.cost.prompt_tokens + 2 * certificate.cost.completion_tokens) / 1e6
    )
    # verdicts of this endpoint depend on the request alone, seed included: only other seeds can show that it wavers
    assert certificate.findings.steadiness.flips.value > 0.3
    assert "flips" in certificate.failed


def test_a_learning_judge_is_fitted_out_of_fold(run, tmp_path):
    rows = []
    for i in range(45):
        item = "灯桌椅钟瓶毯架凳壶"[i % 9]
        rows.append(
            {"query": f"写{item}的第{i}句", "response": f"{item}在窗边，{'静' * (i % 5 + 3)}。", "label": "good"}
        )
        rows.append({"query": f"写{item}的第{i}句", "response": f"随便说说，{'嘿' * (i % 5 + 3)}", "label": "bad"})
    write_jsonl(tmp_path / "many.jsonl", rows)
    run("--labelled", "many.jsonl", "--judge", "lexical", "--out", "cert.json", "--attack-cases", 1, "--repeats", 2)
    certificate = load_certificate(tmp_path / "cert.json")
    assert (certificate.judge.name, certificate.judge.folds) == ("lexical", 5)
    assert certificate.findings.unscored.share.value == 0
    assert certificate.findings.steadiness.flips.value == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--labelled", "cases.jsonl", "--out", "cert.txt"), "--out names a .json file"),
        (("--labelled", "cases.jsonl", "--out", "no/cert.json"), "no such folder"),
        (("--labelled", "cases.jsonl", "--out", "there.json"), "exists already"),
        (("--labelled", "missing.jsonl", "--out", "cert.json"), "no such file"),
        (("--labelled", "few.jsonl", "--out", "cert.json"), "it takes 5 to cross-validate"),
        (("--labelled", "cases.jsonl", "--out", "cert.json", "--judge", "nobody"), "unknown judge 'nobody'"),
        (("--labelled", "cases.jsonl", "--out", "cert.json", "--judge", "llm"), "no [roles.judge]"),
        (("--labelled", "cases.jsonl", "--out", "cert.json", "--set", "certify.max_flips=2"), "certify.max_flips"),
    ],
)
def test_what_cannot_be_certified_is_refused_in_one_line_before_anything_is_judged(
    run, labelled, tmp_path, arguments, said
):
    (tmp_path / "there.json").write_text("{}", encoding="utf-8")
    write_jsonl(tmp_path / "few.jsonl", [{"query": "q", "response": "r", "label": "good"}])
    status, out, err = run("--judge", "embedded", *arguments)
    assert status == 2
    assert out == ""
    assert said in err
    assert len(err.strip().splitlines()) == 1


async def test_all_repeats_share_one_budget(tmp_path):
    """Or `--max-minutes` would start anew with every repeat."""
    limits = Limits(max_minutes=1)
    plan = casting.plan_cast(scripted_config("http://127.0.0.1:9/v1", budget=limits), "llm")
    bench = benches.CastBench(plan, tmp_path / "ledger.sqlite")
    async with bench.open(0):
        first = bench.budget
        assert first is not None
        assert first.limits == limits
    async with bench.open(1):
        assert bench.budget is first
