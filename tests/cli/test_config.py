"""Laws of configurations: their rules hold however one is made."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamproc.cache.config import CacheConfig
from streamproc.config import Config, decode
from streamproc.errors import ConfigError
from streamproc.llm.config import LlmConfig
from streamproc.pipeline.config import SETTINGS, BatchConfig, ConcurrencyConfig, PipelineConfig, ResourcesConfig
from streamproc.pipeline.plugins import find, name_of
from streamproc.sinks.jsonl import JsonlSinkConfig
from streamproc.sinks.sqlite import SqliteSinkConfig
from streamproc.sources.csv import CsvSourceConfig
from streamproc.sources.jsonl import JsonlSourceConfig

KINDS: list[type[Config]] = [
    CacheConfig,
    LlmConfig,
    BatchConfig,
    ConcurrencyConfig,
    ResourcesConfig,
    CsvSourceConfig,
    JsonlSourceConfig,
    JsonlSinkConfig,
    SqliteSinkConfig,
]
REQUIRED = {"model": "m", "path": "file"}
LLM = LlmConfig(model="m")
NUMBERS = st.integers(-2, 300) | st.integers() | st.floats() | st.sampled_from([0, 1, 80.0, 1e6, 1e9, 10**30])
WORDS = st.sampled_from(
    ["", "m", "sqlite", "memory", "redis", "chat_completions", "http://h/v1", "OPENAI_API_KEY", ";", "\0"]
)
VALUES = st.none() | st.booleans() | NUMBERS | WORDS | st.text() | st.lists(NUMBERS) | st.dictionaries(WORDS, NUMBERS)


def fields_of(kind: type[Config]) -> st.SearchStrategy[dict[str, Any]]:
    names = [field.name for field in msgspec.structs.fields(kind)]
    return st.dictionaries(st.sampled_from(names), VALUES, max_size=3)


MADE = st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), fields_of(kind)))


def made(make: Any, *arguments: Any, **fields: Any) -> Config | str:
    try:
        config: Config = make(*arguments, **fields)
    except ConfigError as refusal:
        return str(refusal)
    return config


@given(MADE)
@example((BatchConfig, {"min_size": 0}))
@example((BatchConfig, {"initial_size": 200}))
@example((CacheConfig, {"max_size_mb": float("inf")}))
@example((CacheConfig, {"ttl_hours": 3}))
@example((LlmConfig, {"requests_per_minute": 2**53 + 1}))
@example((LlmConfig, {"parameters": {"model": "x"}}))
@example((LlmConfig, {"parameters": {"x": float("nan")}}))
@example((LlmConfig, {"base_url": "http://u:p@h"}))
@example((CsvSourceConfig, {"delimiter": '"'}))
def test_rules_hold_on_construction_as_on_decoding(case):
    """What decoding takes, construction takes alike; what one refuses, the other refuses."""
    kind, fields = case
    names = {field.name for field in msgspec.structs.fields(kind)}
    fields = {**{name: value for name, value in REQUIRED.items() if name in names}, **fields}

    decoded = made(decode, fields, kind, at="here")
    constructed = made(kind, **fields)

    if isinstance(decoded, str) or isinstance(constructed, str):
        assert isinstance(decoded, str)
        assert isinstance(constructed, str)
        assert decoded.startswith("here.")
        assert constructed.partition(":")[0].partition(".")[0] in names
    else:
        plain = msgspec.to_builtins(constructed)  # decoding rounds a whole number beyond 53 bits where a float belongs
        assert decode(plain, kind) == decoded


@given(MADE)
def test_what_is_taken_can_be_used(case):
    """A configuration that was taken survives being shown and made again, and its derived values can be asked."""
    kind, fields = case
    names = {field.name for field in msgspec.structs.fields(kind)}
    config = made(kind, **{**{name: value for name, value in REQUIRED.items() if name in names}, **fields})
    if isinstance(config, str):
        return
    again = decode(msgspec.to_builtins(config), kind)
    assert decode(msgspec.to_builtins(again), kind) == again
    if isinstance(config, CacheConfig):
        assert config.max_bytes >= 0
        assert config.ttl_seconds > 0
    if isinstance(config, LlmConfig):
        config.request("text").fingerprint()
        msgspec.json.encode(config.parameters)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"llm": {"model": "m"}}, "llm: must be LlmConfig, got {'model': 'm'}"),
        ({"llm": None}, "llm: must be LlmConfig, got None"),
        ({"llm": LLM, "cache": LLM}, "cache: must be CacheConfig, got LlmConfig("),
        ({"llm": LLM, "source": JsonlSinkConfig(path="x")}, "source: must be SourceConfig or NoneType, got JsonlSink"),
        ({"llm": LLM, "drain_seconds": -1}, "drain_seconds: must be >= 0.0, got -1"),
    ],
)
def test_a_section_of_the_wrong_class_is_refused(sections, message):
    """A pipeline's sections are of their classes, in Python too."""
    with pytest.raises(ConfigError) as refusal:
        PipelineConfig(**sections)
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize(
    ("source", "sink", "refused"),
    [
        ("a.jsonl", "b.jsonl", False),
        ("a.jsonl", "a.jsonl", True),
        ("./x/../a.jsonl", "a.jsonl", True),
        ("a.jsonl.dead.jsonl", "a.jsonl", True),
        ("a.jsonl.dead.jsonl", "b.jsonl", False),
        ("a.jsonl.streamproc/state.db", "a.jsonl", True),
        ("a.jsonl.streamproc2", "a.jsonl", False),
    ],
)
def test_an_output_is_never_where_the_input_lies(source, sink, refused):
    """Output, dead letters and run folder, which --overwrite may delete, are none of the input."""
    config = made(PipelineConfig, llm=LLM, source=JsonlSourceConfig(path=source), sink=JsonlSinkConfig(path=sink))
    assert isinstance(config, str) == refused


def test_an_output_is_not_the_input_under_another_name(tmp_path):
    """A link to the input is the input."""
    (tmp_path / "in.jsonl").touch()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "in.jsonl")
    source, sink = (str(tmp_path / name) for name in ("in.jsonl", "link.jsonl"))
    with pytest.raises(ConfigError, match="must not be where the input lies"):
        PipelineConfig(llm=LLM, source=JsonlSourceConfig(path=source), sink=JsonlSinkConfig(path=sink))


@given(st.dictionaries(st.sampled_from(sorted(SETTINGS)), st.integers(1, 100) | st.booleans() | st.text()))
def test_the_specifications_names_mean_the_same_everywhere(settings):
    """An object, a mapping and the sections themselves give the same configuration, or the same refusal."""
    tree: dict[str, Any] = {"llm": {"model": "m"}}
    for name, value in settings.items():
        section, key = SETTINGS[name].split(".")
        tree.setdefault(section, {})[key] = value
    from_tree = made(PipelineConfig.from_tree, tree)
    from_object = made(PipelineConfig.from_settings, type("Settings", (), settings)(), llm=LLM)
    from_mapping = made(PipelineConfig.from_settings, settings, llm=LLM)

    assert from_object == from_mapping
    assert isinstance(from_tree, str) == isinstance(from_mapping, str)
    if not isinstance(from_tree, str):
        assert from_tree == from_mapping


@pytest.mark.parametrize(
    ("group", "name"), [("sources", "csv"), ("sources", "jsonl"), ("sinks", "jsonl"), ("sinks", "sqlite")]
)
def test_a_plug_in_is_known_by_the_name_that_finds_it(group, name):
    """The name of a section's class leads back to that class."""
    assert name_of(group, find(group, name)(path="x")) == name
