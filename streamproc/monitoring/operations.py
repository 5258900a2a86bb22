"""How many operations are under way, and never more than that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streamproc.errors import LimitReached


class Operations:
    """Count operations, and refuse one too many.

    Args:
        most: how many may be under way at once; `None` for any number.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._under_way = 0
        self._peak = 0
        self._refused = 0

    @property
    def under_way(self) -> int:
        """How many are under way now."""
        return self._under_way

    @property
    def peak(self) -> int:
        """The most that were ever under way at once."""
        return self._peak

    @property
    def refused(self) -> int:
        """How many were refused."""
        return self._refused

    @contextmanager
    def track(self) -> Iterator[None]:
        """Count one operation while the block runs, however it ends.

        Raises:
            LimitReached: as many as may be are under way; nothing was begun.
        """
        if self._most is not None and self._under_way >= self._most:
            self._refused += 1
            raise LimitReached(f"{self._under_way} operations are under way, and max_concurrent is {self._most}")
        self._under_way += 1
        self._peak = max(self._peak, self._under_way)
        try:
            yield
        finally:
            self._under_way -= 1
