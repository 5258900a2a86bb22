"""Any cache of aiocache's as a back end of ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiocache.base import BaseCache
from aiocache.serializers import BaseSerializer

from streamproc.cache.backend import CacheBackend
from streamproc.cache.metrics import CacheMetrics
from streamproc.errors import CacheUnavailable, ConfigError


class RawSerializer(BaseSerializer):
    """Passes bytes through, both ways."""

    DEFAULT_ENCODING = None

    def dumps(self, value: bytes) -> bytes:  # type: ignore[override]  # aiocache names str, and takes bytes
        """Give the bytes as they are."""
        return value

    def loads(self, value: Any) -> Any:
        """Give what was stored as it is."""
        return value


LONGEST_WHOLE_SECONDS = 30 * 24 * 3600
"""More than this Memcached takes for a date."""


def whole_seconds(ttl: float) -> float:
    """Give a time to live that every cache understands; the exact one is in the value's own envelope."""
    return min(max(1, math.ceil(ttl)), LONGEST_WHOLE_SECONDS)


class AiocacheBackend(CacheBackend):
    """Keep bytes in an aiocache cache: Redis, Valkey, Memcached, its own memory.

    The cache is given `RawSerializer`, and its own timeout is not used: that makes a task of each operation. Wrap this
    in `FailOpen`, which has a deadline.

    Args:
        cache: closed with this.
        name: in figures and logs.
        errors: what the cache's client raises when its server cannot be asked.
        ttl_of: turns a time to live in seconds into one that the cache takes.
    """

    def __init__(
        self,
        cache: BaseCache,
        name: str = "aiocache",
        errors: tuple[type[Exception], ...] = (OSError,),
        ttl_of: Callable[[float], float] = whole_seconds,
    ) -> None:
        cache.serializer = RawSerializer()  # type: ignore[no-untyped-call]  # aiocache has no types
        self._cache = cache
        self._name = name
        self._errors = errors
        self._ttl_of = ttl_of
        self._hits = self._misses = 0

    @property
    def name(self) -> str:
        return self._name

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        if not keys:
            return []
        unique = list(dict.fromkeys(keys))
        try:
            values = await self._cache.multi_get(unique, timeout=0)
        except self._errors as error:
            raise self._unavailable(error) from error
        # none at all come while AIOCACHE_DISABLE=1; what another program stored there may be no bytes
        found = {key: value for key, value in zip(unique, values, strict=False) if isinstance(value, bytes)}
        answers = [found.get(key) for key in keys]
        missing = answers.count(None)
        self._misses += missing
        self._hits += len(answers) - missing
        return answers

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        if not items:
            return
        try:
            await self._cache.multi_set(list(items.items()), ttl=None if ttl is None else self._ttl_of(ttl), timeout=0)
        except self._errors as error:
            raise self._unavailable(error) from error

    async def delete_many(self, keys: Sequence[str]) -> None:
        try:
            for key in keys:
                await self._cache.delete(key, timeout=0)
        except self._errors as error:
            raise self._unavailable(error) from error

    async def clear(self) -> None:
        """Forget everything in the cache's namespace.

        Raises:
            ConfigError: it has no namespace. Clearing would then empty the whole server, whoever else uses it.
        """
        if not self._cache.namespace:
            raise ConfigError(f"the {self._name} cache has no namespace, and what is not ours must not be cleared")
        try:
            await self._cache.clear(namespace=self._cache.namespace, timeout=0)
        except self._errors as error:
            raise self._unavailable(error) from error

    def metrics(self) -> CacheMetrics:
        """Give hits and misses. What the server holds, and whose, only the server knows."""
        return CacheMetrics(hits=self._hits, misses=self._misses)

    async def aclose(self) -> None:
        await self._cache.close()

    def _unavailable(self, error: Exception) -> CacheUnavailable:
        return CacheUnavailable(f"{self._name}: {str(error) or type(error).__name__}")
