"""Prompts: the quick way and Jinja give the same, and nothing reaches out of the record."""

from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from streamproc.errors import ConfigError
from streamproc.pipeline.template import compile_prompt

names = st.sampled_from(["text", "a", "range", "self", "true", "None", "dict", "not", "loop", "x1", "lipsum", "and"])
pieces = st.one_of(
    st.text(st.sampled_from("ab {}%#$\n\r'\"-"), max_size=6),
    names.map(lambda name: "{{ " + name + " }}"),
    names.map(lambda name: "{{" + name + "}}"),
    names.map(lambda name: "{{- " + name + " -}}"),
)
values = st.one_of(st.text(max_size=5), st.integers(), st.none(), st.booleans(), st.floats(), st.lists(st.integers()))


@given(st.lists(pieces, max_size=6).map("".join), st.dictionaries(names, values))
def test_the_quick_way_is_jinja(template: str, data: dict[str, Any]) -> None:
    """For every template and record: the same prompt as Jinja's own, or both fail."""
    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.globals.clear()
    try:
        reference = environment.from_string(template)
    except jinja2.TemplateSyntaxError:
        with pytest.raises(ConfigError, match=r"llm\.prompt: line"):
            compile_prompt(template)
        return
    render = compile_prompt(template)
    try:
        expected = reference.render(data)
    except (jinja2.UndefinedError, TypeError):
        with pytest.raises(ValueError, match=r"llm\.prompt"):
            render(data)
    else:
        assert render(data) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ text.__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{{ text|attr('__class__') }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum }}",
        "{{ range(9) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ text.format.__globals__ }}",
        "{{ '{0.__class__}'.format(text) }}",
        "{{ items.append(1) }}",
        "{{ missing }}",
        "{{ nested.gone }}",
        "{{ 1 / 0 }}",
        "{{ text + 1 }}",
    ],
)
def test_nothing_reaches_out_of_the_record(template: str) -> None:
    """Attributes of Python objects, globals, files, changes and missing fields are errors, never values."""
    with pytest.raises(ValueError, match=r"llm\.prompt"):
        compile_prompt(template)({"text": "t", "items": [1], "nested": {}})


def test_data_is_never_a_template() -> None:
    """A record that holds template syntax is text like any other."""
    assert compile_prompt("a {{ text }} b")({"text": "{{ 7 * 7 }} %s"}) == "a {{ 7 * 7 }} %s b"
    assert compile_prompt("{% for x in items %}{{ x }};{% endfor %}")({"items": ["{{ 1 }}", 2]}) == "{{ 1 }};2;"
