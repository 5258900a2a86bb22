"""The GreedyDual family: what is cheap to get again for the room it takes goes first, and so does what has aged.

Each entry has a priority: the policy's age when the entry was last used, plus a weight. The entry with the lowest
priority goes, and the age becomes its priority; so an entry that is not used falls behind, however heavy it is.
GreedyDual is by Young (1994); GreedyDual-Size-Frequency by Cherkasova (HP Labs, 1998).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TypeVar

from streamproc.cache.eviction.policy import EvictionPolicy

K = TypeVar("K")

SLACK = 16
"""So many items of keys that are gone may be in the heap beside half the number of keys held."""


class _Standing:
    """Where a held key stands now; its items in the heap may still show earlier, lower places."""

    __slots__ = ("cost", "frequency", "priority", "size", "ticket")

    def __init__(self, size: int, cost: float, priority: float, ticket: int) -> None:
        self.size = size
        self.cost = cost
        self.frequency = 1
        self.priority = priority
        self.ticket = ticket  # of its last use


class GreedyDualPolicy(EvictionPolicy[K]):
    """Evict the lowest priority; among equals, the one used longest ago. Admits everything.

    A use costs no heap operation. Priorities only rise, so an item in the heap is a lower bound of where its key
    stands: when it reaches the top, it goes to its right place if the key was used, or set again, meanwhile.

    Args:
        weight: an entry's worth, >= 0, from its frequency (uses, the first insertion included), size in bytes and
            cost; must not fall as the frequency rises.
    """

    def __init__(self, weight: Callable[[int, int, float], float]) -> None:
        self._weight = weight
        self._age = 0.0
        self._ticket = 0
        self._standings: dict[K, _Standing] = {}
        self._heap: list[tuple[float, int, K]] = []  # no two keys have the same ticket

    def used(self, key: K) -> None:
        standing = self._standings[key]
        standing.frequency += 1
        standing.priority = self._age + self._weight(standing.frequency, standing.size, standing.cost)
        self._ticket = standing.ticket = self._ticket + 1

    def admits(self, key: K, size: int) -> bool:
        return True

    def inserted(self, key: K, size: int, cost: float) -> None:
        self._ticket += 1
        priority = self._age + self._weight(1, size, cost)
        self._standings[key] = _Standing(size, cost, priority, self._ticket)
        heapq.heappush(self._heap, (priority, self._ticket, key))

    def removed(self, key: K) -> None:
        self._forget(key)

    def victim(self) -> K:
        while self._heap:
            priority, ticket, key = self._heap[0]
            standing = self._standings.get(key)
            if standing is None:
                heapq.heappop(self._heap)
            elif standing.ticket != ticket:
                heapq.heapreplace(self._heap, (standing.priority, standing.ticket, key))
            else:
                heapq.heappop(self._heap)
                self._forget(key)
                self._age = priority
                return key
        raise KeyError("no key is held")

    def clear(self) -> None:
        self._age = 0.0
        self._standings.clear()
        self._heap.clear()

    def _forget(self, key: K) -> None:
        del self._standings[key]
        if len(self._heap) <= 1.5 * len(self._standings) + SLACK:
            return
        self._heap = [(standing.priority, standing.ticket, held) for held, standing in self._standings.items()]
        heapq.heapify(self._heap)


class GDSFPolicy(GreedyDualPolicy[K]):
    """GreedyDual-Size-Frequency: weight = frequency * cost / size. A size of 0 counts as 1."""

    def __init__(self) -> None:
        super().__init__(_cost_saved_per_byte)


def _cost_saved_per_byte(frequency: int, size: int, cost: float) -> float:
    return frequency * cost / max(size, 1)
