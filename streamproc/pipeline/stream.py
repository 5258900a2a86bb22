"""Outcomes as an asynchronous iterator, for programs that embed a pipeline."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

import anyio

from streamproc.errors import StreamprocError
from streamproc.flow.channel import Outbox, open_channel
from streamproc.records import Checkpoint, Outcome, RunIdentity
from streamproc.sinks.sink import Sink


class DeliverySink(Sink):
    """Hands outcomes to a consumer, and waits for it: what is not taken holds back the source."""

    def __init__(self, outbox: Outbox[Outcome]) -> None:
        self._outbox = outbox

    async def open(self, run: RunIdentity) -> Checkpoint | None:
        return None

    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        await self._outbox.send(outcomes)

    async def aclose(self) -> None:
        self._outbox.close()


class OutcomeStream(AsyncIterator[Outcome]):
    """Outcomes in order of completion. Leaving its loop early is allowed; closing the pipeline ends the work behind it.

    Attributes:
        work: the task behind it; its parent is the pipeline's `async with` block.
        sink: where the run behind it delivers.
        error: what ended that run early; raised by the iteration, after the last outcome.
    """

    def __init__(self) -> None:
        self._outbox: Outbox[Outcome]
        self._outbox, self._inbox = open_channel("delivery", 1)
        self.sink = DeliverySink(self._outbox)
        self.work: asyncio.Task[None] | None = None
        self.error: StreamprocError | None = None
        self._taken: deque[Outcome] = deque()

    def cancel(self) -> None:
        """End the work behind the stream."""
        if self.work is not None:
            self.work.cancel()

    async def aclose(self) -> None:
        """End the work, wait for that, and give no more. Harmless when called twice."""
        self.cancel()
        if self.work is not None:
            await asyncio.wait([self.work])
        self._inbox.close()
        self._outbox.close()
        self._taken.clear()

    async def __anext__(self) -> Outcome:
        if not self._taken:
            try:
                self._taken.extend(await self._inbox.receive())
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                if self.error is not None:
                    raise self.error from None
                raise StopAsyncIteration from None
        return self._taken.popleft()
