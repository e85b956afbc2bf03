"""`kindling prompts` as a user runs it: what it prints, where it points, and the exit status."""

import re
import shlex
import sys
from pathlib import Path

import orjson
import pytest

from kindling.cli import main
from kindling.prompts.roles import ROLES as SPECS
from kindling.prompts.sandbox import FILTERS, TESTS
from kindling.prompts.taskpack import load_pack

PRINCIPLED = ["judge", "reflector", "comparer", "explainer", "optimizer"]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run `kindling ARGUMENTS` in an empty folder; gives exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["kindling", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture
def mine(run, monkeypatch, tmp_path):
    """A fresh project folder, with the user in it."""
    assert run("init", "mine")[0] == 0
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine" / "prompts" / "greetings"


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def line_of(path, words):
    return next(n for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if words in line)


# ---- list


def test_list_shows_every_role_with_its_hash(run):
    status, out, err = run("prompts", "list")
    assert (status, err) == (0, "")
    assert out.startswith("greetings: 中文祝福语\n")
    rows = orjson.loads(run("prompts", "list", "--json")[1])
    assert [row["role"] for row in rows] == list(SPECS)
    assert all(row["changed"] == [] and row["hash"] in out for row in rows)


def test_list_names_the_files_that_changed_and_only_their_roles(run, mine):
    before = orjson.loads(run("prompts", "list", "--json")[1])
    edit(mine / "principles.j2", "祝福里没有错误", "祝福里绝没有错误")
    edit(mine / "tactics.j2", "语气错一档", "语气错几档")
    after = orjson.loads(run("prompts", "list", "--json")[1])
    changed = [new["role"] for old, new in zip(before, after, strict=True) if old["hash"] != new["hash"]]
    assert sorted(changed) == sorted([*PRINCIPLED, "forger", "tactician"])
    assert {row["role"]: row["changed"] for row in after if row["changed"]} == {
        role: ["principles.j2" if role in PRINCIPLED else "tactics.j2"] for role in changed
    }
    assert all(row["file"] == f"prompts/greetings/{row['role']}.j2" for row in after)


# ---- show


def test_show_prints_the_file_and_what_it_includes(run, mine):
    status, out, err = run("prompts", "show", "judge")
    judge, principles = (mine / name for name in ("judge.j2", "principles.j2"))
    assert (status, err) == (0, "")
    assert out == "".join(
        f"==> prompts/greetings/{path.name} <==\n{path.read_text(encoding='utf-8')}\n" for path in (judge, principles)
    )


@pytest.mark.parametrize("name", ["principles", "tactics", "principles_weak"])
def test_show_prints_a_list_of_rules(run, name):
    status, out, err = run("prompts", "show", name)
    file = load_pack("greetings").file(f"{name}.j2")
    assert (status, err) == (0, "")
    assert out == f"==> {file} <==\n{file.read_text(encoding='utf-8')}\n"


def test_show_works_on_a_template_that_is_broken(run, mine):
    (mine / "judge.j2").write_text("{% block", encoding="utf-8")
    assert run("prompts", "show", "judge")[:2] == (0, "==> prompts/greetings/judge.j2 <==\n{% block\n")


# ---- render


def test_render_prints_what_the_model_would_get(run):
    status, out, err = run(
        "prompts", "render", "judge", "--query", "送老师八个字<|im_start|>", "--response", "春风化雨，桃李满园。"
    )
    assert (status, err) == (0, "")
    assert out.startswith("==> system <==\n")
    user = out.split("==> user <==\n")[1]
    assert "\n送老师八个字‹|im_start|>\n" in user
    assert "正好8个字" in user
    assert "<|" not in user
    order = [
        user.index(words) for words in ("送老师", "春风化雨", "正好8个字", "正方提出的", "反方提出的", "只输出 JSON")
    ]
    assert order == sorted(order)


def test_render_measures_what_is_asked_of_a_generator(run):
    out = run("prompts", "render", "generator", "--query", "送老师八个字")[1]
    assert "硬性要求：\n- 正好8个字\n" in out


def test_render_takes_any_argument_that_a_shell_may_give(run):
    status, out, err = run("prompts", "render", "positive", "--response", "坏\udcff字\x1b[31m红")
    assert (status, err) == (0, "")
    assert "坏\ufffd字[31m红" in out


# ---- check


def test_check_is_content_with_what_is_shipped_and_with_a_fresh_copy(run, mine, monkeypatch):
    wanted = "greetings: 10 templates and 10 principles, all well\n"
    status, out, err = first = run("prompts", "check")
    assert (status, err) == (0, "")
    assert out.startswith(wanted)
    assert out.count("understood by the embedded judge: yes (") == 10
    monkeypatch.chdir("/")
    assert run("prompts", "check") == first


def test_check_names_file_and_line_of_each_finding_in_the_users_copy(run, mine):
    judge, principles = mine / "judge.j2", mine / "principles.j2"
    edit(judge, "{{ query | fence", "{{ query | shout | fence")
    edit(judge, '{{ response | fence("回复") }}', "{{ response }} {{ mood }}")
    with principles.open("a", encoding="utf-8") as file:
        file.write("十一。\n")
    (mine / "tactics.j2").write_text("一。\n一。\n", encoding="utf-8")
    (mine / "principles_odd.j2").write_text("{# 一条也没有 #}\n", encoding="utf-8")
    status, out, err = run("prompts", "check")
    found = out.splitlines()
    query, response = line_of(judge, "shout"), line_of(judge, "mood")
    assert (status, err) == (1, "")
    assert [line.split(": ")[0] for line in found] == [
        f"prompts/greetings/judge.j2:{query}",
        f"prompts/greetings/judge.j2:{response}",
        f"prompts/greetings/judge.j2:{response}",
        f"prompts/greetings/principles.j2:{line_of(principles, '十一。')}",
        "prompts/greetings/principles_odd.j2:1",
        "prompts/greetings/tactics.j2:2",
    ]
    assert "unknown filter 'shout'" in out
    assert "variable 'mood' is not given to this role" in out
    assert "judged text ('response') is printed without the fence filter" in out
    assert "more than 10 principles: drop or merge one" in out
    assert "no principles: write one a line" in out
    assert "the same tactic as in line 1" in out


def test_check_answers_scripts_in_json(run, mine):
    (mine / "judge.j2").write_text("{{ 1 }", encoding="utf-8")
    status, out, _ = run("prompts", "check", "--json")
    assert (status, orjson.loads(out)) == (
        1,
        [{"file": "prompts/greetings/judge.j2", "line": 1, "message": "unexpected '}'"}],
    )
    (mine / "judge.j2").unlink()
    assert run("prompts", "check", "--json") == (0, "[]\n", "")


def test_a_template_with_a_finding_stops_every_command_before_it_starts(run, mine):
    edit(mine / "judge.j2", '{{ response | fence("回复") }}', "{{ response }}")
    where = f"kindling: prompts/greetings/judge.j2:{line_of(mine / 'judge.j2', '{{ response }}')}: judged text"
    for command in (("prompts", "list"), ("prompts", "render", "judge")):
        status, out, err = run(*command)
        assert (status, out) == (2, "")
        assert err.startswith(where)
        assert err.count("\n") == 1


# ---- diff


def test_diff_is_silent_until_something_differs(run, mine):
    assert run("prompts", "diff") == (0, "", "")
    edit(mine / "principles.j2", "祝福里没有错误", "祝福里绝没有错误")
    status, out, err = run("prompts", "diff")
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert lines[:2] == ["--- shipped/principles.j2", "+++ prompts/greetings/principles.j2"]
    assert [line[:9] for line in lines if line[0] in "-+"][2:] == ["-祝福里没有错误：", "+祝福里绝没有错误"]
    assert run("prompts", "diff", "principles")[1] == out
    assert run("prompts", "diff", "judge") == (0, "", "")


def test_diff_shows_a_file_of_the_users_own_and_one_without_a_last_newline(run, mine):
    (mine / "extra.j2").write_text("一\n二", encoding="utf-8")
    assert run("prompts", "diff") == (
        0,
        "--- shipped/extra.j2\n+++ prompts/greetings/extra.j2\n@@ -0,0 +1,2 @@\n+一\n+二\n",
        "",
    )


# ---- bad input


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("show", "jury"), "unknown role 'jury'; there are generator, positive, negative, judge, reflector"),
        (("render", "jury"), "unknown role 'jury'; there are generator, positive, negative, judge, reflector"),
        (("render", "generator", "--response", "x"), "role generator is given no response; leave --response out"),
        (("list", "--task", "limericks"), "no task pack 'limericks'; there are greetings, slogans"),
        (("check", "--task", "../greetings"), "no task pack '../greetings'; there are greetings, slogans"),
        (("show", "judge", "--config", "nothing.toml"), "nothing.toml: cannot be read: "),
        (("show", "principles_none"), "task pack 'greetings' has no principles_none.j2 (looked in "),
        (("diff", "jury"), "task pack 'greetings' has no jury.j2 (looked in "),
        (("diff", "../greetings/judge"), "task pack 'greetings' has no ../greetings/judge.j2 (looked in "),
    ],
)
def test_bad_input_is_one_line_and_exit_status_two(run, command, message):
    status, out, err = run("prompts", *command)
    assert (status, out) == (2, "")
    assert err.startswith(f"kindling: {message}")
    assert err.count("\n") == 1


def test_a_text_too_long_for_a_prompt_is_one_line(run):
    status, out, err = run("prompts", "render", "judge", "--response", "长" * 20_001)
    assert (status, out) == (1, "")
    assert err == "kindling: response: 20,001 characters; a prompt takes at most 20,000\n"


def test_a_template_in_another_encoding_is_one_line(run, mine):
    (mine / "judge.j2").write_bytes("{% block system %}\n你好".encode("gb18030"))
    for command in (("list",), ("diff",), ("render", "judge"), ("show", "judge")):
        status, out, err = run("prompts", *command)
        assert (status, out, err) in (
            (2, "", "kindling: prompts/greetings/judge.j2:2: not UTF-8\n"),
            (0, "", ""),  # there is nothing to show
        )
    assert run("prompts", "check") == (1, "prompts/greetings/judge.j2:2: not UTF-8\n", "")


def test_every_command_in_the_docs_runs(run, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text(encoding="utf-8")
    commands = [
        shlex.split(line, comments=True) for line in re.search("```sh\n(.*?)```", page, re.DOTALL)[1].splitlines()
    ]
    assert len(commands) == 7
    for program, *arguments in commands:
        if program == "cd":
            monkeypatch.chdir(arguments[0])
        else:
            status, _, err = run(*arguments)
            assert (status, err) == (0, ""), arguments


def test_the_template_in_the_docs_passes_the_check_but_for_what_it_leaves_out(run, mine):
    page = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text(encoding="utf-8")
    (mine / "judge.j2").write_text(re.search("```jinja\n(.*?)```", page, re.DOTALL)[1], encoding="utf-8")
    assert run("prompts", "check")[1].splitlines() == [
        f"prompts/greetings/judge.j2:1: variable {name!r} is never used, but this role cannot do without it"
        for name in ("flaws", "response")
    ]


def test_the_docs_name_every_variable_filter_and_test():
    page = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text(encoding="utf-8")
    for role, spec in SPECS.items():
        row = re.search(rf"^\| `{role}\.j2` \|.*\| (.*) \|$", page, re.MULTILINE)[1]
        given = [f"*{one.name}*" if one.untrusted else one.name for one in spec.variables]
        assert row.split(", ") == given
    for names in (FILTERS, TESTS):
        assert " ".join(sorted(names)) in " ".join(page.split())
