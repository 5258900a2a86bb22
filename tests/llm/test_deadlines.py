"""The deadline of an attempt: what ends in time counts, also where the event loop could not look in time."""

import asyncio
import socket
import threading
import time
from contextlib import nullcontext

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.llm.deadlines import Deadlines
from streamproc.simulation.virtual_time import run_virtual


@pytest.mark.parametrize("offset", [-1e-6, 0.0])
def test_an_answer_at_the_very_moment_counts(offset: float) -> None:
    """An answer that is on its way to who waits for it when the time is over is not thrown away."""

    async def main() -> None:
        deadlines, loop = Deadlines(1.0), asyncio.get_running_loop()
        answer = loop.create_future()
        loop.call_at(loop.time() + 1.0 + offset, answer.set_result, "paid")
        with deadlines.start() as deadline:
            assert await answer == "paid"
        assert not deadline.expired

    run_virtual(main())


@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3), st.booleans()), min_size=1, max_size=8),
    st.floats(0, 4),
)
def test_whoever_cancels_is_obeyed(attempts: list[tuple[float, float, bool]], outer: float) -> None:
    """An attempt ends by its answer, its deadline or whoever else cancels; nobody is cancelled for another's sake."""

    async def main() -> None:
        deadlines = Deadlines(1.0)
        ends: list[str] = []

        async def one(start: float, seconds: float, scoped: bool) -> None:
            await anyio.sleep(start)
            try:
                with anyio.CancelScope() if scoped else nullcontext():
                    with deadlines.start() as deadline:
                        await anyio.sleep(seconds)
                    ends.append("expired" if deadline.expired else "answered")
                    if deadline.expired:
                        assert seconds >= 0.9
                    await anyio.sleep(0.01)  # nothing is left of the cancellation
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        tasks = [asyncio.create_task(one(*attempt)) for attempt in attempts]
        await anyio.sleep(outer)
        running = [task for task in tasks if not task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in running)
        assert [task.exception() for task in tasks if not task.cancelled()] == [None] * (len(tasks) - len(running))
        assert not deadlines._started

    run_virtual(main())


@pytest.mark.slow
@pytest.mark.fault(50)
@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("transport", ["lean", "lean on uvloop"], indirect=True)
def test_an_answer_that_came_while_the_loop_was_stalled_counts() -> None:
    """What lies in the socket's buffer when a stalled event loop goes on is read before its deadline can fall."""

    async def main() -> None:
        deadlines = Deadlines(0.4)
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            threading.Timer(0.35, theirs.send, [b"paid"]).start()
            asyncio.get_running_loop().call_later(0.33, time.sleep, 0.4)
            with deadlines.start() as deadline:
                assert await reader.read(10) == b"paid"
            assert not deadline.expired
            writer.close()

    asyncio.run(main())
