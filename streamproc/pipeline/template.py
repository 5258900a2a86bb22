"""Prompts from templates: Jinja2 in a sandbox, and a quicker way for templates of plain fields that gives the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Render = Callable[[Mapping[str, Any]], str]
"""Makes a prompt of a record's fields. Raises `ValueError` with a sentence if it cannot."""

MOST_CHARACTERS = 16 << 20
"""Of a prompt, and of a text on the way to it."""

_FIELD = re.compile(r"\{\{ *([A-Za-z_][A-Za-z0-9_]*) *\}\}")
_NOT_PLAIN = re.compile(r"\{[{%#]|[%#}]\}|\r")
_MEANT_OTHERWISE = frozenset(
    {"and", "or", "not", "in", "is", "if", "else", "elif", "for", "true", "True", "false", "False", "none", "None"}
    | {"self", "super", "loop", "caller", "varargs", "kwargs", "context", "missing"}
)
"""Names that mean something to Jinja where a field could stand."""


def compile_prompt(template: str) -> Render:
    """Make a function of a Jinja2 template over a record's fields.

    A field that the record lacks is an error; so is anything that reaches outside the record.

    Raises:
        ConfigError: the template is malformed.
    """
    return _plain_fields(template) or _through_jinja(template)


def _through_jinja(template: str) -> Render:
    from streamproc.pipeline.sandbox import compile_sandboxed  # Jinja takes a while to load, and most prompts need none

    return compile_sandboxed(template)


def _plain_fields(template: str) -> Render | None:
    """Compile a template that holds nothing but text and `{{ field }}`; give `None` for any other."""
    parts = _FIELD.split(template)
    texts, names = parts[::2], parts[1::2]
    if any(_NOT_PLAIN.search(text) for text in texts) or _MEANT_OTHERWISE.intersection(names):
        return None
    pattern = "%s".join(text.replace("%", "%%") for text in texts)

    def render(data: Mapping[str, Any]) -> str:
        try:
            text = pattern % tuple([data[name] for name in names])
        except KeyError as error:
            raise ValueError(f"the record has no field {error.args[0]!r}, which llm.prompt needs") from None
        if len(text) > MOST_CHARACTERS:
            raise ValueError(f"llm.prompt: a text of {len(text)} characters; at most {MOST_CHARACTERS} are made")
        return text

    return render
