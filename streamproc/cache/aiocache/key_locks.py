"""One lock for each key of a back end, for as long as somebody holds it or waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakKeyDictionary, WeakValueDictionary

from streamproc.cache.backend import CacheBackend


class KeyLocks:
    """Locks by key. They serve one event loop at a time."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def holding(self, keys: Iterable[str]) -> AsyncIterator[None]:
        """Hold the locks of all keys inside the block; taken in one order by all, so nobody waits in a circle."""
        async with AsyncExitStack() as stack:
            for key in sorted(set(keys)):
                await stack.enter_async_context(self._lock(key))
            yield

    def _lock(self, key: str) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock


_of_backend: WeakKeyDictionary[CacheBackend, KeyLocks] = WeakKeyDictionary()


def locks_of(backend: CacheBackend) -> KeyLocks:
    """Give the locks of a back end: the same ones to all who share the object."""
    return _of_backend.setdefault(backend, KeyLocks())
