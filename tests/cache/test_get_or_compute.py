"""One computation a key: in a process by flights, between processes by leases; whoever leaves harms nobody."""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.cache.backend import CacheBackend
from streamproc.cache.config import CacheConfig
from streamproc.cache.lease import LeaseStore
from streamproc.cache.manager import CacheManager
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.tiered import TieredBackend
from streamproc.errors import CacheUnavailable
from streamproc.simulation.virtual_time import run_virtual

SECONDS = 3.0
"""How long a computation takes, and how long a lease lives without renewal."""


class Work:
    """Computes after a while, and counts."""

    def __init__(self, seconds: float = SECONDS, fails: bool = False) -> None:
        self.begun = self.ended = 0
        self.seconds = seconds
        self.fails = fails

    async def __call__(self) -> list[int]:
        self.begun += 1
        number = self.begun
        await anyio.sleep(self.seconds)
        self.ended += 1
        if self.fails:
            raise ValueError("no answer")
        return [number]


def manager(backend: CacheBackend | None = None) -> CacheManager[list[int]]:
    return CacheManager(CacheConfig(), backend or MemoryBackend(10**6), list[int], wall=anyio.current_time)


@given(
    st.lists(st.tuples(st.floats(0, 5), st.one_of(st.none(), st.floats(0.1, 4))), min_size=1, max_size=12),
    st.booleans(),
)
def test_callers_share_one_computation_and_leave_alone(callers: list[tuple[float, float | None]], fails: bool) -> None:
    """Callers come when they like and some lose patience: at most one computation runs at any time, everyone who stays
    gets its result, none computes again what is stored, and nothing runs on for nobody."""

    async def main() -> None:
        cache, work = manager(), Work(fails=fails)
        results: list[list[int] | str] = []
        running: list[int] = []

        async def compute() -> list[int]:
            running.append(1)
            assert len(running) == 1
            try:
                return await work()
            finally:
                running.pop()

        async def call(at: float, patience: float | None) -> None:
            await anyio.sleep(at)
            with anyio.move_on_after(patience if patience is not None else 1000):
                try:
                    results.append(await cache.get_or_compute("k", compute))
                except ValueError as error:
                    results.append(str(error))

        async with anyio.create_task_group() as group:
            for at, patience in callers:
                group.start_soon(call, at, patience)
        await anyio.lowlevel.checkpoint()
        assert not running
        assert len(results) >= sum(patience is None for _, patience in callers)
        if fails:
            assert set(map(str, results)) <= {"no answer"}
            assert await cache.get("k") is None
        else:
            assert work.ended <= 1
            assert all(result == [work.begun] for result in results)
        await cache.aclose()

    run_virtual(main())


def test_a_hundred_callers_pay_once() -> None:
    """A hundred callers of one key: one computation, ninety-nine coalesced, equal results that are each one's own."""

    async def main() -> None:
        async with manager() as cache:
            work = Work()
            results = await asyncio.gather(*(cache.get_or_compute("k", work) for _ in range(100)))
            assert work.begun == 1
            results[0].append(99)
            assert results[1] == [1] == await cache.get("k") == await cache.get_or_compute("k", work)
            metrics = cache.metrics()
            assert (metrics.coalesced, metrics.hits, metrics.misses) == (99, 2, 100)

    run_virtual(main())


def test_none_is_a_value_too() -> None:
    """A computation that gives None is not repeated."""

    async def main() -> None:
        calls: list[int] = []

        async def nothing() -> None:
            calls.append(1)

        async with CacheManager[None](CacheConfig()) as cache:
            for _ in range(3):
                assert await cache.get_or_compute("k", nothing) is None
            assert cache.metrics().hits == 2
        assert len(calls) == 1

    run_virtual(main())


def test_the_same_manager_serves_one_loop_after_another() -> None:
    """A computation that died with its loop is not waited for in the next one."""
    cache = manager()

    async def leave_in_the_air() -> None:
        task = asyncio.ensure_future(cache.get_or_compute("k", Work()))
        await anyio.sleep(1)
        assert not task.done()

    async def again() -> list[int]:
        return await cache.get_or_compute("k", Work())

    run_virtual(leave_in_the_air())
    assert run_virtual(again()) == [1]


def test_closing_ends_what_is_being_computed() -> None:
    """Whoever closes the cache does not leave a computation behind; who waited for it is cancelled."""

    async def main() -> None:
        cache, work = manager(), Work(seconds=1000)
        task = asyncio.ensure_future(cache.get_or_compute("k", work))
        await anyio.sleep(1)
        await cache.aclose()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (work.begun, work.ended, len(asyncio.all_tasks())) == (1, 0, 1)

    run_virtual(main())


class SharedLeases:
    """Leases as a server gives them, on the event loop's clock. `lost` loses every renewal."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._held: dict[str, tuple[str, float]] = {}
        self.lost = False
        self.down = False
        self.seconds = seconds

    async def take(self, key: str, token: str) -> bool:
        if self.down:
            raise CacheUnavailable("down")
        if key in self._held and self._held[key][1] > anyio.current_time():
            return False
        self._held[key] = token, anyio.current_time() + self.seconds
        return True

    async def renew(self, key: str, token: str) -> bool:
        if self.down:
            raise CacheUnavailable("down")
        if self.lost or self._held.get(key, ("", 0))[0] != token:
            return False
        self._held[key] = token, anyio.current_time() + self.seconds
        return True

    async def release(self, key: str, token: str) -> None:
        if self.down:
            raise CacheUnavailable("down")
        if self._held.get(key, ("", 0))[0] == token:
            del self._held[key]


class Shared(MemoryBackend):
    """A server that several processes use."""

    def __init__(self, leases: SharedLeases) -> None:
        super().__init__(10**6)
        self._leases = leases

    @property
    def leases(self) -> LeaseStore:
        return self._leases


def processes(number: int, leases: SharedLeases) -> list[CacheManager[list[int]]]:
    server = Shared(leases)
    return [manager(TieredBackend(MemoryBackend(10**6), server)) for _ in range(number)]


def run_all(managers: list[CacheManager[Any]], work: Work, during: Callable[[], None] | None = None) -> list[list[int]]:
    async def main() -> list[list[int]]:
        tasks = [asyncio.ensure_future(cache.get_or_compute("k", work)) for cache in managers for _ in range(5)]
        if during is not None:
            await anyio.sleep(1)
            during()
        return list(await asyncio.gather(*tasks))

    return run_virtual(main())


@pytest.mark.parametrize("seconds", [0.5, SECONDS, 20 * SECONDS])
def test_processes_compute_once(seconds: float) -> None:
    """Three processes with five callers each compute once, also if that takes far longer than a lease lives."""
    work = Work(seconds)
    assert run_all(processes(3, SharedLeases()), work) == [[1]] * 15
    assert work.begun == 1


def test_a_lost_lease_costs_money_and_never_correctness() -> None:
    """If renewals are lost, each process computes at most once, and everyone gets a result that was computed."""
    leases, work = SharedLeases(), Work(10 * SECONDS)

    def lose() -> None:
        leases.lost = True

    results = run_all(processes(3, leases), work, lose)
    assert 1 <= work.begun <= 3
    assert {result[0] for result in results} <= {1, 2, 3}


def test_a_holder_that_died_is_waited_for_no_longer_than_its_lease() -> None:
    """A process that was killed while it held the lease keeps the others waiting for the rest of its lease at most."""

    async def main() -> None:
        leases, work = SharedLeases(), Work(1)
        await leases.take("k", "the dead one's token")
        (cache,) = processes(1, leases)
        assert await cache.get_or_compute("k", work) == [1]
        assert anyio.current_time() <= SECONDS + 0.5 + 1

    run_virtual(main())


def test_waiting_for_another_process_has_an_end() -> None:
    """After `lease_wait_seconds` a value is computed twice rather than waited for."""

    async def main() -> None:
        leases, work = SharedLeases(seconds=10**6), Work(1)
        await leases.take("k", "one that hangs for ever")
        config = CacheConfig(lease_wait_seconds=30)
        cache: CacheManager[list[int]] = CacheManager(config, Shared(leases), list[int], wall=anyio.current_time)
        assert await cache.get_or_compute("k", work) == [1]
        assert 30 <= anyio.current_time() <= 30 + 0.5 + 1

    run_virtual(main())


def test_a_store_that_fails_while_computing_does_not_spoil_the_result() -> None:
    """Renewing and releasing may fail: the value is given and stored all the same."""
    leases, work = SharedLeases(), Work(2 * SECONDS)

    def fail() -> None:
        leases.down = True

    (cache,) = processes(1, leases)
    assert run_all([cache], work, fail) == [[1]] * 5


def test_what_raises_in_one_process_is_tried_in_the_next() -> None:
    """An error releases the lease at once, and is not stored: another process computes for itself."""

    async def main() -> None:
        leases = SharedLeases(seconds=1000)
        bad, good = processes(2, leases)
        with pytest.raises(ValueError, match="no answer"):
            await bad.get_or_compute("k", Work(1, fails=True))
        assert await good.get_or_compute("k", Work(1)) == [1]
        assert anyio.current_time() < 5

    run_virtual(main())
