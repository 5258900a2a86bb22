"""A Redis or Valkey server as a back end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec
from redis.asyncio import Redis

from streamproc._log import log
from streamproc.cache.aiocache.backend import AiocacheBackend
from streamproc.cache.backend import LastingBackend
from streamproc.cache.group_commit import GroupCommit
from streamproc.cache.metrics import CacheMetrics
from streamproc.cache.redis.cache import KEYS_A_COMMAND, NamespacedRedisCache, keys_with, unlink_prefix
from streamproc.cache.redis.client import FAILURES, connect, unprotected_host
from streamproc.cache.redis.lease import RedisLeases
from streamproc.errors import CacheUnavailable
from streamproc.secret import SecretStr

PREFIX = "streamproc"
NOT_OPEN = "redis: this cache is not open"

Write = tuple[bytes, float | None]
"""A value and its time to live in seconds."""


class RedisBackend(LastingBackend):
    """Keep entries on a server: what holds how much, and what makes room, is the server's `maxmemory` and policy.

    Opening does not connect: whoever must go on without the server wraps this in `FailOpen`.

    Args:
        url: as for `connect`.
        namespace: letters, digits, `_`, `.`, `-`; caches with different ones share nothing.
        timeout_seconds: for connecting, for each answer, and for a free connection.
        lease_seconds: how long a lease lives without renewal.
    """

    def __init__(
        self, url: str, namespace: str = "default", timeout_seconds: float = 0.25, lease_seconds: float = 10.0
    ) -> None:
        self._url = SecretStr(url)
        self._namespace = f"{PREFIX}:{namespace}"
        self._prefix = f"{self._namespace}:"
        self._lease_prefix = f"{PREFIX}-lease:{namespace}:"
        self._timeout = timeout_seconds
        self._lease_seconds = lease_seconds
        self._writes: GroupCommit[Write] = GroupCommit(self._submit_group)
        self._writing: set[asyncio.Task[None]] = set()
        self._client: Redis | None = None
        self._cache: AiocacheBackend | None = None

    @property
    def name(self) -> str:
        return "redis"

    @property
    def leases(self) -> RedisLeases | None:
        """Leases on the same server; `None` while this is not open."""
        if self._client is None:
            return None
        return RedisLeases(self._client, self._lease_prefix, self._lease_seconds)

    async def open(self) -> None:
        """Get ready; nothing is sent yet."""
        if (host := unprotected_host(self._url)) is not None:
            log.warning("cache.unprotected", host=host, reason="the password travels unencrypted; rediss:// would not")
        self._client = connect(self._url, self._timeout)
        cache = NamespacedRedisCache(self._client, self._namespace)
        self._cache = AiocacheBackend(cache, "redis", FAILURES, ttl_of=float)

    @property
    def _opened(self) -> AiocacheBackend:
        if self._cache is None:
            raise CacheUnavailable(NOT_OPEN)
        return self._cache

    @property
    def _connected(self) -> Redis:
        if self._client is None:
            raise CacheUnavailable(NOT_OPEN)
        return self._client

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._opened.get_many(keys)

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        """Keep values; those of callers that come within 2 ms go to the server together."""
        if items:
            await self._writes.put({key: (value, ttl) for key, value in items.items()})

    def _submit_group(self, take: Callable[[], dict[str, Write]]) -> asyncio.Future[None]:
        task = asyncio.get_running_loop().create_task(self._write(take))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return task

    async def _write(self, take: Callable[[], dict[str, Write]]) -> None:
        by_ttl: dict[float | None, dict[str, bytes]] = {}
        for key, (value, ttl) in take().items():
            by_ttl.setdefault(ttl, {})[key] = value
        for ttl, items in by_ttl.items():
            await self._opened.put_many(items, ttl=ttl)

    async def delete_many(self, keys: Sequence[str]) -> None:
        client = self._connected
        try:
            for start in range(0, len(keys), KEYS_A_COMMAND):
                await client.unlink(*(self._prefix + key for key in keys[start : start + KEYS_A_COMMAND]))
        except FAILURES as error:
            raise CacheUnavailable(f"redis: {error}") from error

    async def delete_prefix(self, prefix: str) -> None:
        try:
            await unlink_prefix(self._connected, self._prefix + prefix)
        except FAILURES as error:
            raise CacheUnavailable(f"redis: {error}") from error

    async def clear(self) -> None:
        """Forget everything in this namespace, a few keys at a time."""
        await self._opened.clear()

    async def measure(self) -> CacheMetrics:
        """Count the namespace's entries and bytes, by going through the server's keys.

        Raises:
            CacheUnavailable: the server cannot be asked.
        """
        client = self._connected
        entries = held = 0
        try:
            async for keys in keys_with(client, self._prefix):
                async with client.pipeline(transaction=False) as pipeline:
                    for key in keys:
                        pipeline.strlen(key)
                    sizes = [size for size in await pipeline.execute() if size]
                entries += len(sizes)
                held += sum(sizes)
        except FAILURES as error:
            raise CacheUnavailable(f"redis: {error}") from error
        return msgspec.structs.replace(self.metrics(), entries=entries, current_bytes=held)

    async def prune(self) -> int:
        """Do nothing: the server removes entries itself when their time is over."""
        return 0

    def metrics(self) -> CacheMetrics:
        """Give hits and misses; what the server holds, `measure` counts."""
        return CacheMetrics() if self._cache is None else self._cache.metrics()

    async def aclose(self) -> None:
        """Send what lingers, then disconnect."""
        self._writes.flush()
        if self._writing:
            await asyncio.wait(self._writing)
        cache, self._cache, self._client = self._cache, None, None
        if cache is not None:
            await cache.aclose()
