"""`python -m bench.embedded_judge [LABELLED ...] [--task T] [--fit] [--training FILE] ...`: measure or fit a judge.

Measures it on the task's golden set, and on each LABELLED file given by path (none is shipped): accuracy, kappa, AUC,
the same on length-matched cases, what passes by flaw, and texts a second. With `--fit`, weights are learned first, from
the good examples and the training cases, never from the golden set or LABELLED, and written to the pack's `judge.toml`.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, cohen_kappa_score, roc_auc_score

from kindling.agents.embedded.cast import WEIGHTS, embedded_examiner
from kindling.agents.embedded.debate import EmbeddedJudge
from kindling.agents.embedded.fitting import fit, stock_cases
from kindling.agents.embedded.grammar import load_grammar
from kindling.agents.embedded.weights import save_weights
from kindling.agents.requests import measure
from kindling.eval.baselines import length_matched
from kindling.eval.labelled import read_labelled
from kindling.prompts.taskpack import TaskPack, load_pack
from kindling.records import Case, LabelledCase
from kindling.tables import read_rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.embedded_judge", description=__doc__)
    parser.add_argument("labelled", nargs="*", type=Path)
    parser.add_argument("--task", default="greetings")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--training", action="append", type=Path)
    given = parser.parse_args()
    pack = load_pack(given.task)
    if given.fit:
        learn(pack, given.training or [pack.file("training.jsonl")])
        pack = load_pack(given.task)
    for file in (pack.file("golden.jsonl"), *given.labelled):
        report(
            file.name,
            EmbeddedJudge(embedded_examiner(pack), pack.principles()),
            read_labelled(file),
            pack.settings.brief_chars,
        )


def learn(pack: TaskPack, training: Sequence[Path]) -> None:
    """Fit and write the weights."""
    examiner = embedded_examiner(pack)
    rows = read_rows(pack.file("corpus.jsonl"), ("query", "response"))
    cases = [LabelledCase(row["query"], row["response"], "good") for row in rows]
    cases += [case for file in training for case in read_labelled(file)]
    queries = pack.file("queries.txt").read_text(encoding="utf-8").split("\n")
    grammar = load_grammar(pack.file("grammar.toml"), examiner.lexicon)
    join = grammar.style.phrase_stop + grammar.style.space
    stock = stock_cases(examiner, [query for query in queries if query], grammar.flaws.stock, join)
    save_weights(pack.file("lexicon.toml").with_name(WEIGHTS), fit(examiner, cases, stock))
    print(f"learned from {len(cases)} cases: {pack.file(WEIGHTS)}")


def report(name: str, judge: EmbeddedJudge, cases: Sequence[LabelledCase], brief_chars: int) -> None:
    """Print the figures on one file."""
    good = np.array([case.label == "good" for case in cases])
    start = time.perf_counter()
    scores = np.array(asyncio.run(score(judge, cases, brief_chars)))
    rate = len(cases) / (time.perf_counter() - start)
    matched = np.array(length_matched(cases, 0))
    said = scores > 0.5
    print(f"\n{name}: {len(cases)} cases, {rate:.0f} texts/s")
    print(f"accuracy {accuracy_score(good, said):.3f}, kappa {cohen_kappa_score(good, said):.3f}", end=", ")
    print(f"AUC {roc_auc_score(good, scores):.3f}", end=", ")
    print(f"on {len(matched)} length-matched {roc_auc_score(good[matched], scores[matched]):.3f}")
    kinds = Counter(case.flaw or case.label for case in cases)
    passed = Counter(case.flaw or case.label for case, one in zip(cases, said, strict=True) if one)
    print("called good: " + ", ".join(f"{kind} {passed[kind]}/{count}" for kind, count in sorted(kinds.items())))


async def score(judge: EmbeddedJudge, cases: Sequence[LabelledCase], brief_chars: int) -> list[float]:
    """Judge the cases one by one, with their facts measured as every judge gets them."""
    scores = []
    for case in cases:
        facts = measure(case.query, case.response, brief_chars)
        scores.append((await judge.judge(Case(case.query, case.response, facts))).score or 0.0)
    return scores


if __name__ == "__main__":
    main()
