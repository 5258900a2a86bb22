"""Flights, stages, meters and halts."""

import asyncio
from collections.abc import Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.errors import ProviderStop
from streamproc.flow.batching import Batcher
from streamproc.flow.channel import Inbox, Outbox, open_channel
from streamproc.flow.flights import Flight, Flights
from streamproc.flow.halt import Drain, Halt
from streamproc.flow.meter import Meter
from streamproc.flow.stage import Stage
from streamproc.flow.tokens import Permit, TokenPool
from streamproc.simulation.virtual_time import NothingCanHappen, run_virtual


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_one_flight_a_key_and_every_waiter_lands_once(script: list[tuple[str, bool]]) -> None:
    """At most one flight a key is in the air, and each who boarded is on exactly one landing, in order."""
    flights: Flights[int] = Flights()
    in_air: dict[str, tuple[Flight[int], list[int]]] = {}
    for waiter, (key, lands) in enumerate(script):
        if lands and key in in_air:
            flight, expected = in_air.pop(key)
            assert flights.land(flight) == expected
        else:
            boarded = flights.board(key, waiter)
            assert (boarded is None) == (key in in_air)
            if boarded is not None:
                in_air[key] = (boarded, [])
            in_air[key][1].append(waiter)
        assert len(flights) == len(in_air)


class Doubler:
    """Takes a second for each number, and sends twice of it on."""

    def __init__(self, outbox: Outbox[int], release_early: bool) -> None:
        self.outbox = outbox
        self.release_early = release_early
        self.running = self.peak = 0

    async def handle(self, batch: Sequence[int], permit: Permit) -> None:
        self.running += 1
        self.peak = max(self.peak, self.running)
        await anyio.sleep(len(batch))
        self.running -= 1
        if self.release_early:
            permit.release()
        await self.outbox.send([2 * number for number in batch])


@given(st.integers(0, 30), st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_a_stage_handles_everything_within_its_permits(numbers: int, permits: int, size: int, early: bool) -> None:
    """Every record is handled once, never more batches at a time than permits, and the end travels on."""

    async def main() -> None:
        to_stage: Outbox[int]
        onward: Outbox[int]
        to_stage, inbox = open_channel("in", 2)
        onward, results = open_channel("out", 1)
        handler = Doubler(onward, early)
        pool = TokenPool(permits)
        stage = Stage("double", Batcher(inbox, size), pool, handler, [onward])
        got: list[int] = []

        async def collect(results: Inbox[int]) -> None:
            while True:
                try:
                    got.extend(await results.receive())
                except anyio.EndOfStream:
                    return

        async with asyncio.TaskGroup() as group:
            group.create_task(stage.run())
            group.create_task(collect(results))
            for number in range(numbers):
                await to_stage.send([number])
            to_stage.close()
        assert sorted(got) == [2 * number for number in range(numbers)]
        assert handler.peak <= permits
        assert pool.in_use == 0
        inbox.close()
        results.close()

    run_virtual(main())


def test_a_bug_in_a_handler_ends_the_stage() -> None:
    """What a handler raises is raised by the stage, after its other children are cancelled."""

    class Broken:
        async def handle(self, batch: Sequence[int], permit: Permit) -> None:
            if batch[0] == 1:
                raise ZeroDivisionError
            await anyio.sleep_forever()

    async def main() -> None:
        outbox: Outbox[int]
        outbox, inbox = open_channel("in", 4)
        await outbox.send([0, 1])
        with pytest.RaisesGroup(ZeroDivisionError):
            await Stage("broken", Batcher(inbox, 1), TokenPool(2), Broken()).run()
        outbox.close()
        inbox.close()

    run_virtual(main())


def test_a_halt_cuts_waits_short_and_keeps_its_first_cause() -> None:
    """Whoever sleeps wakes at once, whoever comes later does not wait, and the first cause stays."""

    async def main() -> None:
        halt = Halt()
        stop = ProviderStop("bad key")
        async with anyio.create_task_group() as group:
            group.start_soon(halt.sleep, 3600)
            await anyio.sleep(5)
            halt.request(stop)
        halt.request(Drain.REQUESTED)
        await halt.sleep(3600)
        assert anyio.current_time() == 5
        assert halt.cause is stop

    run_virtual(main())


@given(st.lists(st.floats(0, 300), max_size=50))
def test_a_distribution_counts_each_observation_once(seconds: list[float]) -> None:
    """Buckets add up to the count, and a quantile is a bound that enough observations stay under."""
    meter = Meter(lambda: 7.0)
    for duration in seconds:
        meter.observe("call_seconds", duration)
    meter.add("calls_total", len(seconds))
    meter.gauge("twice", lambda: 2.0)
    snapshot = meter.snapshot()
    assert (snapshot.at, snapshot.counter("calls_total"), snapshot.gauges["twice"]) == (7.0, len(seconds), 2.0)
    if seconds:
        distribution = snapshot.distributions["call_seconds"]
        assert distribution.count == sum(distribution.buckets) == len(seconds)
        median = distribution.quantile(0.5)
        assert sum(duration <= median for duration in seconds) >= len(seconds) / 2 or median > 131


def test_a_deadlock_fails_at_once_on_virtual_time() -> None:
    """A program in which nothing can happen any more raises, in place of hanging."""
    with pytest.raises(NothingCanHappen):
        run_virtual(anyio.Event().wait())


def test_hours_pass_in_no_time() -> None:
    """Sleeping takes its time on the loop's clock, and none on the wall's; threads are waited for."""

    async def main() -> float:
        await anyio.sleep(7200)
        await asyncio.get_running_loop().run_in_executor(None, sum, [1, 2])
        return anyio.current_time()

    assert run_virtual(main()) == 7200
