"""Backpressure tokens: laws under every order of acquiring, releasing, cancelling and resizing."""

import asyncio

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.flow.tokens import Permit, TokenPool
from streamproc.simulation.virtual_time import run_virtual

actions = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.integers(0, 3)),
        st.tuples(st.just("cancel"), st.integers(0, 50)),
        st.tuples(st.just("leave"), st.integers(0, 50)),
        st.tuples(st.just("resize"), st.integers(1, 6)),
        st.tuples(st.just("settle"), st.just(0)),
    ),
    max_size=60,
)


class Crowd:
    """Many who want permits, and a ledger of who got one when."""

    def __init__(self, size: int) -> None:
        self.pool = TokenPool(size)
        self.largest = size
        self.asked: list[int] = []
        self.granted: list[int] = []
        self.waited: list[int] = []
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.inside: dict[int, asyncio.Event] = {}
        self.cancelled: set[int] = set()

    async def visit(self, name: int) -> None:
        waits = self.pool.waiting > 0 or self.pool.in_use >= self.pool.size
        with await self.pool.acquire():
            self.granted.append(name)
            if waits:
                self.waited.append(name)
            leave = self.inside[name] = asyncio.Event()
            try:
                await leave.wait()
            finally:
                del self.inside[name]


@given(st.integers(1, 4), actions)
def test_permits_are_conserved(size: int, script: list[tuple[str, int]]) -> None:
    """Held permits equal holders, never exceed the largest size in force, and all come back at the end."""

    async def main() -> None:
        crowd = Crowd(size)
        in_force = size
        async with asyncio.TaskGroup() as group:
            for action, number in script:
                live = [name for name, task in crowd.tasks.items() if not task.done()]
                if action == "arrive":
                    name = len(crowd.tasks)
                    crowd.asked.append(name)
                    crowd.tasks[name] = group.create_task(crowd.visit(name))
                elif action == "cancel" and live:
                    crowd.cancelled.add(live[number % len(live)])
                    crowd.tasks[live[number % len(live)]].cancel()
                elif action == "leave" and crowd.inside:
                    crowd.inside[sorted(crowd.inside)[number % len(crowd.inside)]].set()
                elif action == "resize":
                    in_force = max(number, crowd.pool.in_use)
                    crowd.pool.resize(number)
                else:
                    await anyio.wait_all_tasks_blocked()
                    assert crowd.pool.in_use == len(crowd.inside)
                    waiting = sum(not task.done() for task in crowd.tasks.values()) - len(crowd.inside)
                    assert crowd.pool.waiting == waiting
                    assert waiting == 0 or crowd.pool.in_use >= crowd.pool.size, "a permit is free while somebody waits"
                assert crowd.pool.in_use <= max(in_force, crowd.pool.size)
            while any(not task.done() for task in crowd.tasks.values()):
                await anyio.wait_all_tasks_blocked()
                for leave in list(crowd.inside.values()):
                    leave.set()
                await asyncio.sleep(0)
        assert crowd.pool.in_use == crowd.pool.waiting == 0
        stayed = [name for name in crowd.granted if name not in crowd.cancelled]
        assert crowd.waited == sorted(crowd.waited), "first come, first served, among those who had to wait"
        assert {name for name in crowd.asked if name not in crowd.cancelled} == set(stayed)

    run_virtual(main())


def test_a_grant_that_meets_a_cancellation_goes_to_the_next() -> None:
    """A waiter cancelled in the very step in which it was granted a permit passes it on."""

    async def main() -> None:
        pool = TokenPool(1)
        first = await pool.acquire()
        second = asyncio.ensure_future(pool.acquire())
        third = asyncio.ensure_future(pool.acquire())
        await anyio.wait_all_tasks_blocked()
        first.release()  # granted to the second, which has not run yet
        second.cancel()
        assert isinstance(await third, Permit)
        assert (pool.in_use, pool.waiting) == (1, 0)

    run_virtual(main())


def test_shrinking_takes_nothing_away_and_growing_wakes_as_many_as_there_are_permits() -> None:
    """Shrink then grow: holders keep what they have, and the sum is right at each step."""

    async def main() -> None:
        pool = TokenPool(3)
        held = [await pool.acquire() for _ in range(3)]
        waiting = [asyncio.ensure_future(pool.acquire()) for _ in range(3)]
        await anyio.wait_all_tasks_blocked()
        pool.resize(1)
        held[0].release()
        assert (pool.in_use, pool.waiting) == (2, 3)
        pool.resize(4)
        await anyio.wait_all_tasks_blocked()
        assert [waiter.done() for waiter in waiting] == [True, True, False]
        assert pool.peak_in_use == 4
        for permit in (*held[1:], waiting[0].result(), waiting[1].result()):
            permit.release()
        (await waiting[2]).release()
        assert pool.in_use == 0

    run_virtual(main())


def test_a_permit_is_given_back_once() -> None:
    """Releasing twice gives back one permit; acquiring again holds one."""

    async def main() -> None:
        pool = TokenPool(1)
        permit = await pool.acquire()
        permit.release()
        permit.release()
        assert pool.in_use == 0
        await permit.reacquire()
        await permit.reacquire()
        assert pool.in_use == 1
        with permit:
            pass
        assert pool.in_use == 0

    run_virtual(main())


@pytest.mark.parametrize("size", [0, -1])
def test_a_pool_has_at_least_one_permit(size: int) -> None:
    """A size below 1 is refused, and the message shows it."""
    with pytest.raises(ValueError, match=f"got {size}"):
        TokenPool(size)
    with pytest.raises(ValueError, match=f"got {size}"):
        TokenPool(1).resize(size)
