"""The role of an eviction policy: bookkeeping about keys. It knows no value, no clock and no bound on entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

K = TypeVar("K")


class EvictionPolicy(Protocol[K]):
    """Names the entry that makes room. It hears of everything that happens to the entries of one cache.

    The cache asks `admits`, then takes victims until there is room, then tells `inserted`. So the entry that comes is
    never a victim of its own coming. A key that is set again is first `removed`, and begins anew.
    """

    @property
    def used(self) -> Callable[[K], object]:
        """What is called with a key whenever it is found. A property, so that it can be C code: every hit pays for it.

        The key must be one that is held.
        """
        ...

    def admits(self, key: K, size: int) -> bool:
        """Say, before room is made, whether an entry of `size` bytes may come. `inserted` follows unless it may not."""
        ...

    def inserted(self, key: K, size: int, cost: float) -> None:
        """Learn of a key that is now held, and was not before.

        Args:
            key: any hashable.
            size: in bytes, >= 0; stays as it is while the key is held.
            cost: what it takes to get the value again, >= 0, in any unit that is the same for all.
        """
        ...

    def removed(self, key: K) -> None:
        """Forget a held key that went for a reason other than room: deleted, expired, or about to be set again."""
        ...

    def victim(self) -> K:
        """Choose the held key that goes for room, and forget it.

        Raises:
            KeyError: no key is held.
        """
        ...

    def clear(self) -> None:
        """Forget everything, and begin as new."""
        ...
