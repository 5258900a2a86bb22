"""A cache made of two caches: a quick one in front of a lasting one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from streamproc.cache.backend import CacheBackend
from streamproc.cache.lease import LeaseStore
from streamproc.cache.metrics import CacheMetrics


class TieredBackend(CacheBackend):
    """Read through `front` to `back`, filling `front` on the way; write to `back` first.

    What the front was filled with has no deadline there: whoever stores values with a deadline keeps it inside the
    value, as `CacheManager` does.

    Args:
        front: quick, and free to forget.
        back: what makes values last.
    """

    def __init__(self, front: CacheBackend, back: CacheBackend) -> None:
        self.front = front
        self.back = back

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.front.name}+{self.back.name}"

    @property
    def leases(self) -> LeaseStore | None:
        """Those of the back, which others share."""
        return self.back.leases

    async def open(self) -> None:
        await self.front.open()
        await self.back.open()

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        values = await self.front.get_many(keys)
        missing = [key for key, value in zip(keys, values, strict=True) if value is None]
        if not missing:
            return values
        found = {
            key: value
            for key, value in zip(missing, await self.back.get_many(missing), strict=True)
            if value is not None
        }
        if not found:
            return values
        await self.front.put_many(found, ttl=None)
        return [found.get(key) if value is None else value for key, value in zip(keys, values, strict=True)]

    async def look_behind(self, keys: Sequence[str]) -> list[bytes | None]:
        """Have the front forget keys, and look them up in the back."""
        await self.front.delete_many(keys)
        return await self.get_many(keys)

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        """Keep values in the back, then in the front; as safe as the back makes them."""
        await self.back.put_many(items, ttl=ttl)
        await self.front.put_many(items, ttl=ttl)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self.back.delete_many(keys)
        await self.front.delete_many(keys)

    async def delete_prefix(self, prefix: str) -> None:
        await self.back.delete_prefix(prefix)
        await self.front.delete_prefix(prefix)

    async def clear(self) -> None:
        await self.back.clear()
        await self.front.clear()

    def metrics(self) -> CacheMetrics:
        """Give the figures of the back, which holds everything, and those of both as `tiers`.

        `hits` and `misses` are those of the tiers as one: a hit in either, a miss in the back.
        """
        front, back = self.front.metrics(), self.back.metrics()
        return msgspec.structs.replace(
            back,
            hits=front.hits + back.hits,
            errors=front.errors + back.errors,
            tiers={self.front.name: front, self.back.name: back},
        )

    async def aclose(self) -> None:
        await self.front.aclose()
        await self.back.aclose()
