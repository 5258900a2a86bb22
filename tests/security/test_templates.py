"""A template reaches nothing but its record, and neither hangs nor eats memory; a record is never a template."""

from __future__ import annotations

import re
import resource
import time
from contextlib import suppress

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.errors import ConfigError
from streamproc.pipeline.template import MOST_CHARACTERS, compile_prompt
from tests.faults.recording import Figure

pytestmark = pytest.mark.promise("P18")
DATA = {"text": "some text", "many": list(range(1000)), "d": {"k": "v"}, "n": 10**9, "tpl": "{{ 7 * 7 }}", "f": 0.5}

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ text['__class__'] }}",
    "{{ text|attr('__class__') }}",
    "{{ text|attr('__cl' ~ 'ass__') }}",
    "{{ [text]|map(attribute='__class__')|list }}",
    "{{ [d]|map(attribute='__class__.__mro__')|list }}",
    "{{ [text]|map('attr', '__class__')|list }}",
    "{{ [text]|selectattr('__class__')|list|first|attr('__class__') }}",
    "{{ [text]|groupby('__class__') }}",
    "{{ [d, d]|sort(attribute='__class__')|map(attribute='__init__')|list }}",
    "{{ '{0.__class__}'.format(text) }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(text) }}",
    "{{ '{x.__class__}'.format_map({'x': text}) }}",
    "{{ '{0:{1.__class__}}'.format(1, text) }}",
    "{{ '{0[__class__]}'.format(text) }}",
    "{{ ('{0.__cla' ~ 'ss__}').format(text) }}",
    "{% set f = '{0.__class__}'.format %}{{ f(text) }}",
    "{{ ['{0.__class__}'.format]|map('attr', '__self__')|list }}",
    "{{ text.format.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ joiner.__init__ }}",
    "{{ namespace() }}",
    "{{ lipsum.__globals__ }}",
    "{{ dict(a=1) }}",
    "{{ range(3) }}",
    "{{ config }}",
    "{{ environ }}",
    "{{ loop.__class__ }}",
    "{% for x in many %}{{ loop.__init__.__globals__ }}{% endfor %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% extends '/etc/passwd' %}",
    "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{{ m() }}",
    "{% call text() %}{% endcall %}",
    "{{ many.append(1) }}",
    "{{ d.update(a=1) }}",
    "{{ d.__setitem__('a', 1) }}",
    "{% do text %}",
]
EATERS = [
    "{{ 10 ** (10 ** 10) }}",
    "{{ 7 ** n }}",
    "{{ 10 ** 10 ** 10 ** 10 ** 10 }}",
    "{{ 'x' * 10 ** 9 }}",
    "{{ 'x' * n }}",
    "{{ n * text }}",
    "{{ [1] * n }}",
    "{{ (2 ** 4000) * (2 ** 4000) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%*d' % (n, 1) }}",
    "{{ '%1000000000d'|format(1) }}",
    "{{ '{:>1000000000}'.format(text) }}",
    "{{ '{:>{}}'.format(text, n) }}",
    "{{ '{x:>1000000000}'.format_map({'x': text}) }}",
    "{{ text.center(n) }}",
    "{{ text.ljust(n) }}",
    "{{ text.zfill(n) }}",
    "{{ text|center(n) }}",
    "{{ text|indent(n) }}",
    "{{ many|batch(n, 'x')|list }}",
    "{{ many|slice(n)|list }}",
    "{{ [text]|map('center', n)|list }}",
    "{% for a in many %}{% for b in many %}{% for c in many %}{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in many recursive %}{{ loop(many) }}{{ loop(many) }}{% endfor %}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "{% set a = 'x' * 1000000 %}" + "".join("{% set a = a ~ a %}" for _ in range(40)) + "{{ a|length }}",
    "{% set a = 'x' * 1000000 %}" + "".join("{% set a = a + a %}" for _ in range(40)) + "{{ a|length }}",
    "{% set a = 'x' * 1000000 %}"
    + "".join("{% set a %}{{ a }}{{ a }}{% endset %}" for _ in range(40))
    + "{{ a|length }}",
    "{% set a = 'x' * 1000000 %}{% for b in many %}{{ a }}{% endfor %}",
    "{{ text.expandtabs(n) }}",
]


@pytest.mark.parametrize("template", ESCAPES)
def test_nothing_but_the_record_is_reached(template: str, figure: Figure) -> None:
    """Objects behind values, functions of the engine, files, changes to a record: refused, or undefined."""
    try:
        text = compile_prompt(template)(dict(DATA))
    except ValueError as error:
        text = f"Undefined: {error}"
    assert "Undefined" in text
    assert not re.search(r"<(class|function|built-in|bound method|module)|object at 0x|root:", text)
    figure.add(1, "templates that would escape, none did")


@pytest.mark.parametrize("template", EATERS)
def test_no_template_hangs_or_eats_memory(template: str, figure: Figure) -> None:
    """Powers, repetitions, paddings, doublings and loops without end are refused in moments, in little memory."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ValueError, match=r"llm\.prompt"):
        compile_prompt(template)(dict(DATA))
    took, grown = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert took < 5
    assert grown < 300_000
    figure.add(1, "templates that would not end, all refused")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ 2 ** 10 }} {{ 2 ** 0.5 > 1 }} {{ 'ab' * 3 }} {{ 3 * [1] }} {{ 6 * 7 }}", "1024 True ababab [1, 1, 1] 42"),
        ("{{ '%05.1f' % f }} {{ '%s' % text }} {{ 7 % 4 }} {{ '{:>4}'.format(d.k) }}", "000.5 some text 3    v"),
        ("{{ text ~ '!' ~ 1 }} {{ 'a' + 'b' }} {{ f + 1 }}", "some text!1 ab 1.5"),
        ("{% for x in many[:3] %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}", "1/3:0 2/3:1 3/3:2 "),
        ("{% for x in many if x > 997 %}{{ x }}{% else %}none{% endfor %}", "998999"),
        ("{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}", "k=v"),
        (
            "{% set a %}{{ text }}{% endset %}{{ a|upper }} {{ text|replace('some', 'any')|title }}",
            "SOME TEXT Any Text",
        ),
        ("{% set a | upper %}{{ text }}{% endset %}{{ a }}", "SOME TEXT"),
        ("{{ many|map('string')|select('eq', '7')|join(',') }} {{ text|center(11) }}|", "7  some text |"),
        ("{{ d|tojson }} {{ many|sum }} {{ many|batch(500)|list|length }}", '{"k": "v"} 499500 2'),
        ("{{ tpl }} {{ tpl|upper }}", "{{ 7 * 7 }} {{ 7 * 7 }}"),
        ("{% filter upper %}{{ tpl }}{% endfilter %}", "{{ 7 * 7 }}"),
    ],
)
def test_what_is_meant_works(template: str, text: str) -> None:
    """Bounds are in nobody's way; and what a record holds is never rendered again."""
    assert compile_prompt(template)(dict(DATA)) == text


def test_the_longest_prompt() -> None:
    """A prompt of 16 Mi characters is made, one of a character more is not, by either way of rendering."""
    for template in ("{{ text }}", "{% if text %}{{ text }}{% endif %}"):
        render = compile_prompt(template)
        assert len(render({"text": "x" * MOST_CHARACTERS})) == MOST_CHARACTERS
        with pytest.raises(ValueError, match="at most 16777216"):
            render({"text": "x" * (MOST_CHARACTERS + 1)})


@pytest.mark.parametrize(
    "template",
    ["{% for a in b %}" * 30 + "{% endfor %}" * 30, "{{ " + "(" * 300 + ")" * 300 + " }}", "{{ " + "9" * 9000 + " }}"],
)
def test_what_python_cannot_compile_is_refused(template: str) -> None:
    """Nesting beyond what Python takes is an error of the configuration."""
    with pytest.raises(ConfigError, match=r"llm\.prompt"):
        compile_prompt(template)


WORDS = """
{{ }} {% %} {# #} - text d.k many [0] | upper join ( ) ' " for x in endfor if else endif set = ~ + ** * % 1 1e9 [ ] { }
, : is defined not loop . __class__ macro m endmacro raw endraw
"""
PIECES = st.sampled_from(WORDS.split())


@given(st.lists(PIECES, max_size=25).map(" ".join) | st.text(max_size=60))
def test_any_text_is_a_template_or_refused(template: str) -> None:
    """Any `llm.prompt` compiles or is refused; what compiles renders, or fails for its record alone."""
    try:
        render = compile_prompt(template)
    except ConfigError:
        return
    with suppress(ValueError):
        assert len(render(dict(DATA))) <= MOST_CHARACTERS


@given(st.text(st.sampled_from("{}%# 7*text\n"), max_size=30))
def test_a_record_is_never_a_template(text: str) -> None:
    """A record's text stands in the prompt letter by letter, whatever it looks like."""
    assert compile_prompt("<{{ text }}>")({"text": text}) == f"<{text}>"
    assert compile_prompt("<{{ text|string }}>")({"text": text}) == f"<{text}>"
    assert jinja2.Template("{{ text }}").render(text="{{ 1 }}") == "{{ 1 }}"
