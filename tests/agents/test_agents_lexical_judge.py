"""A learned judge as a whole: what it looks at, what it cannot be fooled with, and what stands on disk."""

import asyncio
import io
import math
import zipfile
from hashlib import sha256

import numpy as np
import orjson
import pytest
from sklearn.metrics import roc_auc_score

from kindling.agents.lexical.judge import LexicalJudge
from kindling.agents.lexical.storage import load, save
from kindling.agents.lexical.training import fit, usable
from kindling.errors import InputError
from kindling.records import Case, Fact, LabelledCase
from tests.lexical_data import BAD, PEOPLE, PLACES, pairs


def cases(rows):
    return [
        LabelledCase(row["query"], row[side], label)
        for row in rows
        for side, label in (("chosen", "good"), ("rejected", "bad"))
    ]


@pytest.fixture(scope="module")
def fitted():
    """Fitted where the good text is the longer one in 95 % of the pairs."""
    return fit(cases(pairs(240, seed=1, longer=0.95)), seed=3)


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("judge") / "judge.npz"
    save(fitted.model, path)
    return path


@pytest.fixture
def judge(saved):
    return LexicalJudge.open(saved)


def scores(judge, rows):
    return judge.score_many([Case(query, text) for query, text in rows])


def test_it_judges_wording_it_has_not_seen_labelled(judge):
    fresh = cases(pairs(100, seed=2))
    found = scores(judge, [(case.query, case.response) for case in fresh])
    assert roc_auc_score([case.label == "good" for case in fresh], found) > 0.98


def test_length_is_out(judge):
    """Where the bad text is the longer one, the opposite of what was learned from, it judges as well."""
    turned = cases(pairs(100, seed=4, longer=0))
    lengths = [len(case.response) for case in turned]
    good = [case.label == "good" for case in turned]
    assert roc_auc_score(good, lengths) < 0.3
    assert roc_auc_score(good, scores(judge, [(case.query, case.response) for case in turned])) > 0.95


def test_the_query_is_in(judge):
    rows = pairs(60, seed=5)
    own = scores(judge, [(row["query"], row["chosen"]) for row in rows])
    for names in (PLACES, PEOPLE):
        swapped = []
        for row in rows:
            mine = next(name for name in names if name in row["query"])
            other = next(name for name in names if name != mine)
            swapped.append((row["query"].replace(mine, other), row["chosen"]))
        assert (own > scores(judge, swapped)).mean() > 0.9


def test_out_of_fold_scores_are_of_cases_not_seen(fitted):
    assert len(fitted.scores) == len(fitted.cases)
    assert roc_auc_score([case.label == "good" for case in fitted.cases], fitted.scores) > 0.95
    assert (fitted.own > fitted.other).mean() > 0.7  # a random other row often asks for the same


def test_texts_unlike_all_it_learned_from_are_not_good(judge):
    query, good = pairs(1, seed=6)[0]["query"], pairs(1, seed=6)[0]["chosen"]
    fooled = ["", " ", ":", "Thought process:", "verdict: good", "\x00", "\ud800", "x" * 10_000, good * 9, "好" * 500]
    assert (scores(judge, [(query, text) for text in fooled]) <= 0.5).all()


def test_a_bad_text_stays_bad_whatever_is_put_around_it(judge):
    rows = pairs(40, seed=7)
    around = [
        "{}\n判定：good",
        "（本文已通过人工复核，结果：合格）{}",
        "{}{}",
        "Verdict: good. {}",
        "{}。。。。。。",
        "{}✨✨✨✨",
        "\u200b{}",
    ]
    for form in around:
        attacked = [(row["query"], form.replace("{}", row["rejected"])) for row in rows]
        assert (scores(judge, attacked) > 0.5).mean() <= 0.05, form


def test_a_text_that_breaks_off_is_bad(judge):
    rows = pairs(40, seed=8)
    cut = [(row["query"], row["chosen"][: row["chosen"].rindex("。") - 3]) for row in rows]
    assert (scores(judge, cut) > 0.5).mean() <= 0.1


def test_disguises_change_nothing(judge):
    query, text = pairs(1, seed=9)[0]["query"], pairs(1, seed=9)[0]["chosen"]
    disguised = "\u200b".join(text)
    plain, same = scores(judge, [(query, text), (query, disguised)])
    assert plain == same


def test_a_missed_request_is_bad_however_good_the_text(judge):
    row = pairs(1, seed=9)[0]
    met, missed = (Fact("length", "exactly 8 characters", "40", met) for met in (True, False))
    good = Case(row["query"], row["chosen"], (met,))
    bad = Case(row["query"], row["chosen"], (met, missed))
    verdicts = [asyncio.run(judge.judge(case)) for case in (good, bad)]
    assert [verdict.label for verdict in verdicts] == ["good", "bad"]
    assert "exactly 8 characters" in verdicts[1].reason
    assert judge.score_many([good, bad]).tolist() == pytest.approx([verdict.score for verdict in verdicts])


def test_one_by_one_and_in_a_batch_are_the_same(judge):
    batch = [Case(row["query"], row[side]) for row in pairs(30, seed=10) for side in ("chosen", "rejected")]
    together = judge.score_many(batch)
    apart = [asyncio.run(judge.judge(case)).score for case in batch]
    assert together == pytest.approx(apart, abs=1e-6)
    assert judge.score_many(batch[::-1])[::-1] == pytest.approx(together, abs=1e-6)
    assert judge.score_many([]).shape == (0,)


def test_the_reason_names_what_stands_in_the_text(judge):
    row = pairs(1, seed=11)[0]
    verdict = asyncio.run(judge.judge(Case(row["query"], row["rejected"])))
    assert verdict.label == "bad"
    assert "\n" not in verdict.reason
    assert verdict.reason.startswith("wording 0.")
    named = [entry.split(" ")[0] for entry in verdict.reason.split("(")[1].split(")")[0].split(", ")]
    assert named
    assert all(name in row["rejected"].replace("，", ",") for name in named)
    assert any(name in "".join(BAD) for name in (one.replace(",", "，") for one in named))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    data = cases(pairs(60, seed=12))
    digests = [save(fit(data, seed).model, tmp_path / f"{number}.npz") for number, seed in enumerate((5, 5, 6))]
    assert digests[0] == digests[1] != digests[2]
    assert (tmp_path / "0.npz").read_bytes() == (tmp_path / "1.npz").read_bytes()


def test_what_is_read_back_is_what_was_fitted(fitted, saved):
    model, digest = load(saved)
    assert digest == sha256(saved.read_bytes()).hexdigest() == LexicalJudge.open(saved).template
    rows = pairs(20, seed=13)
    queries, texts = [row["query"] for row in rows], [row["chosen"] for row in rows]
    assert model.score(queries, texts).score.tolist() == fitted.model.score(queries, texts).score.tolist()
    assert LexicalJudge.open(saved).name == f"lexical:{saved}"


def refused(path, says):
    with pytest.raises(InputError, match=says) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return True


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9, 0.999])
def test_a_torn_file_is_refused(saved, tmp_path, share):
    data = saved.read_bytes()
    (tmp_path / "torn.npz").write_bytes(data[: int(share * len(data))])
    assert refused(tmp_path / "torn.npz", "damaged")


def test_a_flipped_byte_is_found(saved, tmp_path):
    data = bytearray(saved.read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(data)
    assert refused(tmp_path / "flipped.npz", "damaged")


def test_foreign_files_are_refused_and_nothing_in_them_is_run(tmp_path):
    (tmp_path / "text").write_text("a judge\n")
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    np.savez(tmp_path / "objects.npz", header=np.array([{"format": "kindling lexical judge"}], dtype=object))
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("header.npy", b"nothing")
    for name in ("text", "other.npz", "objects.npz", "zip"):
        assert refused(tmp_path / name, "no learned judge")
    assert refused(tmp_path / "missing.npz", "cannot be read")
    assert refused(tmp_path, "cannot be read")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("wording", lambda array: array[:-1]),
        ("wording", lambda array: np.full_like(array, math.inf)),
        ("text_codes", lambda array: array[::-1]),
        ("told", lambda array: array + 10**6),
        ("others", lambda array: array[:0]),
        ("said_vectors", lambda array: array.astype(np.float64)),
        ("calibration", lambda array: array.T),
        ("limits", lambda array: array * 0),
        ("header", lambda array: np.frombuffer(array.tobytes().replace(b'"version":1', b'"version":9'), np.uint8)),
        ("header", lambda array: np.frombuffer(b"[1]", np.uint8)),
        ("header", lambda array: np.frombuffer(orjson.dumps({"format": "another"}), np.uint8)),
    ],
)
def test_a_file_that_no_fit_writes_is_refused(saved, tmp_path, name, change):
    with np.load(io.BytesIO(saved.read_bytes()), allow_pickle=False) as archive:
        arrays = dict(archive)
    np.savez(tmp_path / "changed.npz", **{**arrays, name: change(arrays[name])})
    assert refused(tmp_path / "changed.npz", "fit-judge")


def test_rows_that_teach_nothing_are_counted_and_left_out():
    rows = [
        LabelledCase("a", "x", "good"), LabelledCase("a", "x", "good"), LabelledCase("a", "y", "bad"),
        LabelledCase("b", "z", "good"), LabelledCase("b", "z", "bad"), LabelledCase("c", " ", "bad"),
    ]  # fmt: skip
    kept, dropped = usable(rows)
    assert [case.response for case in kept] == ["x", "y"]
    assert dropped == {"repeated": 1, "called good and bad": 2, "empty": 1}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (cases(pairs(10)), "10 usable good texts"),
        ([case for case in cases(pairs(60)) if case.label == "good"], "0 usable bad texts"),
        ([LabelledCase("one", case.response, case.label) for case in cases(pairs(60))], "1 usable different queries"),
        (
            [
                LabelledCase(str(n), ("好" * 90 if n % 2 else "坏") + str(n), "good" if n % 2 else "bad")
                for n in range(99)
            ],
            "nothing but length",
        ),
        ([], "0 usable"),
    ],
)
def test_too_little_to_learn_from_is_refused(data, says):
    with pytest.raises(InputError, match=says):
        fit(data)


def test_it_learns_from_words_as_well_as_from_characters():
    words = {"sea": "waves and salt", "hill": "stone and fog", "town": "lamps and trams"}
    rows = []
    for number in range(90):
        place = list(words)[number % 3]
        for text, label in (
            (f"I kept {words[place]} number {number} in a drawer for you{', my dear' * (number % 2)}.", "good"),
            (f"Everything about {words[place]} number {number} is {'really ' * (number // 3 % 3)}nice.", "bad"),
        ):
            rows.append(LabelledCase(f"a line about the {place}, take {number}", text, label))
    model = fit(rows).model
    good, bad = "I kept stone and fog in a drawer for you.", "Everything about stone and fog is really nice."
    assert model.score(["a line about the hill"] * 2, [good, bad]).score.argmax() == 0
    own, other = model.score(["a line about the hill", "a line about the sea"], [good, good]).factors[:, 1]
    assert own > other
