"""Parts that fail in a way nobody foresaw: a run with records missing never passes for finished."""

import asyncio
from typing import Any

import anyio
import pytest

from streamproc import (
    DataProcessingPipeline,
    LlmConfig,
    MemorySink,
    MemorySource,
    PipelineConfig,
    ResourcesConfig,
    StreamprocError,
)
from streamproc.cache.memory import MemoryBackend
from streamproc.pipeline.config import ConcurrencyConfig
from streamproc.simulation.virtual_time import run_virtual
from streamproc.testing.faults import ScriptedCompleter

RECORDS = 3000
"""More than may be on their way at once: a record that vanished would hold up all after it."""
ROWS = [{"text": f"t{number}"} for number in range(RECORDS)]
CONFIG = PipelineConfig(
    llm=LlmConfig(
        model="m",
        prompt="{{ text }}",
        base_url="http://127.0.0.1:1/v1",
        parameters={"temperature": 0},
        timeout_seconds=60,
    ),
    concurrency=ConcurrencyConfig(initial=64, adaptive=False),
    resources=ResourcesConfig(stall_seconds=30, max_memory_mb=1e6),
)


class Unforeseen(RuntimeError):
    """What no part should raise."""


class Trouble:
    """Does something at the so-manieth call."""

    def __init__(self, act: Any, at: int) -> None:
        self._act = act
        self.left = at

    async def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            await self._act()


async def raises():
    raise Unforeseen


async def cancels():
    raise asyncio.CancelledError


async def hangs():
    await asyncio.Event().wait()


def parts(place: str, trouble: Trouble, sink: MemorySink, model: ScriptedCompleter, store: MemoryBackend) -> Any:
    """Give the parts of a pipeline, of which one has trouble."""

    class Source(MemorySource):
        async def read(self, limit):
            if place == "source":
                await trouble.step()
            return await super().read(limit)

    class Cache(MemoryBackend):
        async def get_many(self, keys):
            if place == "lookup":
                await trouble.step()
            return await store.get_many(keys)

        async def put_many(self, items, *, ttl):
            if place == "journal":
                await trouble.step()
            await store.put_many(items, ttl=ttl)

    class Model(ScriptedCompleter):
        async def complete(self, request):
            if place == "model":
                await trouble.step()
            return await model.complete(request)

    class Delivery(MemorySink):
        async def write(self, outcomes, checkpoint):
            if place == "sink":
                await trouble.step()
            await sink.write(outcomes, checkpoint)
            self.checkpoint = sink.checkpoint

        async def open(self, run):
            return await sink.open(run)

        async def digests(self, positions):
            return await sink.digests(positions)

    return {"source": Source(ROWS), "sink": Delivery(), "completer": Model(lambda *_: "ok"), "cache": Cache(10**9)}


def model() -> ScriptedCompleter:
    return ScriptedCompleter(lambda *_: "ok", lambda *_: 0.05)


PLACES = {"source": 3, "lookup": 20, "model": 200, "journal": 200, "sink": 3}


@pytest.mark.fault(54)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("act", [raises, cancels])
def test_a_part_that_fails_in_an_unknown_way_ends_the_run_aloud(place, act, figure):
    """Where a part raises what it should not, or a cancellation that nobody asked for, the run raises at once and goes
    on to the end when it is continued, with each record delivered once."""
    sink, paid, store = MemorySink(), model(), MemoryBackend(10**9)

    async def main() -> None:
        pipeline = DataProcessingPipeline(CONFIG, **parts(place, Trouble(act, PLACES[place]), sink, paid, store))
        with pytest.raises((Unforeseen, StreamprocError)) as raised:
            await pipeline.run()
        assert act is raises or "cancelled from within" in str(raised.value)
        assert anyio.current_time() < 60
        assert pipeline.report is not None
        assert pipeline.report.ending == "stopped"

    run_virtual(main())
    assert len(sink.outcomes) < RECORDS
    run_virtual(DataProcessingPipeline(CONFIG, **parts("nowhere", Trouble(act, 0), sink, paid, store)).run())
    assert sorted(int(outcome.envelope.record.id) for outcome in sink.outcomes) == list(range(RECORDS))
    assert paid.billed.total() <= RECORDS + 64
    figure.add(1, "failures of a part told and continued")


@pytest.mark.fault(54)
@pytest.mark.parametrize("place", ["source", "lookup", "journal", "sink"])
def test_a_part_that_hangs_is_alerted(place):
    """Where a part never comes back the run does not end, and after `stall_seconds` that is alerted; its host may
    cancel it and go on. (A model that hangs runs into its deadline.)"""
    sink, paid, store, alerts = MemorySink(), model(), MemoryBackend(10**9), []

    async def main() -> None:
        pipeline = DataProcessingPipeline(
            CONFIG, **parts(place, Trouble(hangs, PLACES[place]), sink, paid, store), on_alert=alerts.append
        )
        with anyio.move_on_after(1000) as scope:
            await pipeline.run()
        assert scope.cancelled_caught

    run_virtual(main())
    fired = {(alert.metric, alert.state) for alert in alerts}
    assert ("stall", "firing") in fired or place == "source"
    run_virtual(DataProcessingPipeline(CONFIG, **parts("nowhere", Trouble(hangs, 0), sink, paid, store)).run())
    assert sorted(int(outcome.envelope.record.id) for outcome in sink.outcomes) == list(range(RECORDS))


@pytest.mark.fault(54)
def test_an_iterable_that_cancels_itself_does_not_look_like_one_that_has_ended():
    """A stream over input that raises a cancellation of its own raises where it is iterated."""

    def rows():
        yield {"text": "a"}
        raise asyncio.CancelledError

    async def main() -> None:
        async with DataProcessingPipeline(CONFIG, completer=model()) as pipeline:
            with pytest.raises(StreamprocError, match="cancelled from within"):
                async for _ in pipeline.stream(rows()):
                    pass

    run_virtual(main())


@pytest.mark.fault(54)
@pytest.mark.parametrize("place", PLACES)
def test_accounts_add_up_at_every_moment(place):
    """At each tick, also of a run that is about to fail: accepted = completed + failed + in flight."""
    sink, paid, store, seen = MemorySink(), model(), MemoryBackend(10**9), []

    async def main() -> None:
        pipeline = DataProcessingPipeline(CONFIG, **parts(place, Trouble(raises, PLACES[place]), sink, paid, store))
        with pytest.raises(Unforeseen):
            await pipeline.run(watchers=[seen.append])
        seen.append(pipeline.snapshot())

    run_virtual(main())
    for snapshot in seen:
        settled = snapshot.counter("records_completed_total") + snapshot.counter("records_failed_total")
        assert snapshot.gauges["records_in_flight"] >= snapshot.counter("records_accepted_total") - settled
