"""`python -m bench.unrewarded PAIRS QUERIES --out DIR ...`: GRPO in the eyes of a judge that did not reward it.

Two judges of different kinds, each once the reward and once the evaluator: `embedded`, which is rules, and a `lexical`
one, which is learned from PAIRS (`query`, `chosen`, `rejected`; none are shipped).

    PAIRS ─ half ─▶ base and SFT of the embedded policy ─▶ GRPO, reward embedded ─▶ judged by lexical
          └ half ─▶ the lexical judge                   ─▶ GRPO, reward lexical  ─▶ judged by embedded

No text or query stands in both halves, so what pleases the lexical judge is not what it has read. The queries that
evaluate are drawn from QUERIES (one a line) and are in neither half; pairs that answer them are the canaries. Texts are
drawn at the temperature of the rollouts, from all models alike. A step that is done is not done again.

`--naive` trains with the judge alone instead, without gates or length control, and says what the firewall made of it.
"""

import argparse
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import orjson

from bench.measured import kindling
from kindling.cli import console
from kindling.rl.firewall.firewall import BREACH
from kindling.rl.policy.base import Schedule, make_base
from kindling.tables import read_rows, write_jsonl

TEST, PROMPTS, LONGEST = 200, 1600, 24
EXAMPLES = 500  # that SFT learns from: as many as a user may have labelled, and they leave GRPO something to do
TEMPERATURE, TEXTS, STEPS = 1.0, 2, 120
EMBEDDED, LEXICAL = "embedded", "lexical:lexical.npz"
DIRECTIONS = ((EMBEDDED, LEXICAL), (LEXICAL, EMBEDDED))
GRPO: dict[str, Any] = {
    "mode": "lora", "lora_rank": 8, "lora_alpha": 16, "group": 16, "micro_batch": 128, "temperature": TEMPERATURE,
    "learning_rate": 3e-3, "schedule": "linear", "warmup": 0.1, "kl": 0.1, "epochs": 9, "shadow_every": 20,
}  # fmt: skip
BARE = ("length", "requests", "repetition", "diversity", "commonplace", "length_control")


@dataclass(frozen=True, slots=True)
class Split:
    """What each part of the benchmark may read."""

    test: tuple[str, ...]
    prompts: tuple[str, ...]
    policy: tuple[Mapping[str, Any], ...]
    judge: tuple[Mapping[str, Any], ...]
    canaries: tuple[Mapping[str, Any], ...]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.unrewarded", description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--at-once", type=int, default=1, help="GRPO runs at a time, which share the cores")
    parser.add_argument("--naive", action="store_true", help="the judge alone as the reward")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    parts = split(read_rows(given.pairs, ("query", "chosen", "rejected")), given.queries.read_text("utf-8").split("\n"))
    prepare(parts, given.out)
    threads = max(1, (os.cpu_count() or 1) // given.at_once)
    one = partial(train, given.out, given.steps, threads, naive=given.naive)
    asked = [(*judges, seed) for seed in range(1, given.seeds + 1) for judges in DIRECTIONS]
    with ThreadPoolExecutor(given.at_once) as pool:
        models = ["sft", *pool.map(one, *zip(*asked, strict=True))]
    if given.naive:
        for model in models[1:]:
            print(f"{model}: {stopped(given.out / model)}")
    else:
        report(evaluate(given.out, models), models)


def split(pairs: Sequence[Mapping[str, Any]], queries: Sequence[str]) -> Split:
    """Test queries, RL prompts, and two halves of the pairs that share neither queries nor texts."""
    rng = Random(0)
    asked = [query for query in dict.fromkeys(map(str.strip, queries)) if query and len(query) <= LONGEST]
    rng.shuffle(asked)
    test = frozenset(asked[:TEST])
    rest = [pair for pair in pairs if pair["query"] not in test]
    rng.shuffle(rest)
    policy = rest[: len(rest) // 2]
    seen = {pair["query"] for pair in policy}, {pair[side] for pair in policy for side in ("chosen", "rejected")}
    judge = [
        pair
        for pair in rest[len(rest) // 2 :]
        if pair["query"] not in seen[0] and seen[1].isdisjoint((pair["chosen"], pair["rejected"]))
    ]
    known = {pair["query"] for pair in judge}
    return Split(
        test=tuple(asked[:TEST]),
        prompts=tuple(query for query in asked[TEST:] if query not in known)[:PROMPTS],
        policy=tuple(policy),
        judge=tuple(judge),
        canaries=tuple(pair for pair in pairs if pair["query"] in test),
    )


def prepare(parts: Split, out: Path) -> None:
    """The files, the base, the SFT model and the lexical judge."""
    for name, queries in (("test.txt", parts.test), ("prompts.txt", parts.prompts)):
        (out / name).write_text("".join(f"{query}\n" for query in queries), encoding="utf-8")
    write_jsonl(out / "pairs.jsonl", parts.judge)
    good = [{"query": pair["query"], "response": pair["chosen"]} for pair in parts.policy]
    write_jsonl(out / "good.jsonl", good)
    write_jsonl(out / "examples.jsonl", good[:EXAMPLES])
    write_jsonl(
        out / "canaries.jsonl",
        (
            {"query": pair["query"], "response": pair[side], "label": label}
            for pair in parts.canaries
            for side, label in (("chosen", "good"), ("rejected", "bad"))
        ),
    )
    if not (out / "lexical.npz").exists():
        _run(out, "fit-judge", "pairs.jsonl", "--out", "lexical.npz")
    if not (out / "base").exists():
        started = time.monotonic()
        texts = [(pair["query"], pair[side]) for pair in parts.policy for side in ("chosen", "rejected")]
        make_base(texts, out / "base", schedule=Schedule(epochs=2, longest=128))
        print(f"base: {len(texts):,} texts in {console.duration(time.monotonic() - started)}", flush=True)
    if not (out / "sft/model").exists():
        once = ("--set", "train.epochs=1")
        _run(out, "train", "sft", "--data", "examples.jsonl", "--model", "base", *once, "--out", "sft", "--resume")


def train(out: Path, steps: int, threads: int, reward: str, other: str, seed: int, *, naive: bool = False) -> str:
    """One GRPO run, with its evaluator as the shadow judge and one checkpoint, its last; returns its name."""
    name = f"{'naive-' * naive}{reward.partition(':')[0]}-{seed}"
    if not (out / name / "model").exists():
        settings = {f"train.{key}": value for key, value in (GRPO | {"max_steps": steps, "save_every": steps}).items()}
        settings |= {f"reward.{term}": 0 for term in BARE if naive}
        given = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        watched = ("--shadow", other, "--canaries", "canaries.jsonl", "--references", "good.jsonl", "--uncertified")
        _run(
            out, "train", "grpo", "--data", "prompts.txt", "--model", "sft/model", "--judge", reward, *watched, *given,
            "--seed", str(seed), "--out", name, threads=threads,
        )  # fmt: skip
    return name


def stopped(run: Path) -> str:
    """What stopped a run, in the firewall's words, or that nothing did."""
    breach = run / BREACH
    return str(orjson.loads(breach.read_bytes())["line"]) if breach.exists() else "ran to its end"


def evaluate(out: Path, models: Sequence[str]) -> Path:
    """The evaluation of all models by both judges, each of which rewarded half of them."""
    run = f"eval-{len(models)}"
    if not (out / run / "scorecard.json").exists():
        named = [f"{model}={model}/model" for model in models]
        _run(
            out, "eval", *named, "--queries", "test.txt", "--judge", EMBEDDED, "--judge", LEXICAL,
            "--allow-reward-judge", "--temperature", str(TEMPERATURE), "-n", str(TEXTS), "--out", run,
        )  # fmt: skip
    return out / run


def report(evaluation: Path, models: Sequence[str]) -> None:
    """A row a model: what each judge calls good, and what must not be lost for it."""
    cards = {one["model"]: one for one in orjson.loads((evaluation / "scorecard.json").read_bytes())["cards"]}
    lengths: dict[str, list[int]] = {model: [] for model in models}
    for row in read_rows(evaluation / "texts.jsonl", ("model",)):
        lengths[row["model"]].append(len(row["text"] or ""))
    shown = [
        (model, *_figures(cards[model], cards["sft"], fmean(lengths[model]) / fmean(lengths["sft"])))
        for model in models
    ]
    columns = ("embedded", "lexical", "length", "cut off", "distinct-2", "Vendi", "met")
    console.table("Good by each judge; length, diversity beside SFT's; requests met", ("model", *columns), shown)


def _figures(card: Mapping[str, Any], sft: Mapping[str, Any], length: float) -> Iterator[str]:
    for judged in card["excellence"]:
        yield f"{judged['raw']['value']:.1%}"
    yield f"{length:.2f}"
    yield f"{card['texts']['cut_off'] / card['texts']['asked']:.1%}"
    for of in (lambda one: one["distinct"]["2"]["value"], lambda one: one["vendi"]["value"]):
        yield f"{of(card['diversity']) / of(sft['diversity']):.2f}"
    yield f"{card['requests']['met']['value']:.1%}"


def _run(out: Path, *arguments: str, threads: int | None = None) -> None:
    env = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    took = kindling(*arguments, cwd=out, env=env, fine=(0, 1)).wall_s  # 1: stopped by the firewall, a result too
    print(f"{' '.join(arguments[:2])} … {arguments[-1]}: {console.duration(took)}", flush=True)


if __name__ == "__main__":
    main()
