"""Turns a channel's batches, of whatever size, into batches of the size and patience that are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

import anyio

from streamproc.flow.channel import Inbox

T = TypeVar("T")

LOOKS_A_LINGER = 4
"""How often a batch that lingers is looked at: waking for each record would cost more than handling it."""


class Batcher(Generic[T]):
    """Gather a channel's records until there are `size` of them or the first has waited `linger` seconds.

    A batch that fills while it lingers is due within a quarter of the linger. Both are knobs, to set at any time. Each
    is read once per decision, so turning one between `ready` and `take` cannot lose a record; it only makes that batch
    larger or smaller.

    Args:
        inbox: where records come from.
        size: most records in a batch, at least 1.
        linger: seconds that a first record waits for company; 0 sends what is there.
    """

    def __init__(self, inbox: Inbox[T], size: int, linger: float = 0.0) -> None:
        self.inbox = inbox
        self._size = size
        self.linger = linger
        self._gathered: deque[T] = deque()
        self._ended = False

    @property
    def size(self) -> int:
        """Most records in a batch."""
        return self._size

    def resize(self, size: int) -> None:
        """Set the most records in a batch; it holds from the next decision on.

        Raises:
            ValueError: below 1.
        """
        if size < 1:
            raise ValueError(f"size must be >= 1, got {size}")
        self._size = size

    @property
    def queued(self) -> int:
        """Records that wait here or in the channel."""
        return len(self._gathered) + self.inbox.queued

    async def ready(self) -> None:
        """Wait until a batch is due. Cancelling it loses nothing.

        Raises:
            anyio.EndOfStream: the channel has ended and every record was taken.
        """
        size = self._size
        if self._top_up(size):
            return
        if not self._gathered and not self._ended:
            await self._wait_for_one()
        if not self._gathered:
            raise anyio.EndOfStream
        linger = self.linger
        due = anyio.current_time() + linger
        while not self._top_up(size) and (left := due - anyio.current_time()) > 0:
            with anyio.move_on_after(min(left, linger / LOOKS_A_LINGER)):  # it is due when the channel ends
                await self.inbox.ended()

    def take(self) -> Sequence[T]:
        """Give the batch that is due, topped up with what has come meanwhile. Never waits.

        Returns:
            1 to `size` records in their order of arrival.
        """
        size = self._size
        self._top_up(size)
        gathered = self._gathered
        if len(gathered) <= size:
            self._gathered = deque()
            return tuple(gathered)
        return tuple(gathered.popleft() for _ in range(size))

    def _top_up(self, size: int) -> bool:
        """Take what is there; tell whether there is nothing to wait for."""
        while len(self._gathered) < size and not self._ended:
            try:
                self._gathered.extend(self.inbox.receive_nowait())
            except anyio.WouldBlock:
                return False
            except anyio.EndOfStream:
                self._ended = True
        return len(self._gathered) >= size or (self._ended and bool(self._gathered))

    async def _wait_for_one(self) -> None:
        try:
            self._gathered.extend(await self.inbox.receive())
        except anyio.EndOfStream:
            self._ended = True
