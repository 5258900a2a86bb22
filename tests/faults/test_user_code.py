"""A task's own functions, which may do whatever code does: it is their record's affair alone."""

import asyncio
import logging
from typing import Any

import pytest

from streamproc import (
    Completion,
    DataProcessingPipeline,
    LlmConfig,
    MemorySink,
    MemorySource,
    PipelineConfig,
    Record,
    Request,
    Task,
)
from streamproc.simulation.virtual_time import run_virtual
from streamproc.testing.faults import ScriptedCompleter

CONFIG = PipelineConfig(llm=LlmConfig(model="m", base_url="http://127.0.0.1:1/v1", parameters={"temperature": 0}))
PLACES = ["render", "parse"]
WRONG = "3"


class Own(Exception):
    """An exception that cannot even be told."""

    def __str__(self):
        raise ZeroDivisionError


def bottomless(value: Any) -> Any:
    return bottomless(value)


def raising(error: BaseException):
    def work(value: Any) -> Any:
        raise error

    return work


def task(place: str, work: Any) -> Task[str]:
    """Give a task of which one function does `work` for one record."""

    def render(record: Record) -> Request:
        if place == "render" and record.id == WRONG:
            work(record)
        return CONFIG.request(record.id)

    def parse(completion: Completion) -> str:
        if place == "parse" and completion.text == WRONG:
            work(completion)
        return completion.text

    return Task(render, parse)


def echo() -> ScriptedCompleter:
    return ScriptedCompleter(lambda request, _: str(request.messages[-1].content))


def run_with(made: Task[Any], sink: MemorySink, completer: Any, rows: Any = None) -> Any:
    rows = rows or [{"n": number} for number in range(8)]
    return run_virtual(
        DataProcessingPipeline(CONFIG, task=made, source=MemorySource(rows), sink=sink, completer=completer).run()
    )


@pytest.mark.fault(56)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "work",
    [
        raising(ValueError("no")),
        raising(StopIteration()),
        raising(StopAsyncIteration()),
        raising(MemoryError()),
        raising(Own()),
        raising(asyncio.CancelledError()),
        raising(TimeoutError()),
        raising(ExceptionGroup("several", [ValueError("no")])),
        bottomless,
    ],
)
def test_what_it_raises_is_its_records_affair(place, work, figure):
    """Whatever `render` or `parse` raises makes a dead letter of that record and touches no other."""
    sink = MemorySink()
    report = run_with(task(place, work), sink, echo())
    assert (report.ending, report.completed, report.failed) == ("finished", 7, 1)
    assert [failed.envelope.record.id for failed in sink.failed] == [WRONG]
    assert sink.failed[0].error.type == f"{place}_failed"
    figure.add(1, "kinds of errors of a user's code contained")


@pytest.mark.fault(56)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_means_the_process_ends_the_run_as_a_crash_would(place, error):
    """`SystemExit` and `KeyboardInterrupt` pass; the run after it delivers each record once."""
    sink, model = MemorySink(), echo()
    with pytest.raises(type(error)):
        run_with(task(place, raising(error)), sink, model)
    report = run_with(task("neither", None), sink, model)
    assert report.ending == "finished"
    assert sorted(outcome.envelope.record.id for outcome in sink.outcomes) == [str(number) for number in range(8)]


@pytest.mark.fault(56)
def test_changing_a_record_changes_what_is_asked_and_not_what_is_delivered():
    """A task that spoils the fields it is given, however deep, leaves the record's input and digest as they were read,
    also for the resumption."""

    def render(record: Record) -> Request:
        data: Any = record.data
        data["text"] = data.pop("n")
        data["list"].append({"x": 1})
        data["list"][0]["deep"].clear()
        return CONFIG.request(str(data))

    rows = [{"n": number, "list": [{"deep": [1, 2]}]} for number in range(8)]
    sink, made = MemorySink(), Task(render, lambda completion: completion.text)
    run_with(made, sink, echo(), rows)
    delivered = {outcome.envelope.record.id: outcome for outcome in sink.completed}
    assert [delivered[str(number)].envelope.record.data for number in range(8)] == rows
    assert rows[0] == {"n": 0, "list": [{"deep": [1, 2]}]}
    assert "'text': 0" in delivered["0"].value
    assert run_with(made, sink, echo(), rows).records == 0


@pytest.mark.fault(56)
def test_a_trace_that_cannot_be_told_ends_nothing(caplog):
    """With debug logs on, an exception that cannot be printed is still a dead letter."""
    caplog.set_level(logging.DEBUG, "streamproc")
    sink = MemorySink()
    assert run_with(task("render", raising(Own())), sink, echo()).failed == 1
