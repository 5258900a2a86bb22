"""Two tiers as one: the front may forget what the back holds, and never knows what the back does not."""

from collections.abc import Mapping

import anyio
import pytest

from streamproc.cache.backend import CacheBackend
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
