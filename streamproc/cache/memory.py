"""A cache in this process's memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from streamproc.cache.backend import CacheBackend
from streamproc.cache.bounded import BoundedCache
from streamproc.cache.eviction.policies import PolicyName, make_policy
from streamproc.cache.eviction.policy import EvictionPolicy
from streamproc.cache.metrics import CacheMetrics

ENTRY_OVERHEAD_BYTES: dict[PolicyName, int] = {"lru": 700, "gdsf": 900, "s3fifo": 1000}
"""What an entry costs beside its value's length: a key of 64 characters, objects, slots in dicts and heaps. It is the
most that tracemalloc saw in full caches of 20,000 to 60,000 entries with deadlines (CPython 3.11, 64 bit).
"""


class MemoryBackend(CacheBackend):
    """A `BoundedCache` as a back end.

    Args:
        max_bytes: most memory for entries, their overhead included.
        policy: what goes when it is full.
        cost_of: gives what a stored value cost to make, >= 0, in any unit that is the same for all; asked once, when
            the value is put. Without it all cost the same. Only policy `gdsf` looks at it.
    """

    def __init__(
        self, max_bytes: int, policy: PolicyName = "lru", cost_of: Callable[[bytes], float] | None = None
    ) -> None:
        eviction: EvictionPolicy[str] = make_policy(policy, max_bytes)
        overhead = ENTRY_OVERHEAD_BYTES[policy]
        self._cost_of = cost_of or _same_cost
        self._cache: BoundedCache[str, bytes] = BoundedCache(
            eviction, max_bytes=max_bytes, size_of=lambda value: len(value) + overhead
        )

    @property
    def name(self) -> str:
        return "memory"

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        get = self._cache.get
        return [get(key) for key in keys]

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        for key, value in items.items():
            self._cache.set(key, value, ttl_seconds=ttl, cost=self._cost_of(value))

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._cache.pop(key, None)

    async def delete_prefix(self, prefix: str) -> None:
        await self.delete_many([key for key in self._cache if key.startswith(prefix)])

    async def clear(self) -> None:
        self._cache.clear()

    def metrics(self) -> CacheMetrics:
        return self._cache.metrics()


def _same_cost(value: bytes) -> float:
    return 1.0
