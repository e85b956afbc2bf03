"""Readers of runs: counts that add up, unfinished runs told as such, damaged ones refused in one line, same bytes."""

import html.parser
import re
import shutil
from contextlib import closing

import orjson
import pytest

from kindling.errors import UsageError
from kindling.eval.report import reading
from kindling.eval.report.blocks import Difference, Intervals, Table
from kindling.eval.report.browsing import Entry, Reading, Records, safe, select
from kindling.eval.report.reading import chapters_of, report
from kindling.runs import open_run
from kindling.tables import write_json, write_jsonl
from tests.runs_on_disk import HOSTILE, curated, grown, killed_curation, outcome, played, trained

REASONS = ("paired", "all_bad", "too_few_verdicts", "error", "duplicate", "link")


def rows(count=12):
    return [outcome(row, reason=REASONS[row % len(REASONS)]) for row in range(count)]


def blocks(path, kind):
    return [block for section in chapters_of(path)[0].sections for block in section.blocks if isinstance(block, kind)]


def fates(path):
    return {(row[0], row[1].partition(":")[0]): row[2] for row in blocks(path, Table)[0].rows}


class Elements(html.parser.HTMLParser):
    """The tags and texts of a page, and what its scripts and attributes hold."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.attributes = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


def test_every_row_is_counted_once_also_those_that_are_pending(tmp_path):
    path = curated(tmp_path / "r", rows(12), "stopped", pending=5)
    found = fates(path)
    assert sum(found.values()) == 17
    assert found["accepted", "paired"] == 2
    assert found["pending", "budget"] == 5
    chapter = chapters_of(path)[0]
    assert "unfinished" in chapter.notice.title
    assert "5 rows are pending" in chapter.notice.lines[0]


def test_a_killed_run_is_read_from_its_journal_under_the_latest_templates(tmp_path):
    path = killed_curation(tmp_path / "r", rows(6))
    assert sum(fates(path).values()) == 6
    page = report(path)
    assert "killed" in chapters_of(path)[0].notice.title
    assert "under an old template" not in page


def test_records_that_were_changed_are_noticed(tmp_path):
    path = curated(tmp_path / "r", rows(6))
    lines = (path / "records.jsonl").read_bytes().splitlines(keepends=True)
    (path / "records.jsonl").write_bytes(b"".join(lines[1:]))
    assert "counts 6 finished rows, but records.jsonl holds 5" in chapters_of(path)[0].notice.title


@pytest.mark.parametrize("make", [lambda path: curated(path, rows()), trained, grown, played])
def test_the_same_run_gives_the_same_bytes_wherever_it_lies(tmp_path, make):
    (tmp_path / "a").mkdir()
    path = make(tmp_path / "a" / "run")
    first = report(path)
    shutil.copytree(path, tmp_path / "b" / "run")
    assert report(tmp_path / "b" / "run") == first == report(path)
    assert str(tmp_path) not in first.replace("argv", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_make_no_element_and_end_no_script(tmp_path, text):
    tame = {}
    for name, make in (
        ("curate", lambda path, words: curated(path, [outcome(0, words, said=words)])),
        ("refine", played),
        ("grpo", lambda path, words: grown(path, words[:200], growth=0)),
    ):
        hostile = Elements(report(make(tmp_path / f"{name}-1", text)))
        tame[name] = Elements(report(make(tmp_path / f"{name}-2", "plain")))
        assert hostile.tags.count("script") == tame[name].tags.count("script")
        assert set(hostile.tags) == set(tame[name].tags)
        assert not {"img", "textarea", "iframe"} & set(hostile.tags)
        assert any("default-src 'none'" in value for key, value in hostile.attributes if key == "content")
        assert not [key for key, _ in hostile.attributes if key.startswith("on")]
        assert not re.search("[\u202e\u2028\u2029\x00\x1b\u200b\ufeff]", "".join(hostile.texts))


def test_json_in_a_script_is_itself_again_and_holds_no_mark():
    data = [*HOSTILE, "<!--<script>", "]]>&amp;"]
    assert orjson.loads(safe(data)) == data
    assert not re.search("[<>&]", safe(data))


def test_what_does_not_fit_is_said_and_rare_outcomes_stay():
    common = [Entry("q", (), ("common",), (Reading("x" * 900),), "common") for _ in range(500)]
    rare = [Entry("q", (), ("rare",), (Reading("x" * 900),), "rare") for _ in range(3)]
    records = Records.of("n", "row", ("kind",), [*common, *rare], "records.jsonl", most=50_000)
    assert records.total == 503
    assert 10 < len(records.entries) < 100
    assert dict(records.options[0])["rare"] == 3
    assert len(records.data) < 60_000
    assert list(select([], 10)) == []
    assert len(list(select(common[:1], 10))) == 1


def test_points_of_one_aspect_are_put_together_and_none_is_said_twice():
    reading = Reading("t", sides=(("flaws", (("a", "1"), ("b", "2"), ("a", "1"), ("a", "3"))),))
    data = orjson.loads(Records.of("n", "row", (), [Entry("q", (), (), (reading,))], "f").data)
    assert data["entries"][0]["x"][0]["p"] == [["flaws", [["a", ["1", "3"]], ["b", ["2"]]]]]


def test_the_breach_of_a_real_firewall_is_named_and_marked_once(tmp_path):
    path = grown(tmp_path / "r", growth=2)
    chapter = chapters_of(path)[0]
    breach = orjson.loads((path / "breach.json").read_bytes())
    assert chapter.status.words == "breach"
    assert f"step {breach['step'] + 1}: {breach['line']}" in chapter.notice.title
    assert any("--uncertified" in line for line in chapter.notice.lines)
    page = report(path)
    assert page.count(f"stopped at step {breach['step'] + 1}<") == 1
    quiet = chapters_of(grown(tmp_path / "quiet", growth=0))[0]
    assert quiet.status.words == "finished"
    assert "stopped at step" not in report(tmp_path / "quiet")


def test_a_run_killed_before_its_first_checkpoint_is_read_from_the_firewall(tmp_path):
    path = grown(tmp_path / "r", growth=0)
    for name in ("metrics.jsonl", "completions/step-00008.parquet"):
        (path / name).unlink()
    with (path / "firewall.jsonl").open("ab") as log:
        log.write(b'{"step": 9, "rew')
    record = orjson.loads((path / "run.json").read_bytes())
    write_json(path / "run.json", {**record, "status": "running"})
    chapter = chapters_of(path)[0]
    assert "killed" in chapter.notice.title
    assert "8 steps" in chapter.lead


def test_measures_on_pairs_have_intervals_and_none_where_there_was_no_pair(tmp_path):
    table = blocks(trained(tmp_path / "r", "rm"), Intervals)[0]
    assert [(row.name, row.value) for row in table.rows] == [
        ("pairs in the right order", "0.800"), ("what length alone reaches", "0.500"),
        ("prefers its own request", "0.600"),
    ]  # fmt: skip
    assert table.rows[0].interval == "0.652 to 0.895"


def test_a_stopped_training_says_where_and_why(tmp_path):
    notice = chapters_of(trained(tmp_path / "r", "sft", status="stopped"))[0].notice
    assert "unfinished" in notice.title
    assert notice.lines == ("Why: SIGTERM.",)


def test_an_evaluation_that_was_cut_short_shows_its_texts(tmp_path):
    texts = [
        {"model": name, "query": "祝好", "index": 0, "text": name * 3, "failure": None, "reason": ""} for name in "甲乙"
    ]
    texts.append({"model": "甲", "query": "早安", "index": 0, "text": "", "failure": "cut_off", "reason": "too long"})
    with closing(open_run(tmp_path / "r", "eval", {"seed": 0}, resume=False)) as run:
        run.save(status="stopped")
    with pytest.raises(UsageError, match="nothing to report"):
        report(tmp_path / "r")
    write_jsonl(tmp_path / "r/texts.jsonl", texts)
    chapter = chapters_of(tmp_path / "r")[0]
    assert chapter.lead == "3 texts of 2 models; there is no scorecard yet."
    assert "unfinished" in chapter.notice.title
    page = report(tmp_path / "r")
    assert "甲甲甲" in page
    assert "too long" in page


def test_what_the_judges_of_a_training_cost_is_told_also_where_a_budget_ended_it(tmp_path):
    path = grown(tmp_path / "r", growth=0)
    assert "model calls" not in [one.name for one in chapters_of(path)[0].figures]
    role = {"role": "judge", "model": "m", "calls": 4, "prompt_tokens": 9, "completion_tokens": 5, "cost": 0.25}
    ledger = {"calls": 4, "cost": 0.25, "roles": [role], "this_process": None}
    record = orjson.loads((path / "run.json").read_bytes())
    write_json(path / "run.json", record | {"spent": {"ledger.sqlite": ledger, "shadow.sqlite": ledger}})
    (chapter,) = chapters_of(path)
    assert ("8", "model calls", "cost 0.5000") in [(one.value, one.name, one.note) for one in chapter.figures]
    (cost,) = (section.blocks[0].rows for section in chapter.sections if section.name == "cost")
    assert [row[:3] for row in cost] == [("judge", "m", 4), ("judge", "m", 4)]


def test_proposals_show_what_changed_what_it_did_and_why_it_was_refused(tmp_path):
    accepted, refused = blocks(played(tmp_path / "r"), Difference)
    assert accepted.tag.words == "accepted"
    assert ("κ on validation", "0.1 → 0.4 (rise +0.10 to +0.50)") in accepted.effect
    signs = [(one.sign, "".join(words for words, _ in one.parts)) for one in accepted.changes]
    assert signs == [("−", "要真诚"), ("+", "要真诚，要贴切"), (" ", "1 principle as before"), ("+", "不要套话")]
    assert [words for words, changed in accepted.changes[1].parts if changed] == ["，要贴切"]
    assert refused.tag.words == "refused: not better, old attack"
    assert "a forgery that the present judge catches would pass again" in dict(refused.effect)["refused, since"]


def test_several_runs_in_one_folder_come_in_the_order_they_were_started(tmp_path):
    for name, make in (("z", trained), ("a", grown), ("m", played)):
        make(tmp_path / name)
        record = orjson.loads((tmp_path / name / "run.json").read_bytes())
        write_json(tmp_path / name / "run.json", {**record, "started": f"2026-01-01T00:00:0{'zam'.index(name)}+00:00"})
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text("{")
    (tmp_path / "data.json").write_text('{"some": "other"}')
    (tmp_path / "half.json").write_text('{"judge": ')
    (tmp_path / "queries.txt").write_text("q\n")
    chapters = chapters_of(tmp_path)
    assert [one.title for one in chapters if one.made] == ["z", "a", "m"]
    half, torn = (one.lead for one in chapters if one.status.words == "not reported")
    assert half.startswith(f"{tmp_path}/half.json: not JSON, or half of it: ")
    assert torn == f"{tmp_path}/torn/run.json: not a run record, or half of one; choose another folder"
    ids = re.findall(r' id="([^"]+)"', report(tmp_path))
    assert len(ids) == len(set(ids))


def test_an_experiment_comes_with_its_runs_and_its_models_first(tmp_path):
    path = tmp_path / "arms"
    with closing(open_run(path, "eval --arms", {"seed": 0}, resume=False)) as run:
        run.save(status="running")
        with pytest.raises(UsageError, match="nothing to report"):
            report(path)
        steps = [{"step": "SFT", "command": "train sft", "status": 0, "seconds": 61.0}]
        write_jsonl(
            path / "steps.jsonl", [*steps, {"step": "RM+RL", "command": "train grpo", "status": 1, "seconds": 2.0}]
        )
        trained(path / "sft", "sft")
        grown(path / "rm-rl", growth=2)
    with closing(open_run(path / "eval", "eval", {"seed": 0}, resume=False)) as run:
        run.save(status="running")
        write_jsonl(
            path / "eval/texts.jsonl", [{"model": "SFT", "query": "祝好", "index": 0, "text": "好", "failure": None}]
        )
    whole = chapters_of(path)
    assert [one.title for one in whole] == ["arms", "eval", "sft", "rm-rl"]
    assert "2 steps in 1 min 03 s" in whole[0].lead
    assert "answered no" in report(path)


def test_several_runs_share_what_one_page_may_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_TOGETHER", 20_000)
    for name in "abcd":
        curated(tmp_path / name, [outcome(row) for row in range(40)])
    alone = blocks(tmp_path / "a", Records)[0]
    assert len(alone.entries) == alone.total == 40
    for chapter in chapters_of(tmp_path):
        found = next(block for one in chapter.sections for block in one.blocks if isinstance(block, Records))
        assert 0 < len(found.entries) < found.total == 40
        assert sum(count for _, count in found.options[0]) == len(found.entries)


def bad(tmp_path):
    """Paths that cannot be reported, with what is said of them."""
    empty = tmp_path / "empty"
    empty.mkdir()
    yield empty, "no run: it holds no run.json"
    yield tmp_path / "none", "no such run"
    for name, text in (("torn.json", "{"), ("other.json", '{"a": 1}'), ("list.json", "[1]"), ("torn.txt", "x")):
        (tmp_path / name).write_text(text)
        yield tmp_path / name, "not JSON" if text in "{x" else "no certificate, audit or scorecard"
    for name, make in (("c", lambda path: curated(path, [])), ("t", lambda path: trained(path, steps=0))):
        yield make(tmp_path / name), "there is nothing to report"
    for name, change in (
        ("newer", {"format": 2, "versions": {"kindling": "9.9"}}), ("unknown", {"command": "dance"}),
        ("no-settings", {"settings": None}),
    ):  # fmt: skip
        path = curated(tmp_path / name, rows())
        write_json(path / "run.json", orjson.loads((path / "run.json").read_bytes()) | change)
        yield (
            path,
            {"newer": "format 2, made by kindling 9.9", "unknown": "'kindling dance'"}.get(name, "not a run record"),
        )
    path = curated(tmp_path / "damaged", rows())
    text = (path / "records.jsonl").read_text(encoding="utf-8")
    (path / "records.jsonl").write_text(text.replace('"status":"rejected"', '"status":"who knows"'), encoding="utf-8")
    yield path, "records.jsonl: line 2: status: .* damaged"
    path = curated(tmp_path / "amid", rows())
    text = (path / "records.jsonl").read_text(encoding="utf-8")
    (path / "records.jsonl").write_text("{half\n" + text, encoding="utf-8")
    yield path, "records.jsonl: line 1: not JSON"
    path = grown(tmp_path / "breach", growth=2)
    (path / "breach.json").write_text("[]")
    yield path, "no breach that can be read"
    path = played(tmp_path / "game")
    (path / "standing.json").unlink()
    yield path, "no round is finished"


def test_what_cannot_be_reported_is_one_line(tmp_path):
    for path, says in bad(tmp_path):
        with pytest.raises(UsageError, match=says) as caught:
            report(path)
        assert "\n" not in str(caught.value), path
        assert path.name in str(caught.value)
