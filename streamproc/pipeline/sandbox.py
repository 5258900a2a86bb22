"""Jinja2 for prompts: a template reaches nothing but its record, takes bounded time, and makes bounded texts.

What can be judged by its inputs is refused before it is done: powers, repetitions, wide paddings. Loops have a number
of steps, texts a length; what could call itself (macros, recursive loops) or other files is not there at all. Not
bounded is what single filters and methods make of large texts (`replace`, `join`): up to the product of their lengths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sized
from functools import wraps
from itertools import islice
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from streamproc.errors import ConfigError
from streamproc.pipeline.template import MOST_CHARACTERS, Render

MOST_STEPS = 1_000_000
"""Of all loops of one rendering together."""
MOST_BITS = 4096
"""Of a number."""
MOST_WIDTH = 100_000
"""Of a padding; and the largest number that a filter or a method takes."""

_WIDE = re.compile(r"\d{6,}|%[^a-zA-Z%]*\*")
"""In a format: a width beyond `MOST_WIDTH`, or one that is taken from an argument."""


def compile_sandboxed(template: str) -> Render:
    """Make a function of any template over a record's fields.

    Raises:
        ConfigError: the template is malformed.
    """
    try:
        compiled = Sandbox().compiled(template)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"llm.prompt: line {error.lineno}: {error.message}, got {template!r:.200}") from error
    except (RecursionError, SyntaxError, MemoryError, ValueError):  # of Python, which compiles what Jinja2 makes of it
        raise ConfigError(f"llm.prompt: too deeply nested, or a number too long, got {template!r:.200}") from None

    def render(data: Mapping[str, Any]) -> str:
        try:
            return rendered(compiled, data)
        except jinja2.UndefinedError as error:
            raise ValueError(f"llm.prompt: {error.message}") from None
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, RecursionError) as error:
            raise ValueError(f"llm.prompt: {type(error).__name__}: {error}") from error

    return render


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment without globals, whose templates are bounded as this module says."""

    intercepted_binops = frozenset({"**", "*", "+", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
        self.context_class = _Counting
        self.globals.clear()
        self.filters = {name: _bounded(apply) for name, apply in self.filters.items()}
        self.filters |= {"-counted": _counted, "-joined": _joined, "-short": _short}  # no template can name these

    def compiled(self, template: str) -> jinja2.Template:
        """Make a template.

        Raises:
            jinja2.TemplateSyntaxError: it is malformed, or uses what is not available here.
        """
        tree = _Bounding().visit(self.parse(template))
        return jinja2.Template.from_code(self, self.compile(tree), {})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute, unless the result would be too large."""
        if operator == "**" and not _power_is_small(left, right):
            raise SecurityError("a power is too large")
        if operator == "*":
            _check_product(left, right)
        if operator == "+" and isinstance(left, Sized) and isinstance(right, Sized):
            _check_length(len(left) + len(right))
        if operator == "%" and isinstance(left, str):
            _check_format(left)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Give the safe form of a text's `format`, unless it is too wide."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_format(value.__self__)
        return wrapped

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as in Jinja2
        """Call a method of a value, unless a number among the arguments is too large."""
        _check_arguments((*args, *kwargs.values()))
        return super().call(__context, __obj, *args, **kwargs)


class _Counting(Context):
    """The context of one rendering, which knows how many steps its loops may take yet."""

    steps_left = MOST_STEPS


class _Bounding(NodeTransformer):
    """Puts bounds into a template, and refuses what has none."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - the visitor's naming
        if node.recursive:
            raise jinja2.TemplateSyntaxError("recursive loops are not available in a prompt", node.lineno)
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "-counted")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "-joined")

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.filter = _filtered(node.filter, "-short", node.lineno)
        return node

    def _refused(self, node: nodes.Node) -> nodes.Node:
        name = type(node).__name__.lower()
        raise jinja2.TemplateSyntaxError(f"{name} is not available in a prompt", node.lineno)

    visit_Macro = visit_CallBlock = visit_Include = visit_Import = visit_FromImport = visit_Extends = _refused  # noqa: N815


def _filtered(node: nodes.Node | None, name: str, line: int = 0) -> nodes.Filter:
    return nodes.Filter(cast(nodes.Expr, node), name, [], [], None, None, lineno=line if node is None else node.lineno)


@jinja2.pass_context
def _counted(context: _Counting, values: Any) -> Any:
    """Give what a loop goes through, unless that is more than it may."""
    if not isinstance(values, Sized) and isinstance(values, Iterable):
        values = list(islice(values, context.steps_left + 1))
    if isinstance(values, Sized):
        context.steps_left -= len(values)
    if context.steps_left < 0:
        raise SecurityError(f"the loops take more than {MOST_STEPS} steps")
    return values


def _joined(parts: list[Any]) -> str:
    texts = [str(part) for part in parts]
    _check_length(sum(map(len, texts)))
    return "".join(texts)


def _short(text: str) -> str:
    _check_length(len(text))
    return text


def _bounded(apply: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(apply)  # with the marks that Jinja2 puts on a filter
    def bounded(*args: Any, **kwargs: Any) -> Any:
        _check_arguments((*args[1:], *kwargs.values()))
        if apply.__name__ == "do_format":
            _check_format(str(args[0]))
        return apply(*args, **kwargs)

    return bounded


def _check_length(characters: int) -> None:
    if characters > MOST_CHARACTERS:
        raise SecurityError(f"a text of {characters} characters; at most {MOST_CHARACTERS} are made")


def _check_arguments(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, int) and abs(value) > MOST_WIDTH:
            raise SecurityError("a number among the arguments is too large")


def _check_format(text: str) -> None:
    if _WIDE.search(text):
        raise SecurityError("a format is too wide")


def _check_product(left: Any, right: Any) -> None:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Sized) and isinstance(other, int):
            _check_length(len(one) * max(0, other))
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > MOST_BITS:
        raise SecurityError("a product is too large")


def _power_is_small(left: Any, right: Any) -> bool:
    if not isinstance(left, int) or not isinstance(right, int):
        return True  # floats overflow by themselves
    return right <= 0 or left.bit_length() * right <= MOST_BITS


def rendered(template: jinja2.Template, data: Mapping[str, Any]) -> str:
    """Render a template, and stop where its text becomes too long.

    Raises:
        jinja2.TemplateError: something is not there, or not allowed.
    """
    parts: list[str] = []
    size = 0
    for part in template.generate(data):
        size += len(part)
        _check_length(size)
        parts.append(part)
    return "".join(parts)
