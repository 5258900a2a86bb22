"""A wrapper that turns a failing cache into a forgetful one. A run's journal of paid answers never wears it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, TypeVar

import msgspec

from streamproc._log import log
from streamproc.cache.backend import CacheBackend
from streamproc.cache.lease import LeaseStore
from streamproc.cache.metrics import CacheMetrics
from streamproc.control.breaker import CircuitBreaker
from streamproc.errors import CacheUnavailable, Damaged, StorageFailed
from streamproc.flow.clock import Clock

T = TypeVar("T")
Doing = Literal["lookup", "write", "lease"]


class FailOpen(CacheBackend):
    """Count a failed or late lookup as a miss, pass over such a write, and leave alone for a while what keeps failing.

    Deleting and clearing do raise: whoever asks for these must know whether they were done.

    Args:
        inner: what may fail.
        deadline_seconds: how long one operation may take.
        breaker: makes what keeps callers away while it fails, one each for lookups, writes and leases: a full server
            refuses writes and still answers lookups.
        clock: for the breakers.
    """

    def __init__(
        self,
        inner: CacheBackend,
        deadline_seconds: float,
        breaker: Callable[[], CircuitBreaker] = CircuitBreaker,
        clock: Clock = time.monotonic,
    ) -> None:
        self._inner = inner
        self._deadline = deadline_seconds
        self._breakers: dict[Doing, CircuitBreaker] = {"lookup": breaker(), "write": breaker(), "lease": breaker()}
        self._clock = clock
        self._errors = 0

    @property
    def name(self) -> str:
        """The name of what is inside."""
        return self._inner.name

    @property
    def leases(self) -> LeaseStore | None:
        """The leases of what is inside, or leave to compute without one while it fails."""
        inner = self._inner.leases
        return None if inner is None else _LeasesFailOpen(inner, self)

    async def open(self) -> None:
        await self._inner.open()

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self.attempt("lookup", lambda: self._inner.get_many(keys), [None] * len(keys))

    async def look_behind(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self.attempt("lookup", lambda: self._inner.look_behind(keys), [None] * len(keys))

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        await self.attempt("write", lambda: self._inner.put_many(items, ttl=ttl), None)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._inner.delete_many(keys)

    async def delete_prefix(self, prefix: str) -> None:
        await self._inner.delete_prefix(prefix)

    async def clear(self) -> None:
        await self._inner.clear()

    async def attempt(self, doing: Doing, work: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """Give what `work` gives, or `otherwise` if it fails, takes too long, or is not asked at all for now."""
        breaker, now = self._breakers[doing], self._clock()
        if not breaker.admit(now):
            return otherwise
        try:
            async with asyncio.timeout(self._deadline):
                result = await work()
        except (CacheUnavailable, StorageFailed, Damaged) as error:
            self._failed(now, doing, str(error))
            return otherwise
        except TimeoutError:
            self._failed(now, doing, f"no answer within {self._deadline:g} s")
            return otherwise
        except BaseException:
            breaker.abandoned(now)
            raise
        if breaker.state != "closed":
            log.warning("cache.recovered", cache=self.name, doing=doing)
        breaker.succeeded()
        return result

    def _failed(self, since: float, doing: Doing, reason: str) -> None:
        self._errors += 1
        breaker = self._breakers[doing]
        before = breaker.state
        breaker.failed(self._clock(), since)
        if before == "closed" and breaker.state == "open":
            log.warning("cache.unavailable", cache=self.name, doing=doing, reason=reason)

    def metrics(self) -> CacheMetrics:
        inner = self._inner.metrics()
        return msgspec.structs.replace(
            inner,
            errors=inner.errors + self._errors,
            available=all(breaker.state == "closed" for breaker in self._breakers.values()),
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _LeasesFailOpen:
    """Where a lease cannot be asked for, everyone may compute: that costs money, never correctness."""

    def __init__(self, inner: LeaseStore, guard: FailOpen) -> None:
        self._inner = inner
        self._guard = guard

    @property
    def seconds(self) -> float:
        return self._inner.seconds

    async def take(self, key: str, token: str) -> bool:
        return await self._guard.attempt("lease", lambda: self._inner.take(key, token), otherwise=True)

    async def renew(self, key: str, token: str) -> bool:
        return await self._guard.attempt("lease", lambda: self._inner.renew(key, token), otherwise=True)

    async def release(self, key: str, token: str) -> None:
        await self._guard.attempt("lease", lambda: self._inner.release(key, token), otherwise=None)
