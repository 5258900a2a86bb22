"""aiocache's Redis cache, made fit to share a server: a prefix that is honoured, and nothing that blocks it."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiocache.backends.redis import RedisCache
from redis.asyncio import Redis

from streamproc.cache.aiocache.backend import RawSerializer

KEYS_A_COMMAND = 500
"""Most keys that one command names: the server does nothing else meanwhile."""

TTL_JITTER = 0.1
"""How much sooner an entry may go than asked, as a ratio: what was stored together must not expire together."""


_GLOB = re.compile(r"[*?\[\]\\^]")
"""What SCAN does not take literally."""


class NamespacedRedisCache(RedisCache):
    """Reads with MGET, writes in a pipeline, and clears its own keys only, a few at a time.

    Args:
        client: closed with this.
        namespace: all keys begin with it and a colon.
    """

    def __init__(self, client: Redis, namespace: str) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # aiocache has no types
            serializer=RawSerializer(),  # type: ignore[no-untyped-call]
            namespace=namespace,
            key_builder=lambda key, namespace: f"{namespace}:{key}",
        )
        self.client = client  # the one it has just made knows neither our limits nor a URL; it has not connected

    async def _multi_get(self, keys: Sequence[str], encoding: str | None = None, _conn: Any = None) -> list[Any]:
        values: list[Any] = []
        for start in range(0, len(keys), KEYS_A_COMMAND):
            values += await self.client.mget(keys[start : start + KEYS_A_COMMAND])
        return values

    async def _multi_set(self, pairs: Sequence[tuple[str, bytes]], ttl: float | None = None, _conn: Any = None) -> bool:
        async with self.client.pipeline(transaction=False) as pipeline:
            for key, value in pairs:
                pipeline.set(key, value, px=None if ttl is None else _milliseconds(ttl))
            await pipeline.execute()
        return True

    async def _clear(self, namespace: str | None = None, _conn: Any = None) -> bool:
        await unlink_prefix(self.client, f"{self.namespace}:")
        return True

    async def _close(self, *args: Any, _conn: Any = None, **kwargs: Any) -> None:
        await self.client.aclose()


async def keys_with(client: Redis, prefix: str) -> AsyncIterator[list[bytes]]:
    """Give the keys that begin with a prefix, some at a time, without holding the server up."""
    keys: list[bytes] = []
    async for key in client.scan_iter(match=_GLOB.sub(r"\\\g<0>", prefix) + "*", count=KEYS_A_COMMAND):
        keys.append(key)
        if len(keys) == KEYS_A_COMMAND:
            yield keys
            keys = []
    if keys:
        yield keys


async def unlink_prefix(client: Redis, prefix: str) -> None:
    """Remove the keys that begin with a prefix."""
    async for keys in keys_with(client, prefix):
        await client.unlink(*keys)


def _milliseconds(ttl: float) -> int:
    return max(1, int(1000 * ttl * (1 - TTL_JITTER * random.random())))  # noqa: S311 - spreads expiry
