"""How a run ends: by itself, by its user, by its provider, by its host; and what is left behind each time."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc import (
    CacheConfig,
    Completed,
    Completion,
    DataProcessingPipeline,
    Failed,
    LlmConfig,
    MemorySink,
    MemorySource,
    PipelineConfig,
    ProviderStop,
    Request,
    Sink,
    StreamprocError,
    Task,
)
from streamproc.errors import RateLimited, RejectedRequest, Unavailable
from streamproc.pipeline.config import ConcurrencyConfig
from streamproc.pipeline.llm_call import LlmCallHandler
from streamproc.simulation.virtual_time import run_virtual
from streamproc.testing.faults import ScriptedCompleter

LLM = LlmConfig(model="m", prompt="{{ text }}", base_url="http://127.0.0.1:1/v1")


def config(concurrency: int = 4, **options: Any) -> PipelineConfig:
    return PipelineConfig(llm=LLM, concurrency=ConcurrencyConfig(initial=concurrency, adaptive=False), **options)


def records(count: int) -> list[dict[str, Any]]:
    return [{"text": f"t{number}"} for number in range(count)]


def echo(seconds: float = 1.0) -> ScriptedCompleter:
    return ScriptedCompleter(lambda request, _: str(request.messages[-1].content), lambda *_: seconds)


def pipeline(completer: Any, sink: Sink, count: int = 1000, **options: Any) -> DataProcessingPipeline:
    return DataProcessingPipeline(
        config(**options), source=MemorySource(records(count)), sink=sink, completer=completer
    )


def test_draining_delivers_what_is_under_way_and_sends_nothing_new() -> None:
    """After `drain` all that is billed is delivered, nothing more is sent, and the next run does exactly the rest."""
    model, sink = echo(), MemorySink()

    async def main() -> None:
        running = pipeline(model, sink)
        async with asyncio.TaskGroup() as group:
            run = group.create_task(running.run())
            await anyio.sleep(10.5)
            sent = sum(model.attempts.values())
            await running.drain()
            report = run.result()
        assert sum(model.attempts.values()) == sent == 44
        assert (report.ending, report.completed) == ("drained", 44)
        assert report.unfinished > 0
        assert 11 - 1e-6 < anyio.current_time() < 11.5

    run_virtual(main())
    report = run_virtual(pipeline(model, sink).run())
    assert (report.ending, report.completed, report.delivered_before) == ("finished", 956, 44)
    assert set(model.billed.values()) == {1}


def test_a_drain_that_takes_too_long_ends_the_calls() -> None:
    """Calls that outlast `drain_seconds` are ended; their records are left to the next run."""
    model, sink = echo(seconds=100), MemorySink()

    async def main() -> None:
        running = pipeline(model, sink, drain_seconds=5.0)
        async with asyncio.TaskGroup() as group:
            run = group.create_task(running.run())
            await anyio.sleep(1)
            await running.drain()
            assert run.result().ending == "drained"
        assert 6 <= anyio.current_time() < 7
        assert sink.outcomes == []
        await running.drain()  # nothing runs: nothing happens

    run_virtual(main())


def test_a_drain_before_the_first_record_is_heard() -> None:
    """Asking for the end while a run still opens its parts ends it before it sends anything."""
    model = echo()

    class Slow(MemorySource):
        async def open(self, *arguments: Any) -> None:
            await anyio.sleep(10)
            await super().open(*arguments)

    async def main() -> None:
        running = DataProcessingPipeline(config(), source=Slow(records(5)), sink=MemorySink(), completer=model)
        async with asyncio.TaskGroup() as group:
            run = group.create_task(running.run())
            await anyio.sleep(1)
            await running.drain()
            assert run.result().records == 0

    run_virtual(main())
    assert not model.attempts


@pytest.mark.parametrize("concurrency", [1, 7])
def test_a_fatal_error_of_the_provider_stops_the_run(concurrency: int) -> None:
    """After it no call is sent but those under way, what was answered is delivered, and the rest can be continued."""

    def answer(request: Request, attempt: int) -> str:
        if request.messages[-1].content == "t50" and attempt == 1:
            raise ProviderStop("no quota left", status=429, code="insufficient_quota")
        return "ok"

    model, sink = ScriptedCompleter(answer), MemorySink()

    async def main() -> None:
        running = pipeline(model, sink, count=200, concurrency=concurrency)
        with pytest.raises(ProviderStop, match="no quota"):
            await running.run()
        assert running.report is not None
        assert running.report.ending == "stopped"
        assert running.report.completed == sum(model.billed.values()) == len(sink.outcomes)
        assert sum(model.attempts.values()) <= 51 + 2 * concurrency

    run_virtual(main())
    report = run_virtual(pipeline(model, sink, count=200).run())
    assert report.completed + report.delivered_before == 200
    assert set(model.billed.values()) == {1}


def test_permanent_errors_cost_one_request_and_become_dead_letters() -> None:
    """A rejected row is asked once; its dead letter has the status; the other rows are untouched."""

    def answer(request: Request, attempt: int) -> str:
        if str(request.messages[-1].content) in {"t3", "t7"}:
            raise RejectedRequest("too long", status=400)
        return "ok"

    model, sink = ScriptedCompleter(answer), MemorySink()
    report = run_virtual(pipeline(model, sink, count=10).run())
    assert (report.completed, report.failed, report.model_calls) == (8, 2, 10)
    assert {(failed.error.type, failed.error.status, failed.attempts) for failed in sink.failed} == {
        ("rejected", 400, 1)
    }


def test_backoff_is_slept_without_a_permit() -> None:
    """While one record waits for its retry, another uses its permit."""

    def answer(request: Request, attempt: int) -> str:
        if request.messages[-1].content == "t0" and attempt == 1:
            raise Unavailable("busy", retry_after=1000.0)
        return "ok"

    model = ScriptedCompleter(answer)

    async def main() -> None:
        report = await pipeline(model, MemorySink(), count=50, concurrency=1).run()
        assert (report.retries, report.completed, report.peak_concurrency) == (1, 50, 1)
        assert 1000 <= anyio.current_time() < 1300

    run_virtual(main())
    assert model.peak_in_flight == 1


def test_a_rate_limit_makes_everybody_wait_and_costs_no_attempt() -> None:
    """However often the provider asks to slow down, no record fails for it."""
    limited = {"left": 40}

    def answer(request: Request, attempt: int) -> str:
        if limited["left"]:
            limited["left"] -= 1
            raise RateLimited("slow", status=429, retry_after=7.0)
        return "ok"

    report = run_virtual(pipeline(ScriptedCompleter(answer), MemorySink(), count=20).run())
    assert (report.completed, report.failed, report.retries) == (20, 0, 40)


@pytest.mark.fault(56)
def test_user_code_is_contained() -> None:
    """An exception in render or parse is a dead letter of its record, and the answer that was paid for is kept."""

    def render(record: Any) -> Request:
        return config().request(record.data["text"])

    def parse(completion: Completion) -> int:
        return int(completion.text.removeprefix("t")) // (0 if completion.text == "t1" else 1)

    task = Task(render, parse)
    sink = MemorySink()
    source = MemorySource([*records(3), {"other": 1}])
    report = run_virtual(DataProcessingPipeline(config(), task=task, source=source, sink=sink, completer=echo()).run())
    assert (report.completed, report.failed) == (2, 2)
    types = {failed.envelope.record.id: (failed.error.type, failed.completion is not None) for failed in sink.failed}
    assert types == {"1": ("parse_failed", True), "3": ("render_failed", False)}


def test_values_that_no_sink_could_write_are_dead_letters_of_a_run_only() -> None:
    """`run` wants plain values; `stream` hands over whatever parse makes."""
    task = Task(lambda record: config().request(record.data["text"]), lambda completion: threading.Lock())
    sink = MemorySink()
    made = DataProcessingPipeline(config(), task=task, source=MemorySource(records(1)), sink=sink, completer=echo())
    run_virtual(made.run())
    assert sink.failed[0].error.type == "parse_failed"

    async def main() -> list[Any]:
        async with made:
            return [outcome async for outcome in made.stream(records(1))]

    assert isinstance(run_virtual(main())[0], Completed)


def test_ordered_output_has_the_order_of_the_input() -> None:
    """With `ordered`, rows come in input order whatever order they finish in, over a drain and its continuation."""
    import random

    from streamproc import JsonlSinkConfig

    dice = random.Random(3)
    model = ScriptedCompleter(lambda *_: "ok", lambda *_: dice.choice([0.1, 1.0, 9.0]))
    sink = MemorySink()
    settings = config(sink=JsonlSinkConfig(path="unused", ordered=True))

    async def main(drain_after: float | None) -> None:
        running = DataProcessingPipeline(settings, source=MemorySource(records(60)), sink=sink, completer=model)
        async with asyncio.TaskGroup() as group:
            group.create_task(running.run())
            if drain_after is not None:
                await anyio.sleep(drain_after)
                await running.drain()

    settings = PipelineConfig(
        llm=LLM,
        sink=settings.sink,
        cache=CacheConfig(backend="memory"),
        concurrency=ConcurrencyConfig(initial=8, adaptive=False),
    )
    run_virtual(main(12.0))
    assert 0 < len(sink.outcomes) < 60
    run_virtual(main(None))
    assert [outcome.envelope.position for outcome in sink.outcomes] == list(range(60))


async def endless() -> AsyncIterator[dict[str, str]]:
    number = 0
    while True:
        yield {"text": f"t{number}"}
        number += 1


def test_a_stream_is_bounded_both_ways_and_leaving_it_leaves_nothing_behind() -> None:
    """An endless input is read only as outcomes are taken; after the block no task of ours is left."""
    model = echo(0.01)

    async def main() -> None:
        before = asyncio.all_tasks()
        running = DataProcessingPipeline(config(), completer=model)
        async with running:
            taken = 0
            async for outcome in running.stream(endless()):
                assert isinstance(outcome, Completed)
                taken += 1
                if taken == 10:
                    break
            await anyio.sleep(100)
            assert sum(model.attempts.values()) < 5000
            assert running.snapshot().gauges["records_in_flight"] > 0
            again = [outcome async for outcome in running.stream(records(5))]  # ends the stream before it
            assert len(again) == 5
        assert asyncio.all_tasks() == before

    run_virtual(main())


def test_a_stream_raises_what_ended_it_after_its_last_outcome() -> None:
    """A fatal error of the provider reaches the one who iterates; two runs at once, or none entered, are refused."""

    def answer(request: Request, attempt: int) -> str:
        if request.messages[-1].content == "t3":
            raise ProviderStop("bad key", status=403)
        return "ok"

    async def main() -> None:
        source, completer = MemorySource([]), ScriptedCompleter(answer)
        running = DataProcessingPipeline(config(1), source=source, sink=MemorySink(), completer=completer)
        with pytest.raises(StreamprocError, match="async with"):
            running.stream(records(3))
        got: list[Any] = []

        async def iterate() -> None:
            async for outcome in running.stream(records(9)):
                got.append(outcome)

        async with running:
            with pytest.raises(ProviderStop, match="bad key"):
                await iterate()
            running.stream(records(50))
            await anyio.sleep(0.1)
            with pytest.raises(StreamprocError, match="running already"):
                await running.run()
        assert len(got) == 3

    run_virtual(main())


@pytest.mark.fault(55)
@settings(max_examples=60)
@given(st.floats(0, 12), st.sampled_from(["native", "scope"]))
def test_a_host_may_cancel_at_any_moment(moment: float, how: str) -> None:
    """Cancelled by its host anywhere, a run leaves no task behind, and its continuation loses and doubles nothing."""
    model, sink = echo(), MemorySink()

    async def main() -> None:
        before = asyncio.all_tasks()
        if how == "scope":
            with anyio.move_on_after(moment):
                await pipeline(model, sink, count=30).run()
        else:
            task = asyncio.ensure_future(pipeline(model, sink, count=30).run())
            await anyio.sleep(moment)
            task.cancel()
            await asyncio.wait([task])
        assert asyncio.all_tasks() == before

    run_virtual(main())
    run_virtual(pipeline(model, sink, count=30).run())
    assert sorted(int(outcome.envelope.record.id) for outcome in sink.outcomes) == list(range(30))
    assert sum(model.billed.values()) <= 30 + 4


@pytest.mark.fault(54)
def test_lost_records_do_not_pass_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """If records vanish inside, the run says so in place of ending well."""
    make = LlmCallHandler._make

    async def forgetful(self: LlmCallHandler, call: Any, permit: Any) -> None:
        if call.request.messages[-1].content != "t2":
            await make(self, call, permit)

    monkeypatch.setattr(LlmCallHandler, "_make", forgetful)
    with pytest.raises(StreamprocError, match="1 records have no outcome"):
        run_virtual(pipeline(echo(), MemorySink(), count=5).run())


def test_truncated_and_unusable_answers() -> None:
    """A cut answer is a value; a filtered or empty one is a dead letter that keeps what was paid for."""

    class Odd(ScriptedCompleter):
        async def complete(self, request: Request) -> Completion:
            good = await super().complete(request)
            reason = {"t1": "length", "t2": "content_filter"}.get(str(request.messages[-1].content), "stop")
            text = "" if request.messages[-1].content == "t3" else good.text
            return Completion(text=text, model="m", finish_reason=reason, usage=good.usage)

    sink, model = MemorySink(), Odd(lambda *_: "ok")
    report = run_virtual(pipeline(model, sink, count=4).run())
    assert (report.completed, report.failed, report.model_calls) == (2, 2, 4)
    assert {outcome.completion.finish_reason for outcome in sink.completed} == {"stop", "length"}
    assert all(isinstance(failed, Failed) and failed.completion for failed in sink.failed)
    assert {failed.error.type for failed in sink.failed} == {"unusable_answer"}
