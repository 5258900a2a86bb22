"""A cache in this process's memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from streamproc.cache.backend import CacheBackend
from streamproc.cache.lru import LRUCache
from streamproc.cache.metrics import CacheMetrics

ENTRY_OVERHEAD_BYTES = 400
"""What an entry costs beside its value: its key of 64 characters, its slots in dict and heap (CPython 3.11, 64 bit)."""


class MemoryBackend(CacheBackend):
    """An `LRUCache` as a back end.

    Args:
        max_bytes: most memory for entries, their overhead included.
    """

    def __init__(self, max_bytes: int, policy: str = "lru", cost_of: Callable[[bytes], float] | None = None) -> None:
        self._lru: LRUCache[str, bytes] = LRUCache(
            max_bytes=max_bytes, size_of=lambda value: len(value) + ENTRY_OVERHEAD_BYTES
        )

    @property
    def name(self) -> str:
        return "memory"

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        get = self._lru.get
        return [get(key) for key in keys]

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        for key, value in items.items():
            self._lru.set(key, value, ttl_seconds=ttl)

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._lru.pop(key, None)

    async def clear(self) -> None:
        self._lru.clear()

    def metrics(self) -> CacheMetrics:
        return self._lru.metrics()
