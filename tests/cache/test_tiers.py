"""Two tiers as one: the front may forget what the back holds, and never knows what the back does not."""

import asyncio
from collections.abc import Mapping

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.cache.backend import CacheBackend
from streamproc.cache.config import CacheConfig
from streamproc.cache.fail_open import FailOpen
from streamproc.cache.manager import CacheManager
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.tiered import TieredBackend
from streamproc.errors import CacheUnavailable, StorageFailed
from streamproc.simulation.virtual_time import run_virtual


class Broken(MemoryBackend):
    """A back that keeps nothing, and says so."""

    def __init__(self, error: Exception) -> None:
        super().__init__(10**6)
        self.error = error

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        raise self.error


class Slow(MemoryBackend):
    """A back that takes ten seconds to keep something."""

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        await anyio.sleep(10)
        await super().put_many(items, ttl=ttl)


async def seen(backend: CacheBackend) -> list[bytes | None]:
    return await backend.get_many(["a", "b"])


@pytest.mark.parametrize("error", [StorageFailed("disk full"), CacheUnavailable("locked")])
def test_what_the_back_refused_is_not_in_the_front(error: Exception) -> None:
    """A write that the back could not keep is in neither tier, so that nobody is given what would be lost."""

    async def main() -> None:
        front = MemoryBackend(10**6)
        tiers = TieredBackend(front, Broken(error))
        with pytest.raises(type(error)):
            await tiers.put_many({"a": b"1", "b": b"2"}, ttl=None)
        assert await seen(front) == await seen(tiers) == [None, None]

    run_virtual(main())


def test_the_front_learns_a_value_after_the_back() -> None:
    """While the back writes, the front does not have the value; after it, both do; cancelled, the front never does."""

    async def main() -> None:
        front, back = MemoryBackend(10**6), Slow(10**6)
        tiers = TieredBackend(front, back)
        with anyio.move_on_after(5):
            await tiers.put_many({"a": b"1"}, ttl=None)
        assert await seen(tiers) == [None, None]
        async with anyio.create_task_group() as group:

            async def put() -> None:
                await tiers.put_many({"b": b"2"}, ttl=None)

            group.start_soon(put)
            await anyio.sleep(9)
            assert await seen(tiers) == [None, None]
        assert await seen(front) == await seen(back) == [None, b"2"]

    run_virtual(main())


def test_what_is_cleared_does_not_come_back_from_the_back() -> None:
    """A lookup while the back is still clearing leaves nothing in the front; figures count the hits of both tiers."""

    class Lingering(MemoryBackend):
        async def clear(self) -> None:
            await anyio.sleep(10)
            await super().clear()

    async def main() -> None:
        tiers = TieredBackend(MemoryBackend(10**6), Lingering(10**6))
        await tiers.back.put_many({"a": b"1"}, ttl=None)
        async with anyio.create_task_group() as group:
            group.start_soon(tiers.clear)
            await anyio.sleep(5)
            assert await seen(tiers) == [b"1", None]
            assert await seen(tiers) == [b"1", None]
            assert tiers.metrics().hits == 2
        assert await seen(tiers) == [None, None]

    run_virtual(main())


HOUR = 3600.0


def two_processes() -> tuple[TieredBackend, CacheManager[int], CacheManager[int]]:
    """Give the tiers of one process, its cache, and that of another one over the same back."""
    back = MemoryBackend(10**6)
    mine = TieredBackend(MemoryBackend(10**6), back)
    config = CacheConfig(ttl_hours=1)
    ours = CacheManager(config, FailOpen(mine, 1.0, clock=anyio.current_time), int, wall=anyio.current_time)
    theirs = CacheManager(config, TieredBackend(MemoryBackend(10**6), back), int, wall=anyio.current_time)
    return mine, ours, theirs


@given(
    st.lists(
        st.tuples(st.sampled_from(["set", "get", "spoil"]), st.booleans(), st.sampled_from("ab"), st.integers(0, 4000)),
        max_size=20,
    )
)
def test_what_the_front_holds_never_hides_what_is_alive_behind_it(script: list[tuple[str, bool, str, int]]) -> None:
    """Two processes share a back: whatever expires in the front of one, or was never any good there, a lookup gives a
    value as long as one that is alive lies behind."""

    async def main() -> None:
        tiers, ours, theirs = two_processes()
        alive_until = {"a": 0.0, "b": 0.0}
        for number, (what, is_ours, key, pause) in enumerate(script):
            cache = ours if is_ours else theirs
            if what == "set":
                await cache.set(key, number)
                alive_until[key] = anyio.current_time() + HOUR
            elif what == "spoil":
                await tiers.front.put_many({key: b"junk"}, ttl=None)
            elif anyio.current_time() < alive_until[key]:
                assert await cache.get(key) is not None
            else:
                assert await cache.get_many([key, "never", key]) == [None] * 3
            await anyio.sleep(pause)

    run_virtual(main())


def test_an_expired_value_in_the_front_is_no_reason_to_compute_again() -> None:
    """A process that still holds the expired value finds the one that another has computed since, at once and in a
    flight that begins before the other has ended."""

    async def main() -> None:
        _, ours, theirs = two_processes()
        await theirs.set("k", 1)
        assert await ours.get("k") == 1
        await anyio.sleep(HOUR)

        async def compute() -> int:
            return 2

        async def in_vain() -> int:
            raise AssertionError("it is there already")

        assert await theirs.get_or_compute("k", compute) == 2
        assert await asyncio.gather(ours.get_or_compute("k", in_vain), ours.get("k")) == [2, 2]

    run_virtual(main())
