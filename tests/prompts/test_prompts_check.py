"""`check` names what is wrong with the right file and line, in the shipped words of each rule."""

import pytest

from kindling.errors import TemplateError
from kindling.prompts.check import check_role
from kindling.prompts.taskpack import load_pack
from tests.prompts.packs import SNIPPET_LINE, USER, Project

PRINCIPLES = [f"原则{number}，各不相同。" for number in "一二三四五六七八九十"]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "greetings")


def edited(old, new):
    assert old in USER["judge"]
    return USER["judge"].replace(old, new).replace("SNIPPET", "x")


@pytest.mark.parametrize(
    ("snippet", "message"),
    [
        ("{{ reason }}", "variable 'reason' is not given to this role (given: query, response, facts,"),
        ("{{ 'x' | shout }}", "unknown filter 'shout'; there are capitalize, count, default, fence, first, join,"),
        ("{% if facts is iterable %}{% endif %}", "unknown test 'iterable'; there are defined, divisibleby, even,"),
        ("{{ response }}", "judged text ('response') is printed without the fence filter: write {{ … | fence("),
        ("{{ merits[0].reason | upper }}", "filter 'upper' would open judged text ('merits'); only fence may"),
        ("{{ response | fence }}", 'fence takes one literal label: fence("label")'),
        ("{{ response | fence('a>') }}", "a fence's label is one short line without angle brackets, not 'a>'"),
        ("{% include 'nothing.j2' %}", "task pack 'greetings' has no nothing.j2 (looked in "),
        ("{% include 'judge.j2' %}", "a file cannot include itself: judge.j2 → judge.j2"),
        ("{% macro m() %}{% endmacro %}", "macro is not part of the language of prompts"),
        ("{% import 'principles.j2' as p %}", "import is not part of the language of prompts"),
        ("{{ query ~ 'x' }}", "'~' is not part of the language of prompts"),
        ("{% for a in facts %}{% for b in facts %}{% endfor %}{% endfor %}", "a loop inside a loop is not part of"),
        ("{% for a in facts %}{% include 'principles.j2' %}{% endfor %}", "include inside a loop: write it out,"),
        ("{{ facts[0].nothing }}", "'dict object' has no attribute 'nothing'"),
        ("{{ facts }}", "a list cannot be printed: print its fields, or ask with if"),
        ("{{ debated }}", "a bool cannot be printed: print its fields, or ask with if"),
        ("{{ 1 }", "unexpected '}'"),
        ("{% if debated %}", "Encountered unknown tag 'endblock'. You probably made a nesting mistake."),
        ("{% nonsense %}", "Encountered unknown tag 'nonsense'."),
    ],
)
def test_a_finding_has_its_line_and_says_what_to_mend(project, snippet, message):
    project.judge(f"\n\n{snippet}")
    findings = project.findings()
    assert len(findings) == 1
    name, line, said = findings[0]
    # an unclosed block is only noticed at the end of the one around it
    assert (name, line) == ("judge.j2", SNIPPET_LINE + 2 + (snippet == "{% if debated %}"))
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{{ response | fence(\"response\") }}\n", "", "variable 'response' is never used, but this role cannot do"),
        ('{% include "principles.j2" +%}', "", 'does not include principles.j2: write {% include "principles.j2" %}'),
        ("block system", "block sytem", "no block 'system': a role's template has the blocks system and user"),
    ],
)  # fmt: skip
def test_what_is_missing_is_found_at_the_head_of_the_file(project, old, new, message):
    project.write("judge.j2", edited(old, new))
    assert [one for one in project.findings() if one[1] == 1 and one[2].startswith(message)]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("Judge by these:", "Judge {{ label }}:", 2, "variable 'label' is not given"),
        (
            "Judge by these:",
            "Judge {{ query | fence('q') }}:",
            2,
            "the system block is the same for every case: use 'q",
        ),
        (
            "Judge by these:",
            "{% if debated %}Judge{% endif %}",
            2,
            "the system block is the same for every case: use 'd",
        ),
        ("{% block user %}", "\n\nlost words\n{% block user %}", 7, "outside the blocks, so it is never sent"),
        ("{% block user %}", "{% set x = 1 %}\n{% block user %}", 5, "outside the blocks, so it is never sent"),
        ("{% block user %}", "{% block extra %}{% endblock %}{% block user %}", 5, "block 'extra' is never sent;"),
        ("{% block user %}", "{% block user %}{% block inner %}{% endblock %}", 5, "block is not part of the language"),
        ("{% block user %}", "{% block user %}{% endblock %}{% block user %}", 5, "block 'user' defined twice"),
        ("{% block user %}", "{% extends 'judge.j2' %}{% block user %}", 5, "outside the blocks, so it is never sent"),
    ],
)
def test_blocks_are_kept_apart(project, old, new, line, message):
    project.write("judge.j2", edited(old, new))
    findings = project.findings()
    assert [(name, at) for name, at, said in findings if said.startswith(message)] == [("judge.j2", line)]


def test_several_findings_come_in_order_and_each_once(project):
    project.judge("{{ a }}{{ response }}\n{{ b }}{{ b }}")
    project.write("principles.j2", "同一条\n同一条\n")
    assert [(name, line) for name, line, _ in project.findings()] == [
        ("judge.j2", SNIPPET_LINE),
        ("judge.j2", SNIPPET_LINE),
        ("judge.j2", SNIPPET_LINE + 1),
        ("principles.j2", 2),
    ]


def test_a_finding_in_an_included_file_is_named_there(project):
    project.judge("{% include 'part.j2' %}")
    project.write("part.j2", "fine\n\n{{ response }}\n{{ x | nothing }}\n")
    assert [(name, line) for name, line, _ in project.findings()] == [("part.j2", 3), ("part.j2", 4), ("part.j2", 4)]


def test_an_included_file_sees_the_roles_variables_and_no_others(project):
    project.judge("{% set x = response %}\n{% include 'part.j2' %}")
    project.write("part.j2", "{{ x }}")
    assert project.findings()[0][:2] == ("part.j2", 1)
    project.write("part.j2", "{{ response | fence('again') }}")
    assert project.findings() == []


def test_a_file_that_is_fine_for_one_role_may_be_wrong_for_another(project):
    project.judge("{% include 'part.j2' %}")
    project.write("part.j2", "{% if debated %}heard{% endif %}")
    assert project.findings() == []
    project.write("judge.j2", edited("Judge by these:", "{% include 'part.j2' %}"))
    assert [(name, line) for name, line, _ in project.findings()] == [("part.j2", 1)]


# ---- circles of includes, and bombs made of them


def test_a_circle_of_includes_is_one_clear_line(project):
    project.judge("{% include 'one.j2' %}")
    project.write("one.j2", "x\n{% include 'two.j2' %}")
    path = project.write("two.j2", "x\nx\n{% include 'one.j2' %}")
    assert project.findings() == [("two.j2", 3, "a file cannot include itself: one.j2 → two.j2 → one.j2")]
    with pytest.raises(TemplateError) as refusal:
        project.pack().prompt("judge")
    assert str(refusal.value) == f"{path}:3: a file cannot include itself: one.j2 → two.j2 → one.j2"


def test_includes_that_double_at_each_step_are_stopped(project):
    project.judge("{% include 'p0.j2' %}")
    for step in range(30):
        project.write(f"p{step}.j2", f"{{% include 'p{step + 1}.j2' %}}" * 2)
    project.write("p30.j2", "x")
    findings = project.findings()
    assert findings
    assert {message for _, _, message in findings} == {"more than 50 includes in one prompt"}


def test_a_long_chain_of_includes_is_no_recursion_error(project):
    project.judge("{% include 'p0.j2' %}")
    for step in range(300):
        project.write(f"p{step}.j2", f"{{% include 'p{step + 1}.j2' %}}")
    project.write("p300.j2", "x")
    assert ("p48.j2", 1, "more than 50 includes in one prompt") in project.findings()  # the first is the principles'


# ---- principles


def test_the_eleventh_principle_is_named_with_its_line(project):
    project.write("principles.j2", "{# two\nlines -#}\n\n" + "\n".join([*PRINCIPLES, "第十一条。"]) + "\n")
    assert project.findings() == [("principles.j2", 14, "more than 10 principles: drop or merge one")]


def test_ten_are_allowed_whatever_stands_between_them(project):
    text = "{# 说明 #}\n\n" + "\n\n{# 隔开 #}\n".join(f"{n}. {one}" for n, one in enumerate(PRINCIPLES, 1)) + "\n\n"
    project.write("principles.j2", text)
    assert project.findings() == []
    assert project.pack().principles() == tuple(PRINCIPLES)


@pytest.mark.parametrize(
    ("line", "principle"),
    [
        ("3、说真话", "说真话"),
        ("10) Be kind", "Be kind"),
        ("  2.  x  ", "x"),
        ("3.5 分以上才算好", "3.5 分以上才算好"),
        ("2025 年的祝福", "2025 年的祝福"),
        ("说 {# 小声 #}真话", "说 真话"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
    ],
)
def test_numbering_and_comments_are_no_part_of_a_principle(project, line, principle):
    project.write("principles.j2", f"别的。\n{line}\n")
    assert project.pack().principles() == ("别的。", principle)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "no principles: write one a line"),
        ("{# 空 #}\n\n", 1, "no principles: write one a line"),
        ("一\n二\n\n一\n", 4, "the same principle as in line 1"),
        ("一\n1. 二\n2. 二\n", 3, "the same principle as in line 2"),
        ("一\n{{ query | fence('q') }}\n", 2, "principles are plain text, without template syntax but comments"),
        ("一\n{% if x %}二{% endif %}\n", 2, "principles are plain text, without template syntax but comments"),
        ("一\n{% include 'more.j2' %}\n", 2, "principles are plain text, without template syntax but comments"),
    ],
)
def test_principles_that_are_none(project, text, line, message):
    path = project.write("principles.j2", text)
    assert ("principles.j2", line, message) in project.findings()
    for use in (project.pack().principles, lambda: project.pack().prompt("judge")):
        with pytest.raises(TemplateError) as refusal:
            use()
        assert str(refusal.value).startswith(f"{path}:")


# ---- files


def test_a_file_that_no_role_uses_is_probably_misspelt(project):
    project.write("jugde.j2", "x")
    assert project.findings() == [("jugde.j2", 1, "no role uses this file: is its name right?")]


def test_bytes_that_are_no_utf8_are_found_in_their_line(project):
    (project.folder / "judge.j2").write_bytes("一\n二\n".encode() + b"\xff\n")
    assert project.findings() == [("judge.j2", 3, "not UTF-8")]


def test_a_folder_in_a_files_place_is_not_taken_for_one(project):
    (project.folder / "judge.j2").mkdir()
    assert check_role(project.pack(), "judge") == []


def test_a_colon_in_the_path_confuses_nobody(tmp_path):
    project = Project(tmp_path / "a:7: b" / "greetings")
    project.judge("{{ response }}")
    assert project.findings()[0][:2] == ("judge.j2", SNIPPET_LINE)


def test_an_unknown_role_is_one_line():
    with pytest.raises(
        TemplateError, match=r"unknown role 'jury'; there are generator, positive, negative, judge, ref"
    ):
        check_role(load_pack("greetings"), "jury")
