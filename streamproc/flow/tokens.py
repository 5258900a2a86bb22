"""Backpressure tokens: leave to run, given out first come first served, from a pool that can be resized while in use.

A permit goes directly from the one who gives it back to the one who has waited longest. Waking a waiter that then has
to compete for the permit is how semaphores lose permits or starve waiters under cancellation (python/cpython#90155).
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Permit:
    """Leave to run one piece of work. Give it back with `release`, or by leaving its `with` block."""

    __slots__ = ("_pool", "held")

    def __init__(self, pool: TokenPool) -> None:
        self._pool = pool
        self.held = True

    def release(self) -> None:
        """Give the permit back. Harmless when it was given back already."""
        if self.held:
            self.held = False
            self._pool._give_back()  # noqa: SLF001 - a permit and its pool are one mechanism

    async def reacquire(self) -> None:
        """Wait for leave again, behind everyone who waits already. Does nothing while the permit is held."""
        if not self.held:
            await self._pool._obtain()  # noqa: SLF001 - a permit and its pool are one mechanism
            self.held = True

    def __enter__(self) -> Permit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class TokenPool:
    """A number of permits that can be changed while they are in use.

    Growing wakes exactly as many waiters as there are new permits. Shrinking takes nothing away from those who run:
    permits that come back are kept until few enough are in use.

    Args:
        size: how many permits there are, at least 1.
    """

    def __init__(self, size: int) -> None:
        self._size = self._checked(size)
        self._in_use = 0
        self._peak_in_use = 0
        self._waiters: dict[asyncio.Future[None], None] = {}

    @staticmethod
    def _checked(size: int) -> int:
        if size < 1:
            raise ValueError(f"size must be >= 1, got {size}")
        return size

    @property
    def size(self) -> int:
        """How many permits there are."""
        return self._size

    @property
    def in_use(self) -> int:
        """How many permits are held; above `size` only after a shrink, until enough have come back."""
        return self._in_use

    @property
    def peak_in_use(self) -> int:
        """The most permits that were held at once."""
        return self._peak_in_use

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return sum(not waiter.done() for waiter in self._waiters)

    async def acquire(self) -> Permit:
        """Wait for a permit, in order of asking. Cancelling the wait takes none, even just after one was granted."""
        await self._obtain()
        return Permit(self)

    def resize(self, size: int) -> None:
        """Set how many permits there are; new ones go to those who wait, at once.

        Raises:
            ValueError: below 1.
        """
        self._size = self._checked(size)
        self._hand_out()

    async def _obtain(self) -> None:
        if self._in_use < self._size:  # then nobody waits
            self._take_one()
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            await waiter
        except asyncio.CancelledError:
            granted = waiter.done() and not waiter.cancelled()
            self._waiters.pop(waiter, None)
            if granted:
                self._give_back()
            raise

    def _give_back(self) -> None:
        self._in_use -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiters and self._in_use < self._size:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            if not waiter.done():
                self._take_one()
                waiter.set_result(None)

    def _take_one(self) -> None:
        self._in_use += 1
        self._peak_in_use = max(self._peak_in_use, self._in_use)
