"""A computation that nobody waits for any more is nobody's, however long it takes to die."""

import asyncio

import anyio

from streamproc.cache.single_flight import SingleFlight
from streamproc.simulation.virtual_time import run_virtual


class Stubborn:
    """Computes for three seconds; told to stop, takes one more to clear up."""

    def __init__(self) -> None:
        self.begun = self.cleared = 0

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        try:
            await anyio.sleep(3)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            self.cleared += 1
            raise
        return number


def test_nobody_joins_a_computation_that_is_dying_nor_loses_one_by_its_death() -> None:
    """When the last waiter has left, the next caller begins anew although the old computation still clears up; when
    that has ended, further callers join the new one."""

    async def main() -> None:
        flights: SingleFlight[int] = SingleFlight()
        work = Stubborn()
        with anyio.move_on_after(1):
            await flights.run("k", work)
        second = asyncio.ensure_future(flights.run("k", work))
        await anyio.sleep(2)
        assert work.cleared == 1
        assert await asyncio.gather(second, flights.run("k", work)) == [2, 2]
        assert (work.begun, flights.coalesced) == (2, 1)

    run_virtual(main())


def test_closing_waits_until_what_was_computed_has_cleared_up() -> None:
    """When `aclose` returns nothing runs any more, so what the computations use may be closed after it."""

    async def main() -> None:
        flights: SingleFlight[int] = SingleFlight()
        work = Stubborn()
        task = asyncio.ensure_future(flights.run("k", work))
        await anyio.sleep(1)
        await flights.aclose()
        assert work.cleared == 1
        assert await asyncio.gather(task, return_exceptions=True) != [1]

    run_virtual(main())


def test_a_loop_never_waits_for_another_s_computation() -> None:
    """A caller in another event loop computes for itself, and both end well."""
    flights: SingleFlight[str] = SingleFlight()
    one, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    ready = asyncio.Event()

    async def first() -> str:
        await ready.wait()
        return "first"

    async def second() -> str:
        return "second"

    task = one.create_task(flights.run("k", first))
    one.run_until_complete(asyncio.sleep(0))
    assert other.run_until_complete(asyncio.wait_for(flights.run("k", second), 5)) == "second"
    one.call_soon(ready.set)
    assert one.run_until_complete(task) == "first"
    one.close()
    other.close()
