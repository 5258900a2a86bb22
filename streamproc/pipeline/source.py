"""The first stage: reads as much as the ledger has room for, and enters each record there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from streamproc.flow.channel import Outbox
from streamproc.flow.clock import Clock
from streamproc.flow.halt import Halt
from streamproc.flow.ledger import Ledger
from streamproc.flow.meter import Meter
from streamproc.flow.storage_pause import StoragePause
from streamproc.flow.tokens import Permit
from streamproc.records import Envelope, Failed, Outcome, Row, Unreadable
from streamproc.sources.source import Source

Accepted = tuple[Row, Envelope]


class SourceFeed:
    """Rows that were not delivered before, in batches; the feed of the source stage.

    Args:
        source: opened.
        ledger: admits rows and bounds how many are on their way.
        halt: ends the reading.
        size: most rows in a batch; a knob.
        limit: most rows to accept in this run; `None` for all.
        pause: while nothing can be stored, nothing is read.
        clock: the run's.

    Attributes:
        guard: called before each reading; may resize the ledger.
    """

    def __init__(
        self,
        source: Source,
        ledger: Ledger,
        halt: Halt,
        size: int,
        limit: int | None,
        pause: StoragePause,
        clock: Clock,
    ) -> None:
        self.guard: Callable[[], None] = lambda: None
        self._source = source
        self._ledger = ledger
        self._halt = halt
        self._left = limit
        self._pause = pause
        self._clock = clock
        self.ended = False
        self._accepted: list[Accepted] = []
        self.size = size

    def resize(self, size: int) -> None:
        """Set the most rows in a batch, at least 1."""
        self.size = size

    async def ready(self) -> None:
        """Wait until at least one row is admitted.

        Raises:
            anyio.EndOfStream: the source has ended, the limit is reached, or a halt was requested.
        """
        while not self._accepted:
            rows: Sequence[Row] = ()
            with self._halt.cuts_short():
                await self._pause.over()
                self.guard()
                room = await self._ledger.room()
                wanted = min(room, self.size) if self._left is None else min(room, self.size, self._left)
                if wanted > 0:
                    rows = await self._source.read(wanted)
            if self._halt.requested or not rows:
                self.ended = True
                raise anyio.EndOfStream
            now = self._clock()
            for row in rows:
                sequence = self._ledger.admit(row.position)
                if sequence is not None:
                    record = row.content.record if isinstance(row.content, Unreadable) else row.content
                    self._accepted.append((row, Envelope(record, row.position, row.digest, sequence, now)))
            if self._left is not None:
                self._left -= len(self._accepted)

    def take(self) -> Sequence[Accepted]:
        """Give the admitted rows."""
        accepted, self._accepted = self._accepted, []
        return accepted


class SourceHandler:
    """Send records on; unreadable rows are outcomes already.

    Args:
        onward: to the cache lookup.
        outcomes: to the sink.
        meter: gets the figures.
    """

    def __init__(self, onward: Outbox[Envelope], outcomes: Outbox[Outcome], meter: Meter) -> None:
        self._onward = onward
        self._outcomes = outcomes
        self._meter = meter

    async def handle(self, batch: Sequence[Accepted], permit: Permit) -> None:
        """Send a batch on its ways."""
        accepted_at = batch[0][1].accepted_at
        self._meter.add("records_accepted_total", len(batch))
        self._meter.whereabouts.move(len(batch), "outside", "lookup_queue", accepted_at)
        readable: list[Envelope] = []
        failed: list[Outcome] = []
        for row, envelope in batch:
            if isinstance(row.content, Unreadable):
                failed.append(Failed(envelope, row.content.error))
            else:
                readable.append(envelope)
        self._meter.whereabouts.move(len(failed), "lookup_queue", "sink_queue", accepted_at)
        await self._outcomes.send(failed)
        await self._onward.send(readable)
