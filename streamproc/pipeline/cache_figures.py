"""The cache's figures among a run's."""

from __future__ import annotations

from streamproc.cache.manager import CacheManager
from streamproc.flow.meter import Meter
from streamproc.pipeline.paid_answers import Answer

WHOLE = ("entries", "current_bytes", "peak_bytes", "evictions", "expirations", "rejections", "errors", "available")
TIER = ("hits", "misses", "entries", "current_bytes", "evictions", "expirations", "errors", "available")


def measure_cache(meter: Meter, cache: CacheManager[Answer]) -> None:
    """Name the cache's figures, as a whole (`cache_entries`) and for each tier (`cache_memory_hits`), as gauges.

    What its lookups found is counted where records are looked up: `cache_hits_total`, `cache_misses_total`.
    """
    for name in WHOLE:
        meter.gauge(f"cache_{name}", lambda name=name: float(getattr(cache.metrics(), name)))  # type: ignore[misc]  # mypy#12557
    for tier in cache.metrics().tiers:
        for name in TIER:
            meter.gauge(
                f"cache_{tier}_{name}",
                lambda tier=tier, name=name: float(getattr(cache.metrics().tiers[tier], name)),  # type: ignore[misc]
            )
