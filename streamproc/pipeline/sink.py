"""The last stage: delivers outcomes with their checkpoint, then settles the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from streamproc.flow.ledger import Ledger
from streamproc.flow.meter import Meter
from streamproc.flow.stage import Feed
from streamproc.flow.storage_pause import StoragePause
from streamproc.flow.tokens import Permit
from streamproc.records import Completed, Outcome
from streamproc.sinks.sink import Sink
from streamproc.sources.source import Source


class SinkHandler:
    """Write batches of outcomes, one write at a time.

    Args:
        sink: opened; takes outcomes and checkpoint together.
        source: learns what is delivered.
        ledger: gives the checkpoint, and makes room once it holds.
        meter: gets the figures.
        pause: has writes that are blocked tried again.
    """

    def __init__(self, sink: Sink, source: Source, ledger: Ledger, meter: Meter, pause: StoragePause) -> None:
        self._sink = sink
        self._source = source
        self._ledger = ledger
        self._meter = meter
        self._pause = pause

    async def handle(self, batch: Sequence[Outcome], permit: Permit) -> None:
        """Deliver a batch."""
        places = self._meter.whereabouts
        places.move(len(batch), "sink_queue", "sink", self._meter.clock())
        sequences = [outcome.envelope.sequence for outcome in batch]
        with self._meter.timed("sink_write_seconds"):
            checkpoint = self._ledger.checkpoint_after(sequences)
            await self._pause.insist(lambda: self._sink.write(batch, checkpoint))
        self._ledger.settle(sequences)
        places.move(len(batch), "sink", "outside", self._meter.clock())
        completed = sum(isinstance(outcome, Completed) for outcome in batch)
        self._meter.add("records_completed_total", completed)
        self._meter.add("records_failed_total", len(batch) - completed)
        await self._source.acknowledge([outcome.envelope.position for outcome in batch])


class InOrder:
    """The feed of a sink that keeps the order of the input: holds outcomes back until all before them are there.

    The ledger's capacity bounds what is held back. What is held back when a halted run ends is taken up by the next
    run, from the cache.

    Args:
        feed: gives outcomes in any order.
        ledger: knows which sequences an earlier run delivered.
    """

    def __init__(self, feed: Feed[Outcome], ledger: Ledger) -> None:
        self._feed = feed
        self._ledger = ledger
        self._held: dict[int, Outcome] = {}
        self._next = 0
        self._due: list[Outcome] = []

    async def ready(self) -> None:
        """Wait until the next outcome in order is there."""
        while not self._due:
            await self._feed.ready()
            for outcome in self._feed.take():
                self._held[outcome.envelope.sequence] = outcome
            while self._next in self._held or self._ledger.was_skipped(self._next):
                if self._next in self._held:
                    self._due.append(self._held.pop(self._next))
                self._next += 1

    def take(self) -> Sequence[Outcome]:
        """Give the outcomes that are due, in order."""
        due, self._due = self._due, []
        return due
