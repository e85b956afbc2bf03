"""Run folders as the commands leave them, made in no time: for what reads runs, not for what makes them.

The datasets of a curation, the files of a game and the firewall's log are written by the code that always writes them;
only what a trainer would log is made up.
"""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from kindling.cli import curated as datasets
from kindling.cli import refined
from kindling.game import Decision, Forgery, Proposal, Round, Standing
from kindling.records import Candidate, Critique, Fact, Judgement, Outcome, Point, PreferencePair, Query, Verdict
from kindling.rl.firewall.canaries import CanaryResult
from kindling.rl.firewall.firewall import Firewall
from kindling.rl.firewall.report import Sample, StepReport
from kindling.rl.firewall.settings import Limits
from kindling.runs import open_run
from kindling.tables import write_json, write_jsonl, write_parquet

HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">",
    "</script><script>document.title = 'owned'</script><!--",
    "</textarea></title></style>'\"`${document.title='owned'}{{7*7}}",
    "a\u202etxet sdrawkcab\u202c\u2028\u2029\u200b\ufeff\x00\x1b[2J z",
    "W" * 3_000 + "长" * 3_000,
)
BUDGET = {"max_calls": None, "max_cost": None, "max_minutes": None}


def outcome(row: int, text: str = "给同事的新年祝福", reason: str = "paired", said: str = "写得具体") -> Outcome:
    """A row with three texts and their whole debate; `text` and `said` are wherever a model's words may be."""
    query = Query(f"{text} {row}", row)
    status = {"paired": "accepted", "all_bad": "rejected", "too_few_verdicts": "unscored", "error": "failed"}.get(
        reason
    )
    if status is None:
        return Outcome(query, "dropped", reason, said)
    first = Verdict.of(0.8, said, "judge", "aa")
    good, bad = Verdict.of(0.9, said, "reflector", "bb"), Verdict.of(0.1, said, "reflector", "bb")
    sides = (
        Critique("flaws", (Point(said, text), Point(said, text)), "negative", "cc"),
        Critique("merits", (), "positive", "dd"),
    )
    facts = (Fact("characters", "正好8个字", "9个字", False),)
    judgements = tuple(
        Judgement(Candidate(f"{text} {place}", "strong", place), verdict, first, sides, facts)
        for place, verdict in enumerate((good, bad, Verdict.none(said, "judge")))
    )
    pair = PreferencePair(query.text, f"{text} 0", f"{text} 1", query.id, 0, 1, 0.9, 0.1, "strong", "strong", "judge")
    return Outcome(query, status, reason, said, (), judgements, (pair,) if reason == "paired" else ())


def curated(path: Path, outcomes: list[Outcome], status: str = "finished", pending: int = 0) -> Path:
    """A curation that ended with `status`."""
    settings = {"queries": {"file": "q.txt", "sha256": "ab" * 32}, "seed": 7, "pack": {"language": "zh"}}
    with closing(open_run(path, "curate", settings, resume=False)) as run:
        made = datasets.write_datasets(path, outcomes, "Title", "zh", [])
        reasons = [{"status": one, "reason": why, "rows": count} for (one, why), count in made.reasons.items()]
        reasons += [{"status": "pending", "reason": "budget", "rows": pending}] if pending else []
        run.save(
            status=status, seed=7, config={"budget": BUDGET}, templates={"judge": "aa"}, versions={"kindling": "0"},
            reasons=reasons, calls=3, cost=0.5, work_s=2.0, peak_memory_mb=99.0,
            roles=[{"role": "judge", "model": "m", "calls": 3, "prompt_tokens": 9, "completion_tokens": 5, "cost": 1}],
        )  # fmt: skip
    return path


def killed_curation(path: Path, outcomes: list[Outcome]) -> Path:
    """A curation that was killed amid writing a row: there is a journal, and nothing else of it."""
    with closing(open_run(path, "curate", {"seed": 7}, resume=False)) as run:
        run.save(status="running", error=None)
    lines = [orjson.dumps({"key": "old", "outcome": replace(outcomes[0], detail="under an old template")})]
    lines += [orjson.dumps({"key": "now", "outcome": one}) for one in outcomes]
    (path / "journal.jsonl").write_bytes(b"\n".join([*lines, lines[-1][:40]]))
    return path


def trained(path: Path, stage: str = "rm", steps: int = 60, status: str = "finished") -> Path:
    """A run of SFT or of a reward model."""
    settings = {"stage": stage, "model": "org/model", "data": {"file": "d.jsonl", "sha256": "cd" * 32}, "seed": 1}
    extra = {"accuracy": 0.6, "margin": 0.2} if stage == "rm" else {"mean_token_accuracy": 0.7, "entropy": 2.0}
    log = [
        {"step": at, "loss": 1 / at, "learning_rate": 1e-4 / at, "epoch": at / steps, **extra}
        for at in range(1, steps + 1)
    ]
    with closing(open_run(path, f"train {stage}", settings, resume=False)) as run:
        write_jsonl(path / "metrics.jsonl", [*log, {"step": steps, "train_runtime": 9.0, "train_loss": 0.1}])
        measured = {"pairs": 40, "accuracy": 0.8, "matched_pairs": 0, "matched": None, "longer": 0.5, "reading": 0.6}
        stopped = None if status == "finished" else "SIGTERM"
        run.save(
            status=status, steps=steps, planned=80, stopped=stopped, seconds=9.0, processes=1, seed=1, model="m/model",
            measured=measured if stage == "rm" else {}, data={"file": "d.jsonl", "rows": 99, "left_out": {"long": 2}},
            train={"learning_rate": 1e-4, "epochs": 1.0}, versions={}, config={"budget": BUDGET},
        )  # fmt: skip
    return path


def grown(path: Path, text: str = "愿你平安", *, growth: int = 1, steps: int = 8) -> Path:
    """A GRPO run whose texts grow by `growth` at every step, until its firewall stops it."""
    limits = Limits(baseline=0, reference=2, window=2, doubt=0.5)
    firewall = Firewall(limits)
    breach, log, rows = None, [], []
    for step in range(steps):
        samples = tuple(
            Sample(f"{text} {query}", text * (3 + growth * step) + "!" * one, 0.05 * step + 0.3 * one, 10.0)
            for query in range(4)
            for one in range(2)
        )
        canaries = tuple(CanaryResult(step, kind, True, "good") for kind in ("good", "attack"))
        breach = firewall.check(StepReport(step, samples, canaries, (), 0.01 * step, 0.02 * step, 2.0 - 0.1 * step))
        log.append({"step": step, **firewall.measured})
        rows += [
            {"step": step, "query": one.query, "response": one.response, "reward": one.reward, "why": "",
             "verdict": "good", "judge": 0.5, "judge_reason": text}
            for one in samples
        ]  # fmt: skip
        if breach:
            break
    settings = {
        "stage": "grpo", "model": "sft/model", "judge": "embedded", "reward_model": None, "uncertified": True,
        "seed": 0, "firewall": orjson.loads(orjson.dumps(limits)), "data": {"file": "q.txt", "sha256": "ef" * 32},
    }  # fmt: skip
    with closing(open_run(path, "train grpo", settings, resume=False)) as run:
        write_jsonl(path / "firewall.jsonl", log)
        names = ("judge", "length")
        terms: list[dict[str, Any]] = [
            {
                "step": at + 1,
                "loss": 0.1,
                "reward": 0.1 * at,
                "shadow": 0.5,
                **{f"reward_terms/{name}": 0.5 for name in names},
            }
            for at in range(len(log))
        ]
        write_jsonl(path / "metrics.jsonl", terms)
        (path / "completions").mkdir()
        write_parquet(path / "completions/step-00008.parquet", rows)
        if breach:
            write_json(path / "breach.json", breach)
        run.save(
            status="stopped" if breach else "finished", stopped=breach and breach.line, seconds=5.0, steps=len(log)
        )
    return path


def played(path: Path, text: str = "要真诚") -> Path:
    """A game of two rounds: a proposal that was accepted, and one that was refused."""
    first, second = (text, "要具体"), (f"{text}，要贴切", "要具体", "不要套话")
    good = Decision((), 9, 1, 0.01, 0.05, (0.1, 0.4), (0.1, 0.5), (0.5, 0.5))
    worse = Decision(("not_better", "old_attack"), 1, 3, 0.9, 0.05, (0.4, 0.3), (-0.2, 0.0), (0.5, 0.6), (0,), 2)
    rounds = tuple(
        Round(
            number=number, forged=4, unforged=0, caught=3, fooled=(Forgery(text, f"{text} {number}", text),),
            undecided=0, examined=4, errors=2, unscored=0, proposals=(Proposal(rules, text, 3, decision),),
            principles=second, tactics=(text,), tactics_reason=text, asked={}, faults=(),
        )
        for number, rules, decision in ((1, second, good), (2, (*second, text), worse))
    )  # fmt: skip
    settings = {"game": {"rounds": 2, "seed": 0}, "pack": {"language": "zh"}}
    with closing(open_run(path, "refine", settings, resume=False)) as run:
        refined.write(path, Standing(first, (text,), rounds), "cases.jsonl")
        test = {"cases": 40, "words": "better", "kappa": [0.1, 0.4], "rise": [0.1, 0.5]}
        run.save(
            status="finished", seconds=3.0, test=test, calls=0, cost=0.0, roles=[], seed=0, config={"budget": BUDGET}
        )
    return path
