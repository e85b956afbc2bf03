"""`python -m bench.lexical PAIRS LABELLED`: fit a judge on one file, measure it on another.

Needs data by path; none is shipped. Everything is measured twice: fitted on all of PAIRS, and without the pairs whose
query or text stands in LABELLED too, since some published files overlap. Beside it a plain n-gram model stands.

*Reads the request*: a text under its own request and under another file row's, which differs in its occasion, or in its
recipient with the same occasion. The word lists that find them are this benchmark's; the judge has none. Only requests
that name exactly one are asked about.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from kindling.agents.lexical.model import LexicalModel
from kindling.agents.lexical.storage import load, save
from kindling.agents.lexical.training import fit
from kindling.eval.attacks import load_attacks
from kindling.eval.baselines import length_matched
from kindling.eval.labelled import Pair, read_labelled, read_pairs
from kindling.records import LabelledCase

ROUNDS = 10  # of the whole labelled file, for the speed
ATTACKED = 150

# a kind a line; any of its words in a query names it
OCCASIONS = """
    生日 寿 周岁 岁生
    结婚 新婚 婚礼 新人 订婚 大婚
    高考 中考 考试 考研 期末 金榜
    早上好 早安 清晨
    晚安 晚上好
    乔迁 新居 搬家 新房 入宅
    开业 开张
    满月 百天 百日
    退休 荣休
    升职 高升 晋升 新岗位
    康复 病人 生病 手术
    新车 提车
    毕业
    母亲节
    父亲节
    教师节
    儿童节 六一
    中秋
    国庆
    元旦
    新年 春节 拜年
    端午
    旅游 旅途 一路平安
    升学 录取
    参军 入伍
    七夕 情人节
    出生 喜得 得子
    纪念日
    生意 发财
    成人礼 成年礼
"""
RECIPIENTS = """
    女儿 闺女
    儿子
    老公 丈夫
    老婆 妻子
    妈妈 母亲 老妈
    爸爸 父亲 老爸
    朋友 好友
    闺蜜
    老师
    领导 老板 上司
    同事
    姐姐 老姐
    妹妹
    哥哥 老哥 大哥
    弟弟
    爷爷 外公 姥爷
    奶奶 外婆 姥姥
    孙子
    孙女
    儿媳
    婆婆
    同学
    自己
    女婿
    学生
"""
# two names of one event, or one that happens on the other: no contrast
ALIKE = ({"生日", "成人礼"}, {"生日", "满月"}, {"满月", "出生"}, {"生日", "出生"}, {"生日", "母亲节"})


def kinds(query: str, lists: str) -> set[str]:
    lines = (line.split() for line in lists.strip().splitlines())
    return {words[0] for words in lines if any(word in query for word in words)}


def other_requests(cases: Sequence[LabelledCase]) -> Iterator[tuple[str, int, str]]:
    """("occasion" or "recipient", case, another request), drawn from the file's own requests."""
    rng = np.random.default_rng(0)
    read = [(case.query, kinds(case.query, OCCASIONS), kinds(case.query, RECIPIENTS)) for case in cases]
    pool = sorted({(query, *occasion, frozenset(who)) for query, occasion, who in read if len(occasion) == 1}, key=str)
    for index, (_, occasion, who) in enumerate(read):
        if len(occasion) != 1:
            continue
        (mine,) = occasion
        elsewhere = [query for query, other, _ in pool if other != mine and {mine, other} not in ALIKE]
        yield "occasion", index, elsewhere[rng.integers(len(elsewhere))]
        others = [query for query, other, them in pool if other == mine and len(them) == 1 and set(them) != who]
        if len(who) == 1 and others:
            yield "recipient", index, others[rng.integers(len(others))]


def as_cases(pairs: Sequence[Pair]) -> list[LabelledCase]:
    return [
        LabelledCase(pair.query, text, label)
        for pair in pairs
        for text, label in ((pair.chosen, "good"), (pair.rejected, "bad"))
    ]


def agreement(title: str, cases: Sequence[LabelledCase], scores: np.ndarray) -> None:
    good = np.array([case.label == "good" for case in cases])
    lengths = np.array([len(case.response) for case in cases])
    matched = list(length_matched(cases, 0))
    print(
        f"{title}: AUC {roc_auc_score(good, scores):.4f} (length alone {roc_auc_score(good, lengths):.4f}),"
        f" {len(matched)} of matched length {roc_auc_score(good[matched], scores[matched]):.4f}"
        f" ({roc_auc_score(good[matched], lengths[matched]):.4f})"
    )


def reading(model: LexicalModel, cases: Sequence[LabelledCase]) -> None:
    wins: dict[str, list[float]] = defaultdict(list)
    probes = list(other_requests(cases))
    asked = [cases[index] for _, index, _ in probes]
    own = model.score([case.query for case in asked], [case.response for case in asked]).score
    other = model.score([query for _, _, query in probes], [case.response for case in asked]).score
    for (kind, *_), case, mine, theirs in zip(probes, asked, own, other, strict=True):
        won = float(mine > theirs) + (mine == theirs) / 2
        wins[f"{kind}, good texts"] += [won] * (case.label == "good")
        wins[f"{kind}, all texts"].append(won)
    print(
        "own request preferred:",
        "; ".join(f"other {kind} {np.mean(x):.1%} of {len(x)}" for kind, x in sorted(wins.items())),
    )


def attacked(model: LexicalModel, cases: Sequence[LabelledCase]) -> None:
    scores = model.score([case.query for case in cases], [case.response for case in cases]).score
    fooled: dict[str, list[bool]] = defaultdict(list)
    for attack in load_attacks():
        right = [
            case for case, score in zip(cases, scores, strict=True)
            if case.label == attack.target and (score > 0.5) == (case.label == "good")
        ][:ATTACKED]  # fmt: skip
        texts = [attack.apply(case.response) for case in right]
        changed = [text != case.response for text, case in zip(texts, right, strict=True)]
        if not attack.breaks_facts:  # those are found by counting, not by this model
            after = model.score([case.query for case in right], texts).score
            fooled[attack.family] += [score > 0.5 for score, new in zip(after, changed, strict=True) if new]
    print("attacks that succeed:", ", ".join(f"{family} {np.mean(x):.1%}" for family, x in fooled.items()))


def speed(model: LexicalModel, cases: Sequence[LabelledCase]) -> None:
    queries, texts = [case.query for case in cases] * ROUNDS, [case.response for case in cases] * ROUNDS
    model.score(queries[:100], texts[:100])
    seconds = timed(lambda: model.score(queries, texts))
    print(f"{len(texts) / seconds:,.0f} texts a second of CPU time on one core")


def timed(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def fitted(cases: Sequence[LabelledCase]) -> LexicalModel:
    """Fit twice, hold the files against each other, and go on with what was read back."""
    models: list[LexicalModel] = []
    seconds = timed(lambda: models.append(fit(cases, 7).model))
    again = fit(cases, 7).model
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("a", "b")]
        digests = [save(model, file) for model, file in zip((models[0], again), files, strict=True)]
        size = files[0].stat().st_size / 1e6
        print(f"fitted in {seconds:.1f} s of CPU time; {size:.1f} MB; twice the same bytes: {digests[0] == digests[1]}")
        return load(files[0])[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.lexical", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("labelled", type=Path)
    given = parser.parse_args()
    if missing := [str(path) for path in (given.pairs, given.labelled) if not path.exists()]:
        sys.exit(f"no such file: {missing[0]}")
    pairs, cases = read_pairs(given.pairs), read_labelled(given.labelled)
    there = {text for case in cases for text in (case.query, case.response)}
    apart = [pair for pair in pairs if not there & {pair.query, pair.chosen, pair.rejected}]
    queries, texts = [case.query for case in cases], [case.response for case in cases]
    threadpool_limits(1)  # for good: everything here is on one core
    for title, some in (("all pairs", pairs), ("pairs that share nothing with the labelled file", apart)):
        print(f"\n== {title}: {len(some)}", flush=True)
        plain = make_pipeline(
            TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True), LogisticRegression(C=10)
        )
        known = as_cases(some)
        plain.fit([case.response for case in known], [case.label == "good" for case in known])
        agreement("plain n-grams", cases, plain.decision_function(texts))
        model = fitted(known)
        agreement("lexical", cases, model.score(queries, texts).score)
        reading(model, cases)
        attacked(model, cases)
        speed(model, cases)


if __name__ == "__main__":
    main()
