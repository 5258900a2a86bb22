"""Leases on a Redis server: SET NX PX to take, compare and set or delete to renew and release."""

from __future__ import annotations

from redis.asyncio import Redis

from streamproc.cache.redis.client import FAILURES
from streamproc.errors import CacheUnavailable

_RENEW = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""


class RedisLeases:
    """A `LeaseStore` on a server.

    Args:
        client: of the server that holds the answers, too.
        prefix: of the leases' keys.
        seconds: how long a lease lives without renewal.
    """

    def __init__(self, client: Redis, prefix: str, seconds: float) -> None:
        self._client = client
        self._prefix = prefix
        self._seconds = seconds

    @property
    def seconds(self) -> float:
        """How long a lease lives without renewal."""
        return self._seconds

    async def take(self, key: str, token: str) -> bool:
        """Take the lease if nobody holds it."""
        try:
            return bool(await self._client.set(self._prefix + key, token, nx=True, px=int(1000 * self._seconds)))
        except FAILURES as error:
            raise CacheUnavailable(f"redis: {error}") from error

    async def renew(self, key: str, token: str) -> bool:
        """Prolong the lease if it is still held in this name."""
        return await self._if_held(_RENEW, key, token, str(int(1000 * self._seconds)))

    async def release(self, key: str, token: str) -> None:
        """Give the lease up if it is still held in this name."""
        await self._if_held(_RELEASE, key, token)

    async def _if_held(self, script: str, key: str, *arguments: str) -> bool:
        try:
            return bool(await self._client.eval(script, 1, self._prefix + key, *arguments))
        except FAILURES as error:
            raise CacheUnavailable(f"redis: {error}") from error
