"""`kindling curate` with every role on a server: which calls are made, what they cost, what changes them.

Counts are the server's own, never the client's.
"""

from collections import Counter

import orjson
import pytest

from tests.cli.running import project, queries, rows_of, serve

ROLES = ("strong", "weak", "positive", "negative", "judge", "reflector")
PAIRS = "run/pairs.jsonl"


def record_of(folder):
    return orjson.loads((folder / "run.json").read_bytes())


def test_the_dry_run_counts_the_calls_that_a_run_makes_and_writes_nothing(kindling, tmp_path):
    with serve() as server:
        project(tmp_path, server)
        command = ("curate", queries(tmp_path, 4), "--candidates", 3, "--out", "run", "--set", "roles.judge.votes=3")
        before = sorted(tmp_path.iterdir())
        planned = kindling(*command, "--dry-run", "--json").answer
        assert "nothing was run" in kindling(*command, "--dry-run").out
        assert sorted(tmp_path.iterdir()) == before
        assert server.stats()["requests"] == 0
        report = kindling(*command, "--json").answer
        made = server.stats()
    judged = [one for row in rows_of(tmp_path / "run/records.jsonl") for one in row["judgements"]]
    assert len({one["candidate"]["text"] for one in judged}) == len(judged), "equal candidates are judged once"
    assert {role.removeprefix("generator_"): n for role, n in planned["calls"].items()} == made["roles"]
    assert made["roles"] == {"strong": 8, "weak": 4, "positive": 12, "negative": 12, "judge": 36, "reflector": 12}
    assert report["calls"] == made["requests"] == sum(planned["calls"].values())
    assert report["cost"] == pytest.approx(sum(role["cost"] for role in report["roles"]))
    assert all(len(one["first"]["votes"]) == 3 for one in judged)


def test_the_cost_is_what_the_endpoint_counted_at_the_prices_given(kindling, tmp_path):
    with serve() as server:
        project(tmp_path, server)
        report = kindling("curate", queries(tmp_path, 2), "--candidates", 2, "--out", "run", "--json").answer
    tokens = Counter()
    for role in report["roles"]:
        tokens["in"] += role["prompt_tokens"]
        tokens["out"] += role["completion_tokens"]
    assert tokens["in"] > 0 < tokens["out"]
    assert report["cost"] == pytest.approx((1.0 * tokens["in"] + 2.0 * tokens["out"]) / 1e6)


def test_a_finished_run_asks_for_nothing_when_it_is_resumed(kindling, tmp_path):
    with serve() as server:
        project(tmp_path, server)
        command = ("curate", queries(tmp_path, 3), "--candidates", 2, "--out", "run", "--json")
        first = kindling(*command).answer
        asked, pairs = server.stats(), (tmp_path / PAIRS).read_bytes()
        again = kindling(*command, "--resume").answer
        assert server.stats() == asked
    assert (tmp_path / PAIRS).read_bytes() == pairs
    assert (again["rows"], again["calls"]) == (first["rows"], first["calls"])
    assert again["cost"] == pytest.approx(first["cost"])
    assert again["rows_per_s"] == 0, "finished rows were worked on again"


@pytest.mark.parametrize(
    ("template", "again", "kept"),
    [
        ("principles", {"judge", "reflector"}, {"strong", "weak", "positive", "negative"}),
        ("negative", {"negative", "judge", "reflector"}, {"strong", "weak", "positive"}),
        ("generator", set(ROLES), set()),
    ],
)
def test_an_edited_template_runs_only_what_depends_on_it_again(kindling, tmp_path, template, again, kept):
    with serve() as server:
        assert kindling("init", "mine").status == 0
        project(tmp_path / "mine", server)
        command = ("curate", queries(tmp_path, 3), "--config", "mine/kindling.toml", "--candidates", 2, "--out", "run")
        assert kindling(*command).status == 0
        before = Counter(server.stats()["roles"])
        file = tmp_path / f"mine/prompts/greetings/{template}.j2"
        text = file.read_text(encoding="utf-8")
        old = "\n" if template == "principles" else "{% block system %}"
        assert old in text
        added = "像当面说的话：" if template == "principles" else "像当面说的话。\n"
        file.write_text(text.replace(old, old + added, 1), encoding="utf-8")
        done = kindling(*command, "--resume")
        more = Counter(server.stats()["roles"]) - before
        assert server.stats()["repeated"] == 0
    assert done.status == 0, done.err
    changed = {"strong": "generator_strong", "weak": "generator_weak"}
    assert set(more) == again
    if template != "generator":
        # a critic that finds the same again leaves the judge's prompt as it was, and its answer paid
        named = {"judge", "reflector"} if template == "principles" else {template}
        assert {role: more[role] for role in named} == {role: before[role] for role in named}
        assert all(more[role] <= before[role] for role in again)
        assert not kept & set(more)
    else:
        named = set(changed.values())
    (line,) = [line for line in done.err.splitlines() if "templates changed" in line]
    assert all(role in line for role in named)
    (event,) = [one for one in rows_of(tmp_path / "run/events.jsonl") if one["event"] == "templates_changed"]
    assert set(event["roles"]) == named
    assert record_of(tmp_path / "run")["status"] == "finished"


def test_max_calls_is_exact_and_a_larger_one_goes_on(kindling, tmp_path):
    with serve() as alone:
        project(tmp_path, alone)
        command = ("curate", queries(tmp_path, 8), "--candidates", 2, "--json")
        whole = kindling(*command, "--out", "whole").answer
    with serve() as server:
        project(tmp_path, server)
        # the run belongs to its endpoint, whose port changed: so this one is another run
        command = (*command, "--out", "run")
        for limit in (0, 1, 17):
            report = kindling(*command, "--max-calls", limit, "--resume").answer
            assert server.stats()["requests"] == report["calls"] == limit
            assert sum(report["rows"].values()) == 8
            assert report["rows"]["pending"] >= 1
            assert {one["reason"] for one in report["reasons"] if one["status"] == "pending"} == {"budget"}
            assert len(rows_of(tmp_path / "run/records.jsonl")) == 8 - report["rows"]["pending"]
        report = kindling(*command, "--resume").answer
        assert server.stats()["requests"] == report["calls"] == whole["calls"]
    assert report["rows"] == whole["rows"]
    assert (tmp_path / PAIRS).read_bytes() == (tmp_path / "whole/pairs.jsonl").read_bytes()


def test_max_cost_ends_a_run_at_that_cost(kindling, tmp_path):
    with serve() as server:
        project(tmp_path, server, "max_in_flight = 4")
        command = ("curate", queries(tmp_path, 10), "--candidates", 2, "--out", "run", "--json")
        report = kindling(*command, "--max-cost", 0.02).answer
        one_call = report["cost"] / report["calls"]
        # the limit may be passed by the errors of the estimates in flight, and by no more
        assert 0.02 - 20 * one_call < report["cost"] < 0.02 + 4 * one_call
        assert report["rows"]["pending"] > 0
        assert sum(report["rows"].values()) == 10
        again = kindling(*command, "--max-cost", 0.03, "--resume").answer
        assert report["cost"] < again["cost"] < 0.03 + 4 * one_call
        done = kindling(*command, "--resume").answer
        assert server.stats()["repeated"] == 0
    assert "pending" not in done["rows"]


def test_max_minutes_ends_a_run_in_time(kindling, tmp_path):
    with serve(latency_s=0.15) as server:
        project(tmp_path, server, "max_in_flight = 2")
        command = ("curate", queries(tmp_path, 20), "--candidates", 2, "--out", "run", "--json")
        report = kindling(*command, "--max-minutes", 0.02).answer
        server.script = type(server.script)()
        assert 1 < report["work_s"] < 5
        assert report["rows"]["pending"] > 0
        assert sum(report["rows"].values()) == 20
        assert kindling(*command, "--resume").answer["rows"].get("pending", 0) == 0
        assert server.stats()["repeated"] == 0


def test_accept_counts_the_first_pairs_whichever_rows_finish_first(kindling, tmp_path):
    file = queries(tmp_path, 24)
    made = []
    for name, script in (("even", {}), ("uneven", {"faults": {"429": 0.4}, "retry_after": "0.01"})):
        with serve(**script) as server:
            project(tmp_path, server, "retries = 20")
            command = ("curate", file, "--candidates", 2, "--out", name, "--json")
            report = kindling(*command, "--accept", 5).answer
            assert report["rows"]["accepted"] == report["pairs"] == 5
            assert sum(report["rows"].values()) == 24
            assert {one["reason"] for one in report["reasons"] if one["status"] == "pending"} == {"not_needed"}
            made.append([(tmp_path / name / f"{one}.jsonl").read_bytes() for one in ("pairs", "sft", "records")])
            if name == "even":
                asked = server.stats()["requests"]
                more = kindling(*command, "--accept", 7, "--resume").answer
                assert more["pairs"] == 7
                assert server.stats()["requests"] > asked
                assert server.stats()["repeated"] == 0
                first = rows_of(tmp_path / name / "pairs.jsonl")[:5]
    finished = [line["outcome"]["query"]["row"] for line in rows_of(tmp_path / "uneven/journal.jsonl")]
    assert finished != sorted(finished), "the rows finished in input order, so this test shows nothing"
    assert made[0] == made[1]
    assert made[0][0].splitlines() == [orjson.dumps(row) for row in first]


def test_accept_more_than_there_is_ends_with_the_file(kindling, tmp_path):
    with serve() as server:
        project(tmp_path, server)
        report = kindling("curate", queries(tmp_path, 4), "--accept", 50, "--out", "run", "--json").answer
    assert "pending" not in report["rows"]
    assert sum(report["rows"].values()) == 4


def test_responses_of_a_file_are_judged_and_paired(kindling, tmp_path):
    asked = queries(tmp_path, 3).read_text(encoding="utf-8").splitlines()
    answers = tmp_path / "answers.csv"
    lines = [f"{query},清风徐来{place}号 {'灯火可亲 ' * place}" for query in asked[:2] for place in range(4)]
    answers.write_text("\n".join(["query,response", *lines]) + "\n", encoding="utf-8")
    with serve() as server:
        project(tmp_path, server)
        command = ("curate", tmp_path / "queries.txt", "--source", f"file:{answers}", "--out", "run", "--json")
        report = kindling(*command).answer
        roles = server.stats()["roles"]
    assert not {"strong", "weak"} & set(roles)
    assert (roles["positive"], roles["judge"]) == (8, 8)
    assert report["rows"]["failed"] == 1
    records = rows_of(tmp_path / "run/records.jsonl")
    assert records[2]["reason"] == "no_candidates"
    assert "answers.csv has 0 responses" in records[2]["detail"]
    assert [one["candidate"]["text"] for one in records[0]["judgements"]] == [
        f"清风徐来{place}号 {'灯火可亲 ' * place}" for place in range(4)
    ]


def test_changed_responses_are_another_run(kindling, tmp_path):
    asked = queries(tmp_path, 1).read_text(encoding="utf-8").strip()
    answers = tmp_path / "answers.csv"
    command = ("curate", tmp_path / "queries.txt", "--source", f"file:{answers}", "--out", "run", "--candidates", 1)
    answers.write_text(f"query,response\n{asked},清风徐来\n", encoding="utf-8")
    assert kindling(*command).status == 0
    answers.write_text(f"query,response\n{asked},灯火可亲\n", encoding="utf-8")
    done = kindling(*command, "--resume")
    assert done.status == 2
    assert "source.sha256" in done.err


@pytest.mark.parametrize(
    ("judge", "roles"),
    [
        ("llm", {"strong", "weak", "judge"}),
        ("embedded", {"strong", "weak"}),
        ("debate", set(ROLES)),
    ],
)
def test_who_judges_decides_who_is_asked(kindling, tmp_path, judge, roles):
    with serve() as server:
        project(tmp_path, server)
        file = queries(tmp_path, 3)
        report = kindling("curate", file, "--candidates", 2, "--judge", judge, "--out", "run", "--json").answer
        assert set(server.stats()["roles"]) == roles
    judged = [one for row in rows_of(tmp_path / "run/records.jsonl") for one in row["judgements"]]
    assert all(len(one["critiques"]) == (2 if judge == "debate" else 0) for one in judged)
    assert set(report["players"]) == {"generator_strong", "generator_weak", "judge"} | (
        {"positive", "negative", "reflector"} if judge == "debate" else set()
    )


def test_embedded_and_paid_roles_play_together(kindling, tmp_path):
    with serve() as server:
        project(tmp_path, server, roles=("judge",))
        report = kindling("curate", queries(tmp_path, 3), "--candidates", 2, "--out", "run", "--json").answer
        assert set(server.stats()["roles"]) == {"judge"}
    assert report["players"]["generator_strong"] == "embedded"
    assert set(record_of(tmp_path / "run")["templates"]) == {"judge", "embedded"}
