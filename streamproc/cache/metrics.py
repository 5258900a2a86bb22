"""The figures of a cache."""

from __future__ import annotations

from msgspec import Struct


class CacheMetrics(Struct, frozen=True):
    """What a cache did since it was made.

    Attributes:
        hits: lookups that found a value that was still good.
        misses: the other lookups.
        evictions: entries removed for room.
        expirations: entries removed because their time was over.
        rejections: values that were not kept: larger than the cache, or not admitted by its policy.
        errors: lookups and writes that failed and were passed over.
        entries: what it holds now.
        current_bytes: the size of what it holds now.
        peak_bytes: the largest `current_bytes` so far.
        coalesced: callers who were served by another's computation.
        available: whether it is being asked; `False` while a circuit breaker keeps callers away.
        tiers: the figures of each tier by its name, where there are tiers.
    """

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    expirations: int = 0
    rejections: int = 0
    errors: int = 0
    entries: int = 0
    current_bytes: int = 0
    peak_bytes: int = 0
    coalesced: int = 0
    available: bool = True
    tiers: dict[str, CacheMetrics] = {}

    @property
    def hit_ratio(self) -> float:
        """Hits per lookup, in [0, 1]; 0 before the first lookup."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else 0.0

    @property
    def miss_ratio(self) -> float:
        """Misses per lookup, in [0, 1]; 0 before the first lookup."""
        lookups = self.hits + self.misses
        return self.misses / lookups if lookups else 0.0
