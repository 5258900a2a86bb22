"""Laws of reading job files: whatever stands there, it is a mapping of plain data or a refusal."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from streamproc.errors import ConfigError
from streamproc.job_files import assign, parse_yaml, read_job
from streamproc.pipeline.config import SETTINGS, PipelineConfig

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN_TEXTS = TEXTS.filter(lambda text: text.isprintable())
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | PLAIN_TEXTS
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN_TEXTS, inner, max_size=3), max_leaves=8
)
WORDS = """
llm source sink cache type path model jsonl csv sqlite : - , [ ] { } & * a ! !! ? | > ' " << # % @ ` ~ = . -- --- ...
!!int !!bool !!float !!set !!binary !!timestamp !!omap !!map 0 1 -1 1e9 .nan .inf true null 2020-01-01
${ $${ ${A} ${A:-b} }} {{ \\ud800
"""
SPACES = ["\n", "\n  ", "\n    ", " ", ": ", "- ", "\t", "\0", "\ufeff", "\x85"]
SNIPPETS = st.sampled_from(WORDS.split()) | st.sampled_from(SPACES)
SECTIONS = ["source", "llm", "cache", "resources", "batch_processing", "concurrency", "sink", "drain_seconds"]
KEYS = [
    "type",
    "path",
    "model",
    "prompt",
    "parameters",
    "base_url",
    "backend",
    "ttl_hours",
    "initial",
    "min_size",
    "id_field",
]
VALUES = st.sampled_from(["jsonl", "csv", "sqlite", "memory", "m", "", "http://h/v1", "${A}", 0, 1, 1e9]) | TREES


def written(content: str | bytes, folder: str) -> Path:
    path = Path(folder) / "job.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


def load(content: str | bytes, **environ: str) -> None:
    """Load a job; let nothing but a refusal pass."""
    with TemporaryDirectory() as folder, suppress(ConfigError):
        PipelineConfig.load(written(content, folder), environ=environ)


def read(content: str, **environ: str) -> dict[str, object]:
    with TemporaryDirectory() as folder:
        return read_job(written(content, folder), environ)


@given(st.binary(max_size=200) | st.text(max_size=200))
@example("!!bool x: 1")
@example("\ud800")
@example("a: !!int ''")
def test_anything_as_a_job_is_read_or_refused(content):
    """No bytes whatever end in another exception than ours."""
    load(content)


@given(st.lists(SNIPPETS, max_size=30))
@example(["!!bool", " ", "a"])
@example(["llm", ": ", "&", "a", " ", "{", "<<", ": ", "*", "a", "}"])
def test_anything_like_yaml_is_read_or_refused(snippets):
    """Pieces of YAML in any order end in no other exception than ours."""
    load("".join(snippets), A="a")


@given(st.dictionaries(st.sampled_from(SECTIONS), VALUES | st.dictionaries(st.sampled_from(KEYS), VALUES), max_size=8))
def test_any_tree_of_settings_is_taken_or_refused(tree):
    """Known sections with any content make a configuration or a refusal."""
    load(yaml.safe_dump(tree), A="a")


@given(st.sampled_from(sorted(SETTINGS)), st.text(st.characters(exclude_characters="\0"), max_size=20))
def test_any_text_in_the_environment_is_taken_or_refused(name, text):
    """Whatever a variable of ours holds, it is a setting or a refusal."""
    load("llm: {model: m}", **{f"STREAMPROC_{name}": text})


@given(TREES)
def test_plain_data_comes_back_as_it_was_written(tree):
    """Reading what was written in YAML gives the same data."""
    assert parse_yaml(yaml.safe_dump(tree, allow_unicode=True)) == tree


@given(TEXTS | st.lists(st.sampled_from(["$", "{", "}", "${", "NAME", ":-"])).map("".join))
@example("${NAME}")
@example("$${NAME}")
def test_every_text_can_be_written_without_a_reference(text):
    """With `$${` for `${` every text stands for itself."""
    assert read(yaml.safe_dump({"a": [text.replace("${", "$${")]})) == {"a": [text]}


@given(TEXTS, TEXTS, TEXTS)
def test_a_variable_is_taken_as_it_is(before, value, after):
    """What a variable holds replaces its reference, and is not read again: neither as YAML nor for references."""
    before, after = before.replace("$", ""), after.replace("$", "")
    assert read(yaml.safe_dump({"a": f"{before}${{NAME}}{after}"}), NAME=value) == {"a": before + value + after}


@given(TEXTS.filter(lambda text: "}" not in text), st.none() | TEXTS)
def test_a_default_is_for_a_variable_that_is_not_set(default, value):
    """A default stands in for a missing variable only; an empty one is set."""
    environ = {} if value is None else {"NAME": value}
    assert read(yaml.safe_dump({"a": f"${{NAME:-{default}}}"}), **environ) == {"a": default if value is None else value}


@pytest.mark.parametrize("key", ["${NAME}", "a${NAME}"])
def test_keys_are_not_interpolated(key):
    """References count in values, never in keys."""
    assert read(yaml.safe_dump({key: 1}), NAME="x") == {key: 1}


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3)


def at(tree: object, path: list[str]) -> object:
    for name in path:
        assert isinstance(tree, dict)
        tree = tree[name]
    return tree


def leads_to_a_value(tree: object, path: list[str]) -> bool:
    try:
        return isinstance(at(tree, path), int)
    except (KeyError, AssertionError):
        return False


@given(
    st.dictionaries(
        NAMES, st.recursive(st.none() | st.integers(), lambda inner: st.dictionaries(NAMES, inner)), max_size=3
    ),
    PATHS,
    TREES,
)
def test_assigning_sets_one_place_or_refuses(tree, path, value):
    """After an assignment its path holds the value and what lies beside the path is as before."""
    before = deepcopy(tree)
    try:
        assign(tree, ".".join(path), value)
    except ConfigError:
        assert any(leads_to_a_value(before, path[:steps]) for steps in range(1, len(path)))
        return
    assert at(tree, path) == value
    while path:
        *path, name = path
        outer = at(tree, path)
        assert isinstance(outer, dict)
        try:
            was = at(before, path) or {}
        except (KeyError, AssertionError):
            was = {}
        assert isinstance(was, dict)
        assert {key: inner for key, inner in outer.items() if key != name} == {
            key: inner for key, inner in was.items() if key != name
        }


@given(st.text(".a", max_size=6).filter(lambda path: not all(path.split("."))))
def test_a_path_with_an_empty_step_is_refused(path):
    """A path names something at each step."""
    with pytest.raises(ConfigError, match="must be a path such as"):
        assign({}, path, 1)


@given(st.integers(1, 100), st.integers(1, 400))
@example(100, 98)  # 10000 values
@example(99, 99)  # one more
def test_aliases_cannot_make_a_file_large(lines, width):
    """A file whose aliases expand to more than 10000 values is refused, however few its lines; any other is read."""
    text = f"x: &x [{', '.join('1' * width)}]\ny: [{', '.join(['*x'] * lines)}]\n"
    values = 1 + width + 1 + lines * (1 + width)
    if values > 10_000:
        with pytest.raises(ConfigError, match="more than 10000 values"):
            read(text)
    else:
        assert read(text)["y"] == [[1] * width] * lines
