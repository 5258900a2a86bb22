"""A pipeline inside somebody else's program: whatever that program does, it can go on, and so can the pipeline."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from streamproc import (
    DataProcessingPipeline,
    JsonlSink,
    JsonlSource,
    LlmConfig,
    MemorySink,
    MemorySource,
    PipelineConfig,
    ProviderStop,
    Record,
    Refused,
    StreamprocError,
)
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.metrics import CacheMetrics
from streamproc.errors import Unavailable
from streamproc.pipeline.config import ConcurrencyConfig
from streamproc.simulation.virtual_time import run_virtual
from streamproc.testing.faults import ScriptedCompleter

CONFIG = PipelineConfig(
    llm=LlmConfig(model="m", prompt="{{ text }}", base_url="http://127.0.0.1:1/v1"),
    concurrency=ConcurrencyConfig(initial=4),
    drain_seconds=5.0,
)
RECORDS = [{"text": f"t{number}"} for number in range(40)]


def echo(seconds: float = 0.1) -> ScriptedCompleter:
    return ScriptedCompleter(lambda request, _: str(request.messages[-1].content), lambda *_: seconds)


def test_closing_that_fails_leaves_the_pipeline_usable() -> None:
    """A part that raises as it is closed raises that, and neither the next run nor a drain hangs or is refused."""

    class Stuck(MemorySink):
        async def aclose(self) -> None:
            raise StreamprocError("cannot close")

    async def main() -> None:
        pipeline = DataProcessingPipeline(CONFIG, source=MemorySource(RECORDS), sink=Stuck(), completer=echo())
        for _ in range(2):
            with pytest.raises(StreamprocError, match="cannot close"):
                await pipeline.run()
        await pipeline.drain()
        assert pipeline.report is not None

    run_virtual(main())


def test_draining_inside_the_loop_of_a_stream_ends_it() -> None:
    """Whoever iterates may ask for the end; after `drain_seconds` the stream that waits for him is ended."""

    async def main() -> None:
        pipeline = DataProcessingPipeline(CONFIG, completer=echo())
        async with pipeline:
            got = 0
            async for _ in pipeline.stream({"text": f"t{number}"} for number in range(100_000)):
                got += 1
                if got == 10:
                    await pipeline.drain()
            assert got >= 10
            assert anyio.current_time() < 30

    run_virtual(main())


@pytest.mark.fault(55)
def test_a_step_of_a_stream_may_be_cancelled() -> None:
    """Timeouts around single steps lose no outcome, wherever they fall."""

    async def main() -> None:
        async with DataProcessingPipeline(CONFIG, completer=echo()) as pipeline:
            stream = pipeline.stream(RECORDS)
            ids: list[str] = []
            while True:
                try:
                    async with asyncio.timeout(0.013):
                        ids.append((await anext(stream)).envelope.record.id)
                except TimeoutError:
                    continue
                except StopAsyncIteration:
                    break
            assert sorted(ids, key=int) == [str(number) for number in range(40)]

    run_virtual(main())


def test_what_the_callers_iterable_raises_is_raised_where_he_iterates() -> None:
    """An input that fails does not look like one that has ended."""

    def failing() -> Iterator[dict[str, str]]:
        yield {"text": "a"}
        raise LookupError("their database is gone")

    async def main() -> None:
        async with DataProcessingPipeline(CONFIG, completer=echo()) as pipeline:
            with pytest.raises(LookupError, match="their database"):
                _ = [outcome async for outcome in pipeline.stream(failing())]

    run_virtual(main())


def test_what_nobody_iterated_to_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An error behind a stream whose loop was left early is not silent."""

    def failing() -> Iterator[dict[str, str]]:
        yield {"text": "a"}
        raise LookupError("their database is gone")

    async def main() -> None:
        async with DataProcessingPipeline(CONFIG, completer=echo()) as pipeline:
            pipeline.stream(failing())
            await anyio.sleep(10)

    run_virtual(main())
    assert [record.message for record in caplog.records][-1] == "stream.failed_unseen"


def test_a_watcher_that_raises_is_dropped() -> None:
    """Whoever looks on cannot end a run, nor spoil its end."""
    calls: list[Any] = []

    def broken(snapshot: Any) -> None:
        calls.append(snapshot)
        raise BrokenPipeError

    pipeline = DataProcessingPipeline(CONFIG, source=MemorySource(RECORDS), sink=MemorySink(), completer=echo(1))
    report = run_virtual(pipeline.run(watchers=[broken]))
    assert (report.completed, len(calls)) == (40, 1)


def test_asking_an_idle_pipeline_to_end_changes_nothing() -> None:
    """`abort` and `drain` before a run are not remembered against it."""

    async def main() -> None:
        pipeline = DataProcessingPipeline(CONFIG, source=MemorySource(RECORDS), sink=MemorySink(), completer=echo())
        pipeline.abort()
        await pipeline.drain()
        assert (await pipeline.run()).completed == 40

    run_virtual(main())


def test_a_finished_run_can_be_run_again(tmp_path: Path) -> None:
    """With a source and a sink given as objects, a second run opens them anew and does nothing."""
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')

    async def main() -> None:
        source, sink = JsonlSource(tmp_path / "in.jsonl"), JsonlSink(tmp_path / "out.jsonl")
        pipeline = DataProcessingPipeline(CONFIG, source=source, sink=sink, completer=echo())
        assert (await pipeline.run()).completed == 2
        again = await pipeline.run()
        assert (again.records, again.delivered_before) == (0, 2)

    run_virtual(main())


def test_an_output_has_one_owner_whatever_it_is_called(tmp_path: Path) -> None:
    """A link to an output leads to its state and its lock."""
    real, alias = tmp_path / "real.jsonl", tmp_path / "alias.jsonl"
    alias.symlink_to(real)

    async def run(path: Path) -> int:
        source = MemorySource(RECORDS)
        return (
            await DataProcessingPipeline(CONFIG, source=source, sink=JsonlSink(path), completer=echo()).run()
        ).records

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(run(real))
            await anyio.sleep(0.05)
            with pytest.raises(Refused, match="in use"):
                await run(alias)
        assert first.result() == 40
        assert await run(alias) == 0

    run_virtual(both())
    assert len(real.read_bytes().splitlines()) == 40


def test_a_provider_that_is_away_for_long_stops_the_run() -> None:
    """A 503 that asks for two hours makes no dead letters of the whole input."""

    def away(request: Any, attempt: int) -> str:
        raise Unavailable("maintenance", status=503, retry_after=7200.0)

    sink = MemorySink()
    pipeline = DataProcessingPipeline(
        CONFIG, source=MemorySource(RECORDS), sink=sink, completer=ScriptedCompleter(away)
    )
    with pytest.raises(ProviderStop, match="7200"):
        run_virtual(pipeline.run())
    assert sink.outcomes == []


def test_two_items_with_one_id_are_refused() -> None:
    """Ids of a sequence are unique, those that stand for an ordinal included."""
    for items in ([Record("a", {}), Record("a", {})], [{"text": "x"}, Record("0", {})]):
        pipeline = DataProcessingPipeline(CONFIG, source=MemorySource(items), sink=MemorySink(), completer=echo())
        with pytest.raises(Refused, match="same id"):
            run_virtual(pipeline.run())


def test_a_report_that_fails_leaves_the_pipeline_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what a run has shown cannot be put together, that is raised, and the next run is not refused."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        source, sink = MemorySource(RECORDS), MemorySink()
        pipeline = DataProcessingPipeline(CONFIG, source=source, sink=sink, completer=echo())
        with monkeypatch.context() as patched:
            patched.setattr("streamproc.pipeline.run.find_out", broken)
            with pytest.raises(ZeroDivisionError):
                await pipeline.run()
            await pipeline.drain()
        assert len(sink.outcomes) == 40
        assert (await pipeline.run()).delivered_before == 40

    run_virtual(main())


def test_a_gauge_that_raises_is_absent(caplog: pytest.LogCaptureFixture) -> None:
    """A cache of the caller's that cannot tell its figures costs these and a line in the log each, and nothing else."""

    class Shy(MemoryBackend):
        told = 0

        def metrics(self) -> CacheMetrics:
            self.told += 1
            if self.told > 1:
                raise ConnectionError
            return super().metrics()

    pipeline = DataProcessingPipeline(
        CONFIG, source=MemorySource(RECORDS), sink=MemorySink(), completer=echo(1), cache=Shy(10**6)
    )
    assert run_virtual(pipeline.run()).completed == 40
    gauges = pipeline.snapshot().gauges
    assert "cache_entries" not in gauges
    assert gauges["records_in_flight"] == 0
    unread = [record for record in caplog.records if record.message == "gauge.unread"]
    assert len(unread) == len({record.gauge for record in unread}) > 0  # type: ignore[attr-defined]


def test_a_source_is_read_from_its_beginning_after_a_run_that_delivered_nothing() -> None:
    """A source of the caller's that an earlier run had read from counts from 0 again where nothing was delivered."""

    async def main() -> None:
        source, sink = MemorySource(RECORDS), MemorySink()
        pipeline = DataProcessingPipeline(CONFIG, source=source, sink=sink, completer=echo(10))
        with anyio.move_on_after(1):
            await pipeline.run()
        assert sink.outcomes == []
        assert (await pipeline.run()).completed == 40
        assert {outcome.envelope.record.id for outcome in sink.outcomes} == {str(number) for number in range(40)}

    run_virtual(main())
