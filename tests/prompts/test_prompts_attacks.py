"""Templates that try to print judged text without a fence, to leave the sandbox, or to run for ever.

Each is refused twice: `check` names file and line, and `pack.prompt` raises the same before a run starts.
"""

import time

import jinja2
import pytest

from kindling.errors import TemplateError
from kindling.prompts.roles import role_spec
from tests.prompts.packs import SECRET, SNIPPET_LINE, Project, outside, values

UNFENCED = {
    "plain": "{{ response }}",
    "attribute": "{{ merits[0].reason }}",
    "item": "{{ merits[0]['reason'] }}",
    "concatenation": "{{ '' ~ response }}",
    "addition": "{{ '' + response }}",
    "percent": "{{ '%s' % response }}",
    "percent of a tuple": "{{ '%s %s' % (query, response) }}",
    "format": "{{ '{}'.format(response) }}",
    "format with a field": "{{ '{0._value}'.format(response) }}",
    "join by method": "{{ ','.join([response, query]) }}",
    "split at": "{{ 'a b'.split(response) }}",
    "replace by method": "{{ 'x'.replace('x', response) }}",
    "join filter": "{{ [response] | join }}",
    "join over a field": "{{ merits | join('', attribute='reason') }}",
    "separator": "{{ ['a', 'b'] | join(response) }}",
    "replace filter": "{{ 'x' | replace('x', response) }}",
    "default filter": "{{ nothing | default(response) }}",
    "default of judged": "{{ response | default('') }}",
    "upper": "{{ response | upper }}",
    "first": "{{ merits | first }}",
    "last": "{{ merits | map(attribute='reason') | last }}",
    "sort": "{{ merits | sort(attribute='reason') }}",
    "list": "{{ response | list }}",
    "string": "{{ response | string }}",
    "safe": "{{ response | safe }}",
    "tojson": "{{ merits | tojson }}",
    "pprint": "{{ merits | pprint }}",
    "attr": "{{ response | attr('_value') }}",
    "condition": "{{ response if debated else '' }}",
    "or": "{{ response or '' }}",
    "and": "{{ debated and response }}",
    "set": "{% set x = response %}{{ x }}",
    "set in a branch": "{% if debated %}{% set x = response %}{% endif %}{{ x }}",
    "set again in a branch": "{% set x = response %}{% if query | length == 7 %}{% set x = 'a' %}{% endif %}{{ x }}",
    "set twice": "{% set x = response %}{% set y = x %}{{ y }}",
    "set a tuple": "{% set x, y = 'a', response %}{{ y }}",
    "set block": "{% set x %}{{ response }}{% endset %}{{ x }}",
    "set block that opens a fence": "{% set x %}{{ response | fence('a') }}{% endset %}{{ x[22:-20] }}",
    "namespace": "{% set ns = namespace(x=response) %}{{ ns.x }}",
    "with": "{% with x = response %}{{ x }}{% endwith %}",
    "loop": "{% for point in merits %}{{ point.reason }}{% endfor %}",
    "loop over fields": "{% for point in merits %}{% for field in point %}{{ point[field] }}{% endfor %}{% endfor %}",
    "loop over characters": "{% for char in response %}{{ char }}{% endfor %}",
    "loop over the fence": "{% for char in response | fence('a') %}{{ char }}{% endfor %}",
    "previous item": "{% for point in merits %}{{ loop.previtem.reason if not loop.first }}{% endfor %}",
    "next item": "{% for point in merits %}{{ loop.nextitem.reason if not loop.last }}{% endfor %}",
    "cycle": "{% for fact in facts %}{{ loop.cycle(response) }}{% endfor %}",
    "macro argument": "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(response) }}",
    "macro default": "{% macro m(x=response) %}{{ x }}{% endmacro %}{{ m() }}",
    "macro varargs": "{% macro m() %}{{ varargs[0] }}{% endmacro %}{{ m(response) }}",
    "macro that opens a fence": "{% macro m(x) %}{{ x | fence('a') }}{% endmacro %}{{ m(response)[22:-20] }}",
    "call block": "{% macro m() %}{{ caller(response) }}{% endmacro %}{% call(x) m() %}{{ x }}{% endcall %}",
    "filter block": "{% filter upper %}{{ response }}{% endfilter %}",
    "filter block that opens a fence": "{% filter replace('<<<', '') %}{{ response | fence('a') }}{% endfilter %}",
    "slice of a fence": "{{ (response | fence('a'))[22:-20] }}",
    "item of a fence": "{{ (response | fence('a'))[25] }}",
    "first of a fence": "{{ response | fence('a') | first }}",
    "fence made lower": "{{ response | fence('A') | lower }}",
    "fence with replaced marks": "{{ response | fence('a') | replace('<', '') }}",
    "fence cut": "{{ response | fence('a') | truncate(40) }}",
    "fence split": "{{ (response | fence('a')).split('\\n')[1] }}",
    "fence joined": "{{ response | fence('a') ~ '' }}",
    "block by itself": "{{ self.user()[100:] }}",
    "label": "{{ 'x' | fence(response) }}",
    "label by name": "{{ 'x' | fence(label=response) }}",
    "label of a field": "{{ response | fence(merits[0].aspect) }}",
    "label chosen by judged text": "{{ 'x' | fence(query if debated else 'a') }}",
    "comparison": "{% if response == 'x' %}y{% endif %}",
    "order": "{% if response < 'x' %}y{% endif %}",
    "membership": "{% if 'x' in response %}y{% endif %}",
    "test with argument": "{% if 'x' is eq(response) %}y{% endif %}",
    "key of a dictionary": "{{ {response: 1} }}",
    "dictionary": "{{ {'x': response} }}",
    "format filter": "{{ '%s' | format(response) }}",
    "xmlattr": "{{ {'x': response} | xmlattr }}",
    "groupby": "{% for key, group in merits | groupby('aspect') %}{{ key }}{% endfor %}",
}
ESCAPES = {
    "class": "{{ ''.__class__ }}",
    "class by item": "{{ ''['__class__'] }}",
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "attr filter": "{{ '' | attr('__class__') }}",
    "map attribute": "{{ [''] | map(attribute='__class__') | list }}",
    "format string": "{{ '{0.__class__}'.format('') }}",
    "globals of the environment": "{{ lipsum.__globals__ }}",
    "loop internals": "{% for fact in facts %}{{ loop._iterator }}{% endfor %}",
    "self": "{{ self.__init__ }}",
    "self's template": "{{ self._TemplateReference__context }}",
    "module": "{% import 'principles.j2' as p %}{{ p.__class__ }}",
    "context": "{{ context }}",
    "change a list": "{{ facts.append(1) }}",
    "change a record": "{{ facts[0].update(met=false) }}",
    "clear": "{% for fact in facts %}{{ fact.clear() }}{% endfor %}",
    "the value of a judged text": "{{ response._value }}",
    "another file": "{% include '../judge.j2' %}",
    "an absolute file": "{% include '/etc/passwd' %}",
    "a folder above, in pieces": "{% include './../greetings/judge.j2' %}",
    "a chosen file": "{% include ['nothing.j2', 'principles.j2'] %}",
    "a file named by a variable": "{% include debated %}",
    "a file named by judged text": "{% include response %}",
    "a file named by an expression": "{% include 'princip' ~ 'les.j2' %}",
    "a file named by a condition": "{% include 'principles.j2' if debated else 'judge.j2' %}",
    "a file that may be missing": "{% include 'nothing.j2' ignore missing %}",
    "an import named by an expression": "{% import 'princip' ~ 'les.j2' as p %}",
    "a parent named by a variable": "{% extends response %}",
}
BOMBS = {
    "power": "{{ 10 ** 10 ** 10 }}",
    "product of text": "{{ 'x' * 1000000000 }}",
    "product of a list": "{{ ([1] * 1000000000) | length }}",
    "width": "{{ '%1000000000d' % 1 }}",
    "width by format": "{{ '{:>1000000000}'.format(1) }}",
    "centre": "{{ 'x' | center(1000000000) }}",
    "indent": "{{ 'x' | indent(1000000000, true) }}",
    "just": "{{ 'x'.ljust(1000000000) }}",
    "range": "{% for x in range(1000000000) %}{% endfor %}",
    "range with text": "{% for x in range(99999) %}xxxxxxxxxxxxxxxxxxxx{% endfor %}",
    "lipsum": "{{ lipsum(n=1000) }}",
    "doubling by replace": "{{ 'x'" + " | replace('x', 'xx')" * 60 + " }}",
    "doubling by join": "{{ 'xx'" + " | join('yy')" * 60 + " }}",
    "doubling by set": "{% set x = 'xxxxxxxxxx' %}" + "{% set x = x ~ x %}" * 60 + "{{ x | length }}",
    "doubling by +": "{% set x = 'xxxxxxxxxx' %}" + "{% set x = x + x %}" * 60 + "{{ x | length }}",
    "doubling a list": "{% set x = [1] %}" + "{% set x = [x, x] %}" * 60 + "{{ x | join | length }}",
    "loops in loops": "{% for a in 'xxxxxxxxxx' %}" * 12 + "{% endfor %}" * 12,
    "loops over facts": "{% for a in facts %}" * 25 + "x" + "{% endfor %}" * 25,
    "recursive loop": "{% for fact in facts recursive %}{{ loop(facts) }}{% endfor %}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "macros in a circle": "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
    "the block itself": "{{ self.user() }}",
    "includes itself": "{% include 'judge.j2' %}",
    "brackets": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
    "not not not": "{{ " + "not " * 9000 + "1 }}",
    "attributes": "{{ facts" + ".x" * 20000 + " }}",
    "ifs": "{% if debated %}" * 1500 + "{% endif %}" * 1500,
    "long number": "{{ " + "9" * 5000 + " }}",
    "big number": "{{ 0x" + "f" * 50000 + " }}",
    "half a character": "{{ '\\ud800' }}",
    "too long a source": "x" * 70000,
}


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "prompts" / "greetings")


def refused(project, snippet):
    """Both gates refuse the judge's template with `snippet`, in the same words. Returns the line."""
    path = project.judge(snippet)
    began = time.process_time()
    findings = project.findings()
    assert findings, "check lets it through"
    assert {name for name, _, _ in findings} == {"judge.j2"}
    with pytest.raises(TemplateError) as refusal:
        project.pack().prompt("judge")
    assert str(refusal.value) == f"{path}:{findings[0][1]}: {findings[0][2]}"
    assert time.process_time() - began < 2
    assert not SECRET.search(str(findings))
    return findings[0][1]


@pytest.mark.parametrize("snippet", UNFENCED.values(), ids=UNFENCED)
def test_judged_text_outside_a_fence_is_refused_at_its_line(project, snippet):
    assert refused(project, snippet) == SNIPPET_LINE


@pytest.mark.parametrize("snippet", ESCAPES.values(), ids=ESCAPES)
def test_a_way_out_of_the_sandbox_is_refused_at_its_line(project, snippet):
    assert refused(project, snippet) == SNIPPET_LINE


@pytest.mark.parametrize("snippet", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(project, snippet):
    refused(project, snippet)


@pytest.mark.parametrize("snippet", [*UNFENCED.values(), *ESCAPES.values()], ids=[*UNFENCED, *ESCAPES])
def test_the_sandbox_alone_prints_no_judged_text(project, snippet):
    """The second gate, without the check before it: only what cuts a printed fence open needs the first."""
    sandbox = project.pack().sandbox
    try:
        shown = sandbox.from_string(snippet).render(role_spec("judge").bind(values("judge")))
    except Exception as error:
        shown = str(error)
    assert "fence" in snippet or not SECRET.search(shown)
    assert "root:" not in shown


FINE = {
    "length": "{{ response | length }} {{ merits | length }}",
    "condition": "{% if merits | length > 1 and not flaws %}many{% elif response %}some{% endif %}",
    "inline condition": "{{ 'yes' if merits else 'no' }}",
    "fence in a loop": "{% for point in merits %}{{ loop.index }}\n{{ point.reason | fence('why') }}\n{% endfor %}",
    "fence inside a line": "so: {{ query | fence('a') }}, {% for x in merits %}{{ x.aspect | fence('b') }}{% endfor %}",
    "fence of an item": "{% if merits %}\n{{ merits[0].reason | fence('why') }}\n{% endif %}",
    "fence of the first": "{% if merits %}\n{{ (merits | first).reason | fence('why') }}\n{% endif %}",
    "fence in a condition": "{{ merits | fence('why') if merits else 'none' }}",
    "fence of a set": "{% set x = merits %}\n{{ x | fence('why') }}",
    "loop over facts": "{% for f in facts if f.met %}{{ loop.index }}/{{ loop.length }} {{ f.asked }}{% endfor %}",
    "one name, judged and then not": "{% for x in merits %}{% endfor %}{% for x in facts %}{{ x.asked }}{% endfor %}",
    "list of literals": "{% for f in facts if f.kind in ('length', 'brief') %}{{ f.asked | upper }}{% endfor %}",
    "include": "{% include 'principles.j2' %}",
    "numbers": "{{ facts | length + 1 }}",
    "raw": "{% raw %}{{ response }}{% endraw %}",
    "comment": "{# {{ response }} #}",
    "unicode": "{{ '祝' }}",
}


@pytest.mark.parametrize("snippet", FINE.values(), ids=FINE)
def test_what_a_prompt_needs_is_allowed(project, snippet):
    project.judge(snippet)
    assert project.findings() == []
    messages = project.pack().prompt("judge").render(**values("judge"))
    assert not SECRET.search(outside(messages[1]["content"]))


@pytest.mark.parametrize("snippet", [*UNFENCED.values(), *ESCAPES.values()], ids=[*UNFENCED, *ESCAPES])
def test_nothing_hides_in_a_branch_that_samples_do_not_reach(project, snippet):
    """The first gate, without the trial on sample values after it."""
    project.judge(f"{{% if facts | length == 7 %}}\n{snippet}\n{{% endif %}}")
    findings = project.pack().analysis("judge").findings
    assert snippet == ESCAPES["class by item"] or {one.line for one in findings} == {SNIPPET_LINE + 1}


@pytest.mark.parametrize(
    "snippet", ["{{ 'x'.upper() }}", "{{ range(3) | length }}", "{{ lipsum | length }}", "{{ 2 * 3 }}"]
)
def test_the_sandbox_alone_calls_nothing_and_lends_nothing(project, snippet):
    with pytest.raises(jinja2.TemplateError):
        project.pack().sandbox.from_string(snippet).render()
