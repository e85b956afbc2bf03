"""`kindling eval` end to end: whole scorecards, calls paid once, ties to judges, and one line for whatever is wrong."""

import signal

import orjson
import pytest

from kindling import __version__
from kindling.eval.scorecard.card import ALL, load_scorecard
from kindling.tables import write_json, write_jsonl
from tests.cli.running import Started, project, queries, rows_of, serve
from tests.scripted_server import Script

COUNT = 8


def evaluate(*models, out="run", judge="embedded"):
    """The command line of an evaluation."""
    return ("eval", *models, "--queries", "queries.txt", "--judge", judge, "--out", out)


def refused(done, *words):
    """Check that the command said one line with all `words` and nothing else."""
    assert done.status == 2, (done.status, done.out, done.err)
    assert (done.out, done.err.count("\n")) == ("", 1), done.err
    for word in words:
        assert word in done.err, done.err


def scorecard(folder):
    """The scorecard without the time that it was made."""
    data = orjson.loads((folder / "scorecard.json").read_bytes())
    data.pop("created")
    return data


def answered(server):
    return server.stats()["answered"]


@pytest.fixture
def files(tmp_path):
    """Queries, and a file with responses to them."""
    asked = queries(tmp_path, COUNT).read_text(encoding="utf-8").split("\n")[:-1]
    rows = [{"query": query, "response": f"愿你第{place}年平安喜乐"} for place, query in enumerate(asked)]
    write_jsonl(tmp_path / "texts.jsonl", rows)
    return tmp_path


@pytest.fixture
def policy(tmp_path):
    """Make the folder of a model, as far as it is looked at before it is loaded, and the record of its run."""

    def make(name, *, newer=False, ties=None, **settings):
        folder = tmp_path / name / "model"
        folder.mkdir(parents=True)
        write_json(folder / "config.json", {})
        write_json(folder / "tokenizer_config.json", {"chat_template": "{{ messages }}"})
        record = {"command": "train grpo", "settings": {"stage": "grpo", **settings}}
        known = {} if ties is None else {"ties": [{"judge": judge, "how": how} for judge, how in ties]}
        write_json(folder.parent / "run.json", record | known | ({"format": 99} if newer else {}))
        return name

    return make


def test_models_stand_side_by_side(kindling, files):
    done = kindling(*evaluate("strong=generator_strong", "texts.jsonl", "weak=generator_weak"), "-n", "1")
    assert done.status == 0, done.err
    found = load_scorecard(files / "run/scorecard.json")
    assert [one.name for one in found.models] == ["strong", "texts", "weak"]
    assert found.asked.queries == COUNT
    assert len(found.comparisons) == 3
    for name in ("strong", "texts", "weak"):
        card = found.card(name)
        assert card.texts.asked == card.texts.whole == COUNT
        (excellence,) = card.excellence
        assert excellence.scored == COUNT
        assert (card.taboo is None, card.diversity is None, card.novelty is None) == (False, False, True)
    assert "What may be concluded" in done.out
    records = rows_of(files / "run/records.jsonl")
    assert len(records) == 3 * COUNT
    assert {name for one in records for name in one["verdicts"]} == {"embedded"}


def test_the_same_command_makes_the_same_scorecard(kindling, files):
    for out in ("one", "two"):
        assert kindling(*evaluate("embedded", "texts.jsonl", out=out), "--seed", "3").status == 0
    assert scorecard(files / "one") == scorecard(files / "two")
    assert kindling(*evaluate("embedded", "texts.jsonl", out="three"), "--seed", "4").status == 0
    assert scorecard(files / "one") != scorecard(files / "three")


def test_a_finished_run_resumed_asks_nothing_and_says_the_same(kindling, files):
    with serve() as server:
        project(files, server)
        command = evaluate("llm", "other=endpoint:scripted/strong-2", "texts.jsonl", judge="llm")
        assert kindling(*command).status == 0
        before, calls = scorecard(files / "run"), answered(server)
        assert calls == 2 * COUNT + len(
            {(one["query"], one["response"]) for one in rows_of(files / "run/records.jsonl")}
        )
        assert kindling(*command, "--resume").status == 0
        assert answered(server) == calls
        assert scorecard(files / "run") == before
        refused(kindling(*command), "already used", "--resume")
        refused(kindling(*command, "--resume", "--seed", "1"), "seed")
        # another judge is asked about the texts that there are
        assert kindling(*command, "--judge", "embedded", "--resume").status == 0
        assert answered(server) == calls
    assert [one["name"] for one in scorecard(files / "run")["judges"]] == ["llm", "embedded"]


def test_killed_and_resumed_it_is_the_same_run_and_nothing_is_paid_twice(kindling, files):
    with serve() as server:
        project(files, server, "max_in_flight = 4")
        command = evaluate("llm", "other=endpoint:scripted/strong-2", judge="llm", out="run")
        assert kindling(*evaluate("llm", "other=endpoint:scripted/strong-2", judge="llm", out="alone")).status == 0
        calls = answered(server)
        server.answered.clear()
        server.seen.clear()
        server.script = Script(latency_s=0.03)
        for share in (0.3, 0.7):
            process = Started(*command, "--resume", cwd=files)
            process.wait_for(lambda until=share * calls: answered(server) >= until)
            process.send(signal.SIGKILL)
            assert process.finish().status == -signal.SIGKILL
        server.script = Script()
        assert kindling(*command, "--resume").status == 0
        assert len(server.answered) == calls
        assert answered(server) - calls <= 2 * 4
    assert scorecard(files / "run") == scorecard(files / "alone")


def test_a_torn_last_line_is_cut_off_and_asked_again(kindling, files):
    command = evaluate("texts.jsonl")
    assert kindling(*command).status == 0
    before = scorecard(files / "run")
    for name in ("texts.jsonl", "verdicts.jsonl"):
        file = files / "run" / name
        file.write_bytes(file.read_bytes()[:-9])
    assert kindling(*command, "--resume").status == 0
    assert scorecard(files / "run") == before
    assert len(rows_of(files / "run/texts.jsonl")) == COUNT


def test_ctrl_c_keeps_what_there_is(kindling, files):
    with serve(latency_s=0.05) as server:
        project(files, server, "max_in_flight = 2")
        command = evaluate("llm", judge="llm")
        process = Started(*command, cwd=files)
        process.wait_for(lambda: answered(server) >= 3)
        process.send(signal.SIGINT)
        done = process.finish()
        assert done.status == 130, done.err
        assert "--resume" in done.err
        assert "Traceback" not in done.err
        assert 0 < len(rows_of(files / "run/texts.jsonl")) <= COUNT
        assert not (files / "run/scorecard.json").exists()
        assert kindling(*command, "--resume").status == 0
        assert answered(server) == len(server.answered)


def test_a_budget_ends_it_with_status_3_and_a_larger_one_goes_on(kindling, files):
    with serve() as server:
        project(files, server)
        command = evaluate("llm", judge="llm")
        done = kindling(*command, "--max-calls", COUNT + 2)
        assert (done.status, answered(server)) == (3, COUNT + 2)
        assert "max_calls" in done.err
        assert kindling(*command, "--resume").status == 0
        assert answered(server) == 2 * COUNT


def test_what_fails_is_counted_apart_and_asked_again_only_when_told(kindling, files):
    with serve(answers={"judge": lambda _: "no verdict at all"}, first=("refusal",) * 2) as server:
        project(files, server)
        command = evaluate("llm", judge="llm")
        assert kindling(*command).status == 0
        card = load_scorecard(files / "run/scorecard.json").card("llm")
        assert (card.texts.failed, card.texts.whole) == (2, COUNT - 2)
        (excellence,) = card.excellence
        assert (excellence.scored, excellence.unscored, excellence.raw.value) == (0, COUNT - 2, None)
        calls = answered(server)
        assert kindling(*command, "--resume").status == 0
        assert answered(server) == calls
        server.script = Script()
        assert kindling(*command, "--resume", "--retry").status == 0
    refused(kindling(*evaluate("llm", out="other"), "--retry"), "--resume")


def test_a_dry_run_counts_and_writes_nothing(kindling, files):
    with serve() as server:
        project(files, server)
        command = evaluate("llm", "other=endpoint:scripted/strong-2", "texts.jsonl", judge="llm")
        done = kindling(*command, "--dry-run", "--json")
        assert done.answer["calls"] == {
            "llm generator_strong": COUNT, "other generator_strong": COUNT, "llm judge": 3 * COUNT,
        }  # fmt: skip
        taking_turns = kindling(*evaluate("llm", "one=generator_weak"), "-n", "3", "--dry-run", "--json")
        assert taking_turns.answer["calls"] == {
            "llm generator_strong": 2 * COUNT, "llm generator_weak": COUNT, "one generator_weak": 3 * COUNT,
        }  # fmt: skip
        assert all(cost > 0 for cost in done.answer["cost"].values())
        assert (server.stats()["requests"], (files / "run").exists()) == (0, False)


def test_groups_are_told_apart(kindling, files):
    rows = [{"query": f"写第{place}句", "frequency": "high" if place % 2 else "ordinary"} for place in range(6)]
    write_jsonl(files / "q.jsonl", rows)
    assert kindling("eval", "embedded", "--queries", "q.jsonl", "--judge", "embedded", "--out", "run").status == 0
    found = load_scorecard(files / "run/scorecard.json")
    assert found.asked.groups == {ALL: 6, "ordinary": 3, "high": 3}
    assert {card.group for card in found.cards} == {ALL, "ordinary", "high"}
    command = ("eval", "embedded", "--queries", "q.jsonl", "--out", "two")
    refused(kindling(*command, "--group", "kind"), "q.jsonl: row 1: no column 'kind'")
    write_jsonl(files / "q.jsonl", [{"query": "写一句", "group": ALL}])
    refused(kindling(*command), "a group cannot be called 'all'")


def test_training_files_show_copies(kindling, files):
    command = (*evaluate("texts.jsonl"), "--train", "texts.jsonl")
    assert kindling(*command).status == 0
    found = load_scorecard(files / "run/scorecard.json").card("texts").novelty
    assert (found.training, found.verbatim.value, found.similarity.value) == (COUNT, 1.0, 1.0)


def test_a_certificate_corrects_the_rates_of_its_judge_and_of_no_other(kindling, files):
    kindling("certify", "--judge", "embedded", "--attack-cases", "1", "--repeats", "1", "--out", "cert.json")
    assert kindling(*evaluate("texts.jsonl"), "--certificate", "cert.json").status == 0
    found = load_scorecard(files / "run/scorecard.json")
    (judge,), (excellence,) = found.judges, found.card("texts").excellence
    assert judge.accuracy.good == judge.accuracy.trials_good == 192
    assert excellence.corrected.value is not None
    other = evaluate("texts.jsonl", judge="debate", out="other")
    refused(kindling(*other, "--certificate", "cert.json"), "cert.json: speaks for embedded", "debate")
    data = orjson.loads((files / "cert.json").read_bytes())
    data["judge"]["template"] = "0" * 16
    write_json(files / "old.json", data)
    refused(kindling(*evaluate("texts.jsonl", out="other"), "--certificate", "old.json"), "old.json", "template")
    twice = (*evaluate("texts.jsonl", out="other"), "--certificate", "cert.json", "--certificate", "cert.json")
    refused(kindling(*twice), "cert.json: speaks for embedded, as cert.json does")
    # errors on texts that the judge learned from are those of no other text
    data = orjson.loads((files / "cert.json").read_bytes())
    data["data"]["seen"] = 7
    write_json(files / "seen.json", data)
    assert kindling(*evaluate("texts.jsonl", out="seen"), "--certificate", "seen.json").status == 0
    found = load_scorecard(files / "seen/scorecard.json")
    assert found.card("texts").excellence[0].corrected.value is None
    assert any("learned from 7 of the texts in its certificate" in one.sentence for one in found.conclusions)


@pytest.mark.parametrize("judge", ["embedded", "debate"])
def test_the_judge_that_was_the_reward_is_refused_by_whatever_name_it_plays(kindling, files, policy, judge):
    policy("grpo", judge="embedded", players={"judge": "embedded"}, model="sft/model")
    command = evaluate("grpo", judge=judge)
    refused(kindling(*command), f"--judge {judge}", "grpo learned from its verdicts", "--allow-reward-judge")
    assert not (files / "run").exists()
    allowed = kindling(*command, "--allow-reward-judge", "--dry-run", "--json")
    assert allowed.answer["judges"] == {judge: []}


def test_the_reward_of_an_earlier_generation_counts_too(kindling, files, policy):
    policy("first", judge="embedded", players={"judge": "embedded"})
    policy("second", judge=None, reward_model="rm/model", model="first/model", shadow="embedded")
    refused(kindling(*evaluate("second")), "second learned")


def test_a_checkpoint_is_its_runs_and_a_base_beside_it_is_not(kindling, files, policy):
    run = files / policy("grpo", judge="embedded", players={"judge": "embedded"})
    for name in ("trainer/checkpoint-5", "base"):
        (run / name).mkdir(parents=True)
        for file in (run / "model").iterdir():
            (run / name / file.name).write_bytes(file.read_bytes())
    refused(kindling(*evaluate("grpo/trainer/checkpoint-5")), "checkpoint-5 learned from its verdicts")
    done = kindling(*evaluate("grpo/base"), "--dry-run", "--json")
    assert done.answer["judges"] == {"embedded": ["base"]}


def test_a_shadow_is_tied_but_not_refused(kindling, files, policy):
    policy("grpo", judge="lexical:judge.npz", players={"judge": "lexical:judge.npz"}, shadow="embedded")
    done = kindling(*evaluate("grpo", "texts.jsonl"), "--dry-run", "--json")
    assert done.answer["judges"] == {"embedded": ["texts"]}


def test_what_no_record_says_can_be_told(kindling, files):
    command = evaluate("texts.jsonl", "b=texts.jsonl")
    refused(kindling(*command, "--taught-by", "b=embedded"), "b learned")
    refused(kindling(*command, "--taught-by", "c=embedded"), "--taught-by c=embedded", "texts, b")
    refused(kindling(*command, "--taught-by", "embedded"), "NAME=JUDGE")
    refused(kindling(*command, "--taught-by", "b=embeded"), "unknown judge 'embeded'")
    # the embedded judge plays in a debate, so what a debate taught, it taught
    refused(kindling(*command, "--taught-by", "b=debate"), "--judge embedded: b learned")


@pytest.mark.parametrize("judge", ["embedded", "debate"])
def test_the_judge_that_chose_the_texts_of_an_sft_is_refused_by_whatever_name_it_plays(kindling, files, policy, judge):
    policy("sft", ties=[("embedded", "chose its texts")])
    command = evaluate("sft", "texts.jsonl", judge=judge)
    refused(kindling(*command), f"--judge {judge}: sft learned from texts that it chose", "--allow-reward-judge")
    allowed = (*command, "--allow-reward-judge", "--dry-run")
    assert kindling(*allowed, "--json").answer["ties"] == {"sft": {judge: "chose its texts"}, "texts": {}}
    assert "chose its texts" in kindling(*allowed).out


def test_what_a_run_has_recorded_outlives_the_runs_before_it(kindling, files, policy):
    policy("grpo", ties=[("embedded", "taught its reward model")], model="gone/model", reward_model="rm/model")
    refused(kindling(*evaluate("grpo")), "grpo learned from a reward model that its verdicts taught")
    # a run that says nothing of it has no tie that anybody knows
    policy("other", ties=[])
    assert kindling(*evaluate("other"), "--dry-run", "--json").answer["judges"] == {"embedded": ["other"]}
    policy("torn", ties=[("embedded", "chose its texts")])
    record = orjson.loads((files / "torn/run.json").read_bytes())
    write_json(files / "torn/run.json", record | {"ties": [{"judge": "embedded"}]})
    refused(kindling(*evaluate("torn")), "torn: run.json: ties")


def test_who_writes_is_no_independent_judge_of_it(kindling, files):
    with serve() as server:
        project(files, server)
        done = kindling(*evaluate("own=endpoint:scripted/judge", "llm", judge="llm"), "--dry-run", "--json")
    assert done.answer["judges"] == {"llm": ["llm"]}


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ((), "no model"),
        (("nowhere",), "nowhere: no such model"),
        (("./no/such/folder",), "no such model"),
        (("missing.jsonl",), "missing.jsonl: no such file"),
        (("endpoint:none/model",), "endpoint:none/model: write endpoint:NAME/MODEL"),
        (("texts.jsonl", "file:texts.jsonl"), "two models are called 'texts'"),
        (("llm",), "kindling.toml"),
    ],
)
def test_a_model_that_is_none_is_refused(kindling, files, models, says):
    refused(kindling(*evaluate(*models)), says)
    assert not (files / "run").exists()


def test_a_folder_that_holds_no_whole_model_is_refused(kindling, files, policy):
    (files / "empty").mkdir()
    refused(kindling(*evaluate("empty")), "empty: no model (config.json)")
    folder = files / policy("grpo") / "model"
    write_json(folder / "tokenizer_config.json", {})
    refused(kindling(*evaluate("grpo")), "no chat template")
    (folder / "tokenizer_config.json").unlink()
    refused(kindling(*evaluate("grpo")), "no tokenizer")
    (files / "unfinished").mkdir()
    write_json(files / "unfinished/run.json", {"command": "train sft", "settings": {}})
    refused(kindling(*evaluate("unfinished")), "unfinished: this run holds no model")


def test_a_run_of_a_newer_version_is_refused(kindling, files, policy):
    refused(kindling(*evaluate(policy("newer", newer=True))), "format 99")
    assert kindling(*evaluate("texts.jsonl")).status == 0
    record = orjson.loads((files / "run/run.json").read_bytes())
    assert record["versions"]["kindling"] == __version__
    write_json(files / "run/run.json", record | {"format": 99})
    refused(kindling(*evaluate("texts.jsonl"), "--resume"), "format 99")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no rows"),
        ([{"query": "别的", "response": "文"}], "does not match the queries"),
        ([{"query": "别的"}], "no column 'response'"),
        ([{"query": 7, "response": "文"}], "row 1: query and response must be text"),
    ],
)
def test_responses_that_do_not_match_are_refused(kindling, files, rows, says):
    write_jsonl(files / "bad.jsonl", rows)
    refused(kindling(*evaluate("bad.jsonl")), "bad.jsonl", says)
    assert not (files / "run").exists()


def test_too_few_responses_for_n_are_refused_with_how_many_there_are(kindling, files):
    refused(kindling(*evaluate("texts.jsonl"), "-n", "2"), f"too few responses to {COUNT} of {COUNT}", "--n asks for 2")


def test_cut_off_and_blank_responses_are_failures(kindling, files):
    rows = rows_of(files / "texts.jsonl")
    rows[0]["response"], rows[1]["finished"] = " ", False
    write_jsonl(files / "texts.jsonl", rows)
    assert kindling(*evaluate("texts.jsonl")).status == 0
    found = load_scorecard(files / "run/scorecard.json").card("texts").texts
    assert (found.empty, found.cut_off, found.whole) == (1, 1, COUNT - 2)


def test_missing_options_are_one_line(kindling, files):
    refused(kindling("eval", "embedded", "--out", "run"), "--queries FILE is missing")
    refused(kindling("eval", "embedded", "--queries", "queries.txt"), "--out RUN is missing")
    (files / "blank.txt").write_text("\n\n", encoding="utf-8")
    refused(kindling("eval", "embedded", "--queries", "blank.txt", "--out", "run"), "no queries in column")


def test_verdicts_of_another_version_are_refused(kindling, files):
    assert kindling(*evaluate("texts.jsonl")).status == 0
    with (files / "run/verdicts.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"judge":"embedded","colour":"red"}\n')
    refused(kindling(*evaluate("texts.jsonl"), "--resume"), f"verdicts.jsonl: line {COUNT + 1}")


def better(place):
    """A comparer that always prefers what stands at `place`."""
    return lambda prompt: orjson.dumps({"reason": "理由", "better": place}).decode()


def longer(prompt):
    """A comparer that always prefers the longer text, wherever it stands."""
    first, second = (block.split("\n")[1] for block in (prompt.split("<<<第一条")[1], prompt.split("<<<第二条")[1]))
    return orjson.dumps({"reason": "理由", "better": "first" if len(first) > len(second) else "second"}).decode()


def compared(kindling, files, answer, *more):
    """The one comparison in pairs of two files of texts, of which `long` has the longer ones; and the calls it took."""
    rows = rows_of(files / "texts.jsonl")
    write_jsonl(files / "long.jsonl", [{**row, "response": f"{row['response']}，岁岁如今"} for row in rows])
    with serve(answers={"judge": answer}) as server:
        project(files, server, roles=("judge",))
        command = (*evaluate("texts.jsonl", "long.jsonl"), "--compare", *more)
        done = kindling(*command)
        assert done.status == 0, done.err
        calls = answered(server)
        assert kindling(*command, "--resume").status == 0
        assert answered(server) == calls
    found = load_scorecard(files / "run/scorecard.json")
    return next(one for one in found.comparisons if one.judge == "llm, in pairs"), calls, done


@pytest.mark.parametrize("place", ["first", "second"])
def test_a_comparer_that_prefers_a_place_prefers_no_model(kindling, files, place):
    found, calls, _ = compared(kindling, files, better(place))
    assert (found.wins, found.ties, found.losses, calls) == (0, COUNT, 0, 2 * COUNT)
    assert found.order == f"asked in both orders: {COUNT} turned with it, and are ties"
    assert (found.win_rate.value, found.apart, found.difference.value) == (0.5, False, None)


def test_a_comparer_that_prefers_a_text_wins_in_both_orders(kindling, files):
    found, _, done = compared(kindling, files, longer)
    assert (found.one, found.other) == ("texts", "long")
    assert (found.wins, found.ties, found.losses) == (0, 0, COUNT)
    assert found.p == pytest.approx(2 / 2**COUNT)
    assert "long is preferred to texts on these 8 queries by llm, in pairs (win rate 100.0 % [" in done.out


def test_a_comparer_that_cannot_be_read_prefers_nobody(kindling, files):
    rows = rows_of(files / "texts.jsonl")
    write_jsonl(files / "long.jsonl", [{**row, "response": f"{row['response']}，岁岁如今"} for row in rows])
    with serve(answers={"judge": lambda _: "no answer"}) as server:
        project(files, server, roles=("judge",))
        assert kindling(*evaluate("texts.jsonl", "long.jsonl"), "--compare").status == 0
    found = load_scorecard(files / "run/scorecard.json")
    assert [one.judge for one in found.comparisons] == ["embedded"]
    lines = rows_of(files / "run/preferences.jsonl")
    assert len(lines) == COUNT
    assert all(one["preference"]["unscored"] for one in lines)


def test_equal_texts_are_a_tie_without_a_call_and_a_dry_run_counts_both_orders(kindling, files):
    with serve(answers={"judge": better("first")}) as server:
        project(files, server, roles=("judge",))
        command = (*evaluate("texts.jsonl", "same=texts.jsonl"), "--compare")
        assert kindling(*command, "--dry-run", "--json").answer["calls"] == {"llm, in pairs judge": 2 * COUNT}
        assert kindling(*command).status == 0
        assert answered(server) == 0
    found = load_scorecard(files / "run/scorecard.json")
    (duel,) = (one for one in found.comparisons if one.judge == "llm, in pairs")
    assert (duel.ties, duel.p) == (COUNT, 1.0)


def test_comparing_takes_a_model(kindling, files):
    refused(kindling(*evaluate("texts.jsonl"), "--compare"), "[roles.judge]")
