"""Which records are on their way, how many more may set out, and which checkpoint holds once some have arrived."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import anyio

from streamproc.records import Checkpoint, Position


class Ledger:
    """Keep account of every record between its reading and its delivery.

    The span, from the oldest record that is not settled to the newest admitted, never exceeds the capacity. That bounds
    memory and the size of a checkpoint, however slow one record is.

    Args:
        capacity: most records in the span, at least 1.
        after: what an earlier run delivered.
    """

    def __init__(self, capacity: int, after: Checkpoint | None = None) -> None:
        self._capacity = capacity
        self._low = after.low if after else None
        self._earlier = dict.fromkeys(after.above if after else ())
        self._positions: dict[int, Position] = {}
        self._settled: set[int] = set()
        self._oldest = 0
        self._next = 0
        self._skipped = 0
        self._accepted = 0
        self._arrived = 0
        self._moved = anyio.Event()

    @property
    def capacity(self) -> int:
        """Most records in the span."""
        return self._capacity

    size = capacity

    @property
    def span(self) -> int:
        """Records from the oldest that is not settled to the newest admitted, both included."""
        return self._next - self._oldest

    @property
    def accepted(self) -> int:
        """Records admitted by this run."""
        return self._accepted

    @property
    def skipped(self) -> int:
        """Records met again that an earlier run had delivered."""
        return self._skipped

    @property
    def in_flight(self) -> int:
        """Records admitted and not settled."""
        return self._accepted - self._arrived

    async def room(self) -> int:
        """Wait until at least one more record may be admitted. One waiter at a time: the source.

        Returns:
            How many more may be admitted now, at least 1.
        """
        while (room := self._capacity - self.span) < 1:
            self._moved = anyio.Event()
            await self._moved.wait()
        return room

    def admit(self, position: Position) -> int | None:
        """Enter the next record, in the source's order.

        Returns:
            Its sequence, or `None` if an earlier run delivered it.
        """
        sequence = self._next
        self._next += 1
        self._positions[sequence] = position
        if position in self._earlier:
            del self._earlier[position]
            self._skipped += 1
            self._settled.add(sequence)
            self._advance()
            return None
        self._accepted += 1
        return sequence

    def checkpoint_after(self, sequences: Iterable[int]) -> Checkpoint:
        """Give the checkpoint that will hold once these records are delivered too. Changes nothing.

        Args:
            sequences: admitted and not settled yet.
        """
        settled = self._settled.union(sequences)
        oldest, low = self._oldest, self._low
        while oldest in settled:
            low = self._positions[oldest]
            oldest += 1
        above = [self._positions[sequence] for sequence in sorted(settled) if sequence >= oldest]
        return Checkpoint(low, (*above, *self._earlier))

    def settle(self, sequences: Sequence[int]) -> None:
        """Strike off records whose delivery is durable; makes room.

        Raises:
            ValueError: one of them is not in flight.
        """
        for sequence in sequences:
            if sequence in self._settled or sequence not in self._positions:
                raise ValueError(f"sequence {sequence} is not in flight")
            self._settled.add(sequence)
        self._arrived += len(sequences)
        self._advance()

    def was_skipped(self, sequence: int) -> bool:
        """Tell whether a sequence belongs to a row that an earlier run delivered, so that nothing will come of it.

        Asked of a sequence that this run has not delivered yet.
        """
        return sequence < self._oldest or sequence in self._settled

    def resize(self, capacity: int) -> None:
        """Set the most records in the span; a smaller one holds back the source until enough are settled.

        Raises:
            ValueError: below 1.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be >= 1, got {capacity}")
        self._capacity = capacity
        self._moved.set()

    def _advance(self) -> None:
        while self._oldest in self._settled:
            self._settled.remove(self._oldest)
            self._low = self._positions.pop(self._oldest)
            self._oldest += 1
        self._moved.set()
