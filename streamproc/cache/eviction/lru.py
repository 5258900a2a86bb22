"""Least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from streamproc.cache.eviction.policy import EvictionPolicy

K = TypeVar("K")


class LRUPolicy(EvictionPolicy[K]):
    """Keys in the order of their last use. Looks at neither size nor cost, and admits everything."""

    def __init__(self) -> None:
        self._order: OrderedDict[K, None] = OrderedDict()

    @property
    def used(self) -> Callable[[K], object]:
        return self._order.move_to_end

    def admits(self, key: K, size: int) -> bool:
        return True

    def inserted(self, key: K, size: int, cost: float) -> None:
        self._order[key] = None

    def removed(self, key: K) -> None:
        del self._order[key]

    def victim(self) -> K:
        return self._order.popitem(last=False)[0]

    def clear(self) -> None:
        self._order.clear()
