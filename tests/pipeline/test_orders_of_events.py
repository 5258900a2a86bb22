"""What must come before what: an answer is kept, its permit given back, its row written, its record struck off."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc import (
    Checkpoint,
    Completion,
    DataProcessingPipeline,
    LlmConfig,
    MemorySink,
    MemorySource,
    Outcome,
    PipelineConfig,
    Request,
    ResourcesConfig,
)
from streamproc.cache.memory import MemoryBackend
from streamproc.errors import Ambiguous, BadAnswer, ProviderError, RateLimited, RejectedRequest, Unavailable
from streamproc.pipeline.config import SMALLEST_SPAN, ConcurrencyConfig
from streamproc.records import Row
from streamproc.simulation.virtual_time import run_virtual
from streamproc.sinks.sink import SinkConfig
from streamproc.testing.faults import Crash, ScriptedCompleter

STORE_BYTES = 10**9
RESOURCES = ResourcesConfig(max_concurrent=8)


def config(concurrency: int = 4, *, max_attempts: int = 6, **options: Any) -> PipelineConfig:
    llm = LlmConfig(
        model="m",
        prompt="{{ text }}",
        base_url="http://127.0.0.1:1/v1",
        max_attempts=max_attempts,
        parameters={"temperature": 0},
    )
    return PipelineConfig(llm=llm, concurrency=ConcurrencyConfig(initial=concurrency, adaptive=False), **options)


def records(count: int) -> list[dict[str, Any]]:
    return [{"text": f"t{number}"} for number in range(count)]


def positions(sink: MemorySink) -> list[Any]:
    return [outcome.envelope.position for outcome in sink.outcomes]


class Meeting:
    """Counts how many are at something at once."""

    def __init__(self) -> None:
        self.present = self.peak = 0

    def __enter__(self) -> None:
        self.present += 1
        self.peak = max(self.peak, self.present)

    def __exit__(self, *_: object) -> None:
        self.present -= 1


class SlowBackend(MemoryBackend):
    """Takes its time to keep an answer."""

    def __init__(self, under_way: Meeting, seconds: float) -> None:
        super().__init__(STORE_BYTES)
        self.under_way = under_way
        self.seconds = seconds

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        with self.under_way:
            await anyio.sleep(self.seconds)
            await super().put_many(items, ttl=ttl)


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("seconds", [0.1, 10.0])
def test_a_permit_is_held_until_the_answer_is_kept(concurrency: int, seconds: float) -> None:
    """Calls under way and answers on their way to the cache are never more than permits: what a crash could lose."""
    under_way = Meeting()

    class Model(ScriptedCompleter):
        async def complete(self, request: Request) -> Completion:
            with under_way:
                return await super().complete(request)

    def answer(request: Request, attempt: int) -> str:
        if attempt == 1 and str(request.messages[-1].content).endswith("3"):
            raise RateLimited("slow down", retry_after=2.0)
        return "ok"

    running = DataProcessingPipeline(
        config(concurrency),
        source=MemorySource(records(20)),
        sink=MemorySink(),
        completer=Model(answer),
        cache=SlowBackend(under_way, seconds),
    )
    report = run_virtual(running.run())
    assert (report.completed, report.model_calls) == (20, 22)
    assert under_way.peak == concurrency


@pytest.mark.parametrize("kind", [Unavailable, Ambiguous, BadAnswer, RejectedRequest])
def test_a_failure_after_a_drain_is_no_dead_letter(kind: type[ProviderError]) -> None:
    """A record whose last attempt fails once the end was asked for is left to the next run, which asks again."""
    model = ScriptedCompleter(lambda *_: "ok")
    sink = MemorySink()

    def fail(request: Request, attempt: int) -> str:
        raise kind("scripted", status=500)

    def pipeline(completer: ScriptedCompleter) -> DataProcessingPipeline:
        return DataProcessingPipeline(
            config(max_attempts=1, drain_seconds=60.0), source=MemorySource(records(3)), sink=sink, completer=completer
        )

    async def main() -> None:
        running = pipeline(ScriptedCompleter(fail, lambda *_: 10.0))
        async with asyncio.TaskGroup() as group:
            run = group.create_task(running.run())
            await anyio.sleep(5)
            await running.drain()
        assert (run.result().ending, run.result().failed, run.result().unfinished) == ("drained", 0, 3)
        assert anyio.current_time() == pytest.approx(10)
        assert sink.outcomes == []

    run_virtual(main())
    report = run_virtual(pipeline(model).run())
    assert (report.ending, report.completed, report.failed) == ("finished", 3, 0)


class Named(MemorySink):
    """A sink whose run has a name, and which a crash may keep from its first delivery."""

    def __init__(self, run_id: str, crashes: bool) -> None:
        super().__init__()
        self.name = run_id
        self.crashes = crashes

    @property
    def run_id(self) -> str:
        return self.name

    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        if self.crashes:
            raise Crash
        await super().write(outcomes, checkpoint)


class Curt(ScriptedCompleter):
    """Answers as a script says, with a finish reason and a text of the test's choice."""

    def __init__(self, finish_reason: str, text: str = "half of") -> None:
        super().__init__(lambda *_: text)
        self.finish_reason = finish_reason

    async def complete(self, request: Request) -> Completion:
        good = await super().complete(request)
        return Completion(text=good.text, model="m", finish_reason=self.finish_reason, usage=good.usage)


@pytest.mark.parametrize(
    ("finish_reason", "text", "run_id", "calls"),
    [
        ("length", "half of", "mine", 1),
        ("length", "half of", "another", 2),
        ("content_filter", "no", "mine", 1),
        ("content_filter", "no", "another", 2),
        ("stop", "", "mine", 1),
        ("stop", "", "another", 2),
        ("stop", "whole", "mine", 1),
        ("stop", "whole", "another", 1),
    ],
)
def test_an_incomplete_answer_belongs_to_the_run_that_paid_for_it(
    finish_reason: str, text: str, run_id: str, calls: int
) -> None:
    """An answer that was recorded and not delivered is used by its run's resumption, a whole one by any other too."""
    model, store = Curt(finish_reason, text), MemoryBackend(STORE_BYTES)

    def pipeline(sink: MemorySink) -> DataProcessingPipeline:
        return DataProcessingPipeline(
            config(), source=MemorySource(records(1)), sink=sink, completer=model, cache=store
        )

    with pytest.raises(Crash):
        run_virtual(pipeline(Named("mine", crashes=True)).run())
    sink = Named(run_id, crashes=False)
    report = run_virtual(pipeline(sink).run())
    assert report.records == 1
    (outcome,) = sink.outcomes
    assert outcome.completion is not None
    assert (outcome.completion.finish_reason, outcome.completion.text) == (finish_reason, text)
    assert outcome.attempts == calls - 1
    assert sum(model.billed.values()) == calls


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["stop", "length"])), min_size=1, max_size=4))
def test_an_incomplete_answer_takes_nobody_else_s_place(runs: list[tuple[int, str]]) -> None:
    """Runs ask the same of one cache at once, are answered in any order, and crash before they deliver: each resumption
    finds its own answer or a whole one and pays nothing; a new run pays unless anybody's answer was whole."""
    store = MemoryBackend(STORE_BYTES)

    async def one(run_id: str, seconds: int, finish_reason: str, crashes: bool) -> tuple[int, MemorySink]:
        model, sink = Curt(finish_reason), Named(run_id, crashes)
        model._seconds = lambda *_: float(seconds)
        running = DataProcessingPipeline(
            config(), source=MemorySource(records(1)), sink=sink, completer=model, cache=store
        )
        with pytest.raises(Crash) if crashes else nullcontext():
            await running.run()
        return sum(model.billed.values()), sink

    async def main() -> None:
        await asyncio.gather(*(one(f"run {n}", *run, crashes=True) for n, run in enumerate(runs)))
        whole = any(reason == "stop" for _, reason in runs)
        for number, (_, reason) in enumerate(runs):
            paid, sink = await one(f"run {number}", 1, "stop", crashes=False)
            assert paid == 0
            assert sink.completed[0].completion.finish_reason == ("stop" if whole else reason)
        paid, _ = await one("a new one", 1, "stop", crashes=False)
        assert paid == int(not whole)

    run_virtual(main())


@pytest.mark.parametrize(("answer", "calls"), [("half \ud800", 2), ("whole", 1)])
def test_an_answer_that_cannot_be_stored_is_delivered_all_the_same(answer: str, calls: int) -> None:
    """Half of a surrogate pair in an answer keeps it out of the cache, and ends neither its record nor the run."""
    store, model = MemoryBackend(STORE_BYTES), ScriptedCompleter(lambda *_: answer)
    for run_id in ("one", "another"):
        sink = Named(run_id, crashes=False)
        running = DataProcessingPipeline(
            config(), source=MemorySource(records(3)), sink=sink, completer=model, cache=store
        )
        assert run_virtual(running.run()).completed == 3
        assert [outcome.value for outcome in sink.completed] == [answer] * 3
    assert sum(model.billed.values()) == 3 * calls


def test_every_question_is_a_hit_or_a_miss_once() -> None:
    """Of five records two ask the same: four lookups, all of them misses in the first run and hits in the second."""
    store, model = MemoryBackend(STORE_BYTES), ScriptedCompleter(lambda *_: "ok")
    for hits, misses in ((0, 4), (4, 0)):
        running = DataProcessingPipeline(
            config(), source=MemorySource([*records(4), *records(1)]), sink=MemorySink(), completer=model, cache=store
        )
        assert run_virtual(running.run()).completed == 5
        snapshot = running.snapshot()
        assert (snapshot.counter("cache_hits_total"), snapshot.counter("cache_misses_total")) == (hits, misses)


def test_a_question_that_cannot_be_encoded_is_a_dead_letter() -> None:
    """Half of a surrogate pair in a question makes a dead letter of its record, and the run goes on."""
    sink, model = MemorySink(), ScriptedCompleter(lambda *_: "ok")
    source = MemorySource([{"text": "\ud800"}, {"text": "whole"}])
    report = run_virtual(DataProcessingPipeline(config(), source=source, sink=sink, completer=model).run())
    assert (report.completed, report.failed) == (1, 1)
    assert sink.failed[0].error.type == "render_failed"


@pytest.mark.parametrize(("finish_reason", "text"), [("content_filter", "no"), ("stop", ""), ("length", "")])
def test_a_dead_letter_of_an_unusable_answer_says_who_paid(finish_reason: str, text: str) -> None:
    """An answer that nobody can use counts as one attempt for the record that paid, and as none for its twin."""
    sink = MemorySink()
    rows = [{"text": "same"}, {"text": "same"}]
    running = DataProcessingPipeline(
        config(), source=MemorySource(rows), sink=sink, completer=Curt(finish_reason, text)
    )
    run_virtual(running.run())
    assert [(failed.error.type, failed.attempts) for failed in sink.failed] == [
        ("unusable_answer", 1),
        ("unusable_answer", 0),
    ]


def test_records_stay_in_flight_until_their_write_has_returned() -> None:
    """While the sink writes nothing counts as delivered: records are in flight, and the source waits at the span."""

    class Counting(MemorySource):
        given = 0

        async def read(self, limit: int) -> Sequence[Row]:
            rows = await super().read(limit)
            self.given += len(rows)
            return rows

    class Slow(MemorySink):
        async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
            await anyio.sleep(100)
            await super().write(outcomes, checkpoint)

    async def main() -> None:
        source, sink = Counting(records(SMALLEST_SPAN + 500)), Slow()
        completer = ScriptedCompleter(lambda *_: "ok", lambda *_: 0.001)
        running = DataProcessingPipeline(config(8, resources=RESOURCES), source=source, sink=sink, completer=completer)
        async with asyncio.TaskGroup() as group:
            run = group.create_task(running.run())
            await anyio.sleep(90)
            snapshot = running.snapshot()
            assert source.given == snapshot.gauges["records_in_flight"] == SMALLEST_SPAN
            assert snapshot.counter("records_completed_total") == len(sink.outcomes) == 0
        assert run.result().completed == SMALLEST_SPAN + 500

    run_virtual(main())


@settings(max_examples=60)
@given(
    st.integers(-1, 5),
    st.sets(st.integers(6, 29)),
    st.integers(1, 6),
    st.lists(st.sampled_from([0.1, 1.0, 7.0]), min_size=30, max_size=30),
    st.booleans(),
)
def test_rows_delivered_before_are_passed_over_in_order(
    low: int, above: set[int], concurrency: int, seconds: list[float], ordered: bool
) -> None:
    """A resumption gives each row that was not delivered once, whichever were; in the input's order where asked."""
    sink = MemorySink()
    sink.checkpoint = Checkpoint(low if low >= 0 else None, tuple(sorted(above)))
    model = ScriptedCompleter(lambda *_: "ok", lambda request, _: seconds[int(request.messages[-1].content[1:])])  # type: ignore[arg-type]
    running = DataProcessingPipeline(
        config(concurrency, sink=SinkConfig(ordered=ordered)),
        source=MemorySource(records(30)),
        sink=sink,
        completer=model,
    )
    report = run_virtual(running.run())
    missing = [number for number in range(low + 1, 30) if number not in above]
    assert report.ending == "finished"
    assert (positions(sink) if ordered else sorted(positions(sink))) == missing
    assert sink.checkpoint is None or not missing or sink.checkpoint == Checkpoint(29)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_limit_counts_what_is_accepted_and_not_what_is_passed_over(ordered: bool) -> None:
    """With a limit of three, three new rows are delivered, however many lie between them that were before."""
    sink = MemorySink()
    sink.checkpoint = Checkpoint(1, (3, 5, 6, 7, 8))
    running = DataProcessingPipeline(
        config(sink=SinkConfig(ordered=ordered)),
        source=MemorySource(records(30)),
        sink=sink,
        completer=ScriptedCompleter(lambda *_: "ok"),
    )
    report = run_virtual(running.run(limit=3))
    assert report.records == 3
    assert sorted(positions(sink)) == [2, 4, 9]
    assert sink.checkpoint == Checkpoint(9)
