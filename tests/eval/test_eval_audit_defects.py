"""Defects: each is found in its example, none in an innocent text, and only certain ones may be removed."""

import orjson
import pytest

from kindling.eval.audit.dataset import read_dataset
from kindling.eval.audit.defects import CHECKS, find, report
from kindling.eval.audit.requests import unmet
from kindling.records import Fact


def no_facts(query, response):
    return ()


def dataset(path, rows):
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return read_dataset(path)


def checks(path, *responses, query="随便写一句", facts=no_facts):
    data = dataset(path, [{"query": f"{query}{at}", "response": text} for at, text in enumerate(responses)])
    return {(hit.check, hit.row) for hit in find(data, facts)}


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("亲爱的[女士姓名]，愿你安好", "placeholder"),
        ("亲爱的【您的名字】，愿你安好", "placeholder"),
        ("Dear {name}, all the best", "placeholder"),
        ("Dear [Your Name], all the best", "placeholder"),
        ("敬爱的XX老师，谢谢您", "placeholder"),
        ("尊敬的某某先生，谢谢您", "placeholder"),
        ("致____，愿你安好", "placeholder"),
        ("抱歉，我无法提供这样的内容。", "refusal"),
        ("作为一个人工智能，我没有感情。", "refusal"),
        ("请您提供更多具体的信息，以便我来写。", "refusal"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("As an AI, I have no feelings.", "refusal"),
        ("", "empty"),
        ("！！！🎉", "empty"),
        ("愿你\u200b安好", "hidden"),
        ("愿你安好\ufffd", "hidden"),
        ("愿你\u202e安好", "hidden"),
        ("前程似锦，" + "ⁿ" * 60, "repeated"),
        ("愿你快乐。" * 12, "repeated"),
        ("1. 山高水长\n2. 风清月白\n3. 春暖花开", "listing"),
        ("- one thing\n- two things\n- more", "listing"),
        ("愿你乘风破浪，驶向更高的 Seas of Success", "mixed_language"),
    ],
)  # fmt: skip
def test_each_defect_is_found(tmp_path, text, check):
    assert (check, 1) in checks(tmp_path / "a.jsonl", text)


@pytest.mark.parametrize(
    "text",
    [
        "对不起，我不能陪在你身边，但心一直在。",
        "虽然无法亲临现场，但思念会替我到。",
        "岁月无法抹去你的光彩。",
        "【喜报】咱们家的小树长高了[玫瑰]（真的）",
        "二〇二五，二〇二六，年年有你。",
        "一家人👨‍👩‍👧整整齐齐❤️",
        "VIP也好，PPT也罢，今天都放下。",
        "春\n夏\n秋\n冬，四季都好",
        "山高水长，山高水长，岁岁如此。",
        "愿你有１８般武艺",
    ],
)
def test_innocent_texts_stay_innocent(tmp_path, text):
    assert checks(tmp_path / "a.jsonl", text) == set()


def test_latin_is_fine_where_the_request_calls_for_it(tmp_path):
    def english(query, response):
        return (Fact("language", "英文", "100 %", True),)

    text = "Wishing you a bright year"
    assert ("mixed_language", 1) in checks(tmp_path / "a.jsonl", text)
    assert checks(tmp_path / "a.jsonl", text, facts=english) == set()
    assert checks(tmp_path / "a.jsonl", "愿你常有 offer", query="拿到offer") == set()
    assert checks(tmp_path / "a.jsonl", text, query="a bright year please") == set()


def test_a_list_is_fine_where_items_are_asked_for(tmp_path):
    def items(query, response):
        return (Fact("items", "3条", "3条", True),)

    assert checks(tmp_path / "a.jsonl", "1. 山高水长\n2. 风清月白\n3. 春暖花开", facts=items) == set()


def test_what_is_far_longer_than_the_rest(tmp_path):
    long = "".join(chr(0x4E00 + at) for at in range(900))
    responses = ["愿你前程似锦，" + chr(0x4E00 + at) * (at % 9) for at in range(40)]
    assert ("very_long", 41) in checks(tmp_path / "a.jsonl", *responses, long)
    assert not [hit for hit in checks(tmp_path / "b.jsonl", *responses) if hit[0] == "very_long"]


def test_a_script_that_hardly_occurs(tmp_path):
    responses = [f"第{at}天，山高水长" for at in range(120)]
    assert ("other_script", 121) in checks(tmp_path / "a.jsonl", *responses, "བོད་ཡིག")
    both = responses[:60] + [f"Ночь, улица, фонарь {at}" for at in range(60)]
    assert not [hit for hit in checks(tmp_path / "b.jsonl", *both) if hit[0] == "other_script"]


def test_equal_pairs_duplicates_and_pairs_in_both_orders(tmp_path):
    rows = [
        {"query": "a", "chosen": "甲乙", "rejected": "丙丁"},
        {"query": "a", "chosen": "同样", "rejected": " 同样 "},
        {"query": "a", "chosen": "丙丁", "rejected": "甲乙"},
        {"query": "a", "chosen": "戊己", "rejected": "甲乙"},
        {"query": "a", "chosen": "戊己", "rejected": "甲乙"},
        {"query": "b", "chosen": "丙丁", "rejected": "甲乙"},
    ]
    found = {(hit.check, hit.row) for hit in find(dataset(tmp_path / "p.jsonl", rows), no_facts)}
    assert found == {("equal_pair", 2), ("contradiction", 1), ("contradiction", 3), ("duplicate", 5)}


def test_contradictory_labels_need_the_same_query_and_text(tmp_path):
    rows = [
        {"query": "a", "response": "甲乙", "label": "good"},
        {"query": "a", "response": "甲乙 ", "label": 0},
        {"query": "b", "response": "甲乙", "label": "bad"},
        {"query": "b", "response": "甲乙", "label": False},
    ]
    found = {(hit.check, hit.row) for hit in find(dataset(tmp_path / "l.jsonl", rows), no_facts)}
    assert found == {("contradiction", 1), ("contradiction", 2), ("duplicate", 4)}


def test_a_defect_of_a_bad_text_is_what_its_label_says(tmp_path):
    rows = [
        {"query": "a", "chosen": "山高水长", "rejected": "致[姓名]"},
        {"query": "b", "chosen": "致[姓名]", "rejected": "山高水长"},
        {"query": "c", "chosen": "山高水长", "rejected": "……"},
    ]
    data = dataset(tmp_path / "p.jsonl", rows)
    hits = find(data, no_facts)
    assert [(hit.check, hit.row, hit.certain) for hit in hits] == [
        ("placeholder", 1, False),
        ("placeholder", 2, True),
        ("empty", 3, True),
    ]
    findings = {finding.check: finding for finding in report(data, hits)}
    assert findings["placeholder"].severity == "severe"
    assert findings["placeholder"].rows == (1, 2)
    assert findings["placeholder"].examples[0].startswith("row 2")  # what a model would learn comes first
    assert set(findings["clean"].summary.removeprefix("none found: ").split(", ")) == set(CHECKS) - {
        "placeholder",
        "empty",
    }


@pytest.mark.parametrize("query", ["", "？！", "看看 https://example.com/x", "很" * 201])
def test_junk_queries(tmp_path, query):
    data = dataset(tmp_path / "r.jsonl", [{"query": query, "response": "山高水长"}])
    assert [(hit.check, hit.certain) for hit in find(data, no_facts)] == [("junk_query", False)]


def test_unmet_requests_are_counted_by_label(tmp_path):
    """Asked of four: two good texts, one of which fails; two bad ones, both fail."""

    def eight(query, response):
        return (Fact("characters", "8", str(len(response)), len(response) == 8),) if query == "八" else ()

    rows = [
        {"query": "八", "response": "一二三四五六七八", "label": 1},
        {"query": "八", "response": "一二三", "label": 1},
        {"query": "八", "response": "一", "label": 0},
        {"query": "八", "response": "一二", "label": 0},
        {"query": "九", "response": "一二", "label": 1},
    ]
    (finding,) = unmet(dataset(tmp_path / "l.jsonl", rows), eight)
    assert (finding.rows, finding.count, finding.of) == ((2,), 1, 2)
    assert finding.figures == {"good": 0.5, "bad": 1.0}
    assert unmet(dataset(tmp_path / "l.jsonl", rows[4:]), eight) == []
