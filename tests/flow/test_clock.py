"""The run's clock."""

import asyncio
import time
from collections.abc import Callable

import pytest
import uvloop

from streamproc.flow.clock import running_clock
from streamproc.simulation.virtual_time import run_virtual


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_work_within_one_callback_takes_time(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Whichever the event loop, its run's clock is the loop's, and counts what passes while a callback runs."""

    async def main() -> None:
        clock = running_clock()
        await asyncio.sleep(0)
        assert clock() == pytest.approx(asyncio.get_running_loop().time(), abs=0.5)
        began_at, began = clock(), time.monotonic()
        while time.monotonic() - began < 0.0003:
            pass
        assert clock() - began_at > 0.0002

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_virtual_time_is_the_clock_of_a_virtual_run() -> None:
    """In virtual time the run's clock moves with the loop alone."""

    async def main() -> tuple[float, float]:
        clock = running_clock()
        before = clock()
        await asyncio.sleep(7.0)
        return before, clock()

    assert run_virtual(main()) == (0.0, 7.0)
