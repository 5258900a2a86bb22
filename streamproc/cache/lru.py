"""The cache that most callers want: least recently used goes first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from streamproc.cache.bounded import BoundedCache
from streamproc.cache.eviction.lru import LRUPolicy

K = TypeVar("K")
V = TypeVar("V")


class LRUCache(BoundedCache[K, V]):
    """A `BoundedCache` that evicts the least recently used entry.

    Args:
        max_entries: most entries; `None` for no bound.
        max_bytes: most bytes as `size_of` counts them; `None` for no bound.
        ttl_seconds: how long an entry lives from when it was set, unless `set` says otherwise; `None` for ever.
        size_of: gives a value's size in bytes; `len` if not given.
        clock: seconds, monotonic.

    Raises:
        ValueError: a bound is negative.
    """

    def __init__(
        self,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        ttl_seconds: float | None = None,
        size_of: Callable[[V], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(LRUPolicy(), max_entries, max_bytes, ttl_seconds, size_of, clock)
