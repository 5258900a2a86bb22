"""The user's part of a pipeline: what to ask about a record, and what to make of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from streamproc.completions import Completion, Request
from streamproc.errors import ConfigError
from streamproc.flow.flights import Flight
from streamproc.llm.config import LlmConfig
from streamproc.pipeline.template import compile_prompt
from streamproc.records import Envelope, Record

V = TypeVar("V")


class Task(Struct, Generic[V], frozen=True):
    """What is asked about each record, and what becomes of the answer. Both parts are called on the event loop.

    An exception in either makes a dead letter of that record; the run goes on. `SystemExit` and `KeyboardInterrupt` end
    it, as a crash would.

    Attributes:
        render: makes the request of a record; `PipelineConfig.request` helps.
        parse: makes the value of a completion. In a run with a sink that writes files, the value must be plain data or
            of a type msgspec can encode.
        settings: what tells this task apart from others, by name, so that a run is not continued with another task; a
            version number is enough. Functions cannot be compared.
    """

    render: Callable[[Record], Request]
    parse: Callable[[Completion], V]
    settings: Mapping[str, str] = {}


class Call(Struct, frozen=True):
    """A request and those who wait for its answer."""

    request: Request
    flight: Flight[Envelope]


def text_of(completion: Completion) -> str:
    """Give the answer's text: what a task does if it is told nothing else."""
    return completion.text


def embedding_of(completion: Completion) -> list[float]:
    """Give the embedding, as a list of numbers."""
    return list(completion.embedding or ())


def prompt_task(llm: LlmConfig) -> Task[Any]:
    """Make the task that a job file describes: its prompt over the record's fields, the answer's text or embedding out.

    Raises:
        ConfigError: there is no prompt, or it is malformed.
    """
    if llm.prompt is None:
        raise ConfigError("llm.prompt: is required, unless a Task is given in Python")
    render = compile_prompt(llm.prompt)
    return Task(
        render=lambda record: llm.request(render(record.data)),
        parse=embedding_of if llm.endpoint == "embeddings" else text_of,
        settings={"llm.prompt": llm.prompt},
    )


def keeping_records(task: Task[Any]) -> Task[Any]:
    """Give the same task with a record of its own to render, whose fields it may change as it likes.

    Its dictionaries and lists are copies; what else it holds is shared with the record that is delivered.
    """
    render = task.render
    return Task(lambda record: render(Record(record.id, _copy(record.data))), task.parse, task.settings)


def _copy(value: Any) -> Any:
    if type(value) is dict:
        return {name: _copy(field) for name, field in value.items()}
    return [_copy(item) for item in value] if type(value) is list else value


def with_plain_values(task: Task[Any]) -> Task[Any]:
    """Give the same task with values made into plain data, so that no sink can choke on one."""
    parse = task.parse
    if parse in (text_of, embedding_of):
        return task
    return Task(task.render, lambda completion: msgspec.to_builtins(parse(completion)), task.settings)
