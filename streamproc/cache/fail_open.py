"""Wrappers that turn a failing cache into a forgetful one. Which promise a run makes is which of them it wears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from streamproc._log import log
from streamproc.cache.backend import CacheBackend
from streamproc.cache.metrics import CacheMetrics
from streamproc.errors import CacheUnavailable, StorageFailed


class _Wrapped(CacheBackend):
    """Passes everything on."""

    def __init__(self, inner: CacheBackend) -> None:
        self._inner = inner
        self._errors = 0

    async def open(self) -> None:
        await self._inner.open()

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._inner.get_many(keys)

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        await self._inner.put_many(items, ttl=ttl)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._inner.delete_many(keys)

    async def clear(self) -> None:
        await self._inner.clear()

    def metrics(self) -> CacheMetrics:
        inner = self._inner.metrics()
        return msgspec.structs.replace(inner, errors=inner.errors + self._errors)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _failed(self, what: str, error: Exception) -> None:
        self._errors += 1
        if self._errors == 1:  # one line a run: a cache that is down fails on every record
            log.warning("cache.unavailable", doing=what, reason=str(error))


class ReadsFailOpen(_Wrapped):
    """Count a failed lookup as a miss, say so once, and go on."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        try:
            return await self._inner.get_many(keys)
        except CacheUnavailable as error:
            self._failed("lookup", error)
            return [None] * len(keys)


class WritesFailOpen(_Wrapped):
    """Pass over a failed write, say so once, and go on. A paid answer may then be paid again after a crash."""

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        try:
            await self._inner.put_many(items, ttl=ttl)
        except (CacheUnavailable, StorageFailed) as error:
            self._failed("write", error)
