"""The least that is a back end over Redis: a stand-in until there is ours."""

from collections.abc import Mapping, Sequence

import redis.asyncio

from streamproc.cache.backend import CacheBackend
from streamproc.cache.metrics import CacheMetrics


class StandInRedis(CacheBackend):
    """Keeps each key as it is, in a database of its own."""

    def __init__(self, port: int) -> None:
        self._client = redis.asyncio.Redis(port=port)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return list(await self._client.mget(keys)) if keys else []

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        async with self._client.pipeline() as pipeline:
            for key, value in items.items():
                pipeline.set(key, value, px=None if ttl is None else max(1, round(ttl * 1000)))
            await pipeline.execute()

    async def delete_many(self, keys: Sequence[str]) -> None:
        if keys:
            await self._client.unlink(*keys)

    async def delete_prefix(self, prefix: str) -> None:
        await self.delete_many([key async for key in self._client.scan_iter() if key.startswith(prefix.encode())])

    async def clear(self) -> None:
        await self._client.flushdb()

    def metrics(self) -> CacheMetrics:
        return CacheMetrics()

    async def aclose(self) -> None:
        await self._client.aclose()
