"""S3-FIFO: three queues, so that what is asked for only once goes soon.

Yang et al., "FIFO queues are all you need for cache eviction" (SOSP 2023). `bench/measures/traces.py` shows that the
miss counts are those of the authors' simulator, libCacheSim, for the algorithm of the paper (there "S3-FIFOv0").
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from streamproc.cache.eviction.policy import EvictionPolicy

K = TypeVar("K")

SMALL_SHARE = 0.1
"""Of the bytes, for newcomers."""
GHOST_SHARE = 0.9
"""Of the bytes, the total size of entries gone from the small queue whose keys are remembered."""
USES_TO_STAY = 2
"""So many uses in the small queue take an entry to the main queue."""
MOST_ROUNDS = 3
"""Uses in the main queue beyond these count for nothing: each saves an entry once."""


class _Queue(Generic[K]):
    """First in, first out, by key; knows how many bytes it holds."""

    def __init__(self) -> None:
        self.sizes: OrderedDict[K, int] = OrderedDict()
        self.bytes = 0

    def push(self, key: K, size: int) -> None:
        self.sizes[key] = size
        self.bytes += size

    def pop(self) -> tuple[K, int]:
        key, size = self.sizes.popitem(last=False)
        self.bytes -= size
        return key, size

    def discard(self, key: K) -> bool:
        size = self.sizes.pop(key, None)
        self.bytes -= size or 0
        return size is not None

    def clear(self) -> None:
        self.sizes.clear()
        self.bytes = 0


class S3FIFOPolicy(EvictionPolicy[K]):
    """Newcomers wait in a small queue; those used twice there go to the main queue, the others go for good.

    The keys of those gone are remembered for a while; one that comes again goes to the main queue at once. The main
    queue gives an entry another round for each use, up to three. Cost is not looked at.

    An entry as large as the small queue (a tenth of `max_bytes`) or larger is not admitted: it would push out all
    newcomers.

    Args:
        max_bytes: the bound of the cache that asks.
    """

    def __init__(self, max_bytes: int) -> None:
        self._small_bytes = int(max_bytes * SMALL_SHARE)
        self._main_bytes = max_bytes - self._small_bytes
        self._ghost_bytes = int(max_bytes * GHOST_SHARE)
        self._small: _Queue[K] = _Queue()
        self._main: _Queue[K] = _Queue()
        self._ghost: _Queue[K] = _Queue()
        self._uses: dict[K, int] = {}
        self._returns = False

    def used(self, key: K) -> None:
        self._uses[key] += 1

    def admits(self, key: K, size: int) -> bool:
        self._returns = self._ghost.discard(key)  # now, as making room may push it out of the ghost queue
        return size < self._small_bytes

    def inserted(self, key: K, size: int, cost: float) -> None:
        self._uses[key] = 0
        (self._main if self._returns else self._small).push(key, size)

    def removed(self, key: K) -> None:
        del self._uses[key]
        if not self._small.discard(key):
            self._main.discard(key)

    def victim(self) -> K:
        if self._main.bytes <= self._main_bytes:
            while self._small.sizes:
                key, size = self._small.pop()
                if self._uses[key] < USES_TO_STAY:
                    del self._uses[key]
                    self._remember(key, size)
                    return key
                self._uses[key] = 0
                self._main.push(key, size)
        while True:
            key, size = self._main.pop()
            uses = self._uses.pop(key)
            if not uses:
                return key
            self._uses[key] = min(uses, MOST_ROUNDS) - 1
            self._main.push(key, size)

    def clear(self) -> None:
        for queue in (self._small, self._main, self._ghost):
            queue.clear()
        self._uses.clear()
        self._returns = False

    def _remember(self, key: K, size: int) -> None:
        while self._ghost.sizes and self._ghost.bytes + size > self._ghost_bytes:
            self._ghost.pop()
        self._ghost.push(key, size)
