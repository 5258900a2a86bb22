"""A real Redis server behind the cache, and what is asked of it."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamproc.cache.redis.backend import RedisBackend
from tests.redis_server import RedisServer


def test_first(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with RedisBackend(redis_server.url) as backend:
            assert await backend.get_many(["a"]) == [None]
            await backend.put_many({"a": b"1", "b": b"\xff\x00"}, ttl=10)
            assert await backend.get_many(["b", "x", "a", "a"]) == [b"\xff\x00", None, b"1", b"1"]
            print(await backend.measure())
            await backend.clear()
            assert await backend.get_many(["b", "x", "a", "a"]) == [None] * 4
    asyncio.run(main())
