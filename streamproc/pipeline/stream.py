"""Outcomes as an asynchronous iterator, for programs that embed a pipeline."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

import anyio

from streamproc._log import log
from streamproc.records import Checkpoint, Outcome, RunIdentity
from streamproc.sinks.sink import Sink


class OutcomeStream(Sink, AsyncIterator[Outcome]):
    """Outcomes in order of completion: the sink of the run behind it, and the iterator of whoever uses them.

    A batch is handed over when the one before it is used up, so what is not taken holds back the source. Leaving the
    loop early, or cancelling a step of it, loses nothing; closing the pipeline ends the work behind it.

    Attributes:
        work: the task behind it; its parent is the pipeline's `async with` block.
        error: what ended that work early; raised by the iteration, after the last outcome.
    """

    def __init__(self) -> None:
        self.work: asyncio.Task[None] | None = None
        self.error: Exception | None = None
        self._outcomes: deque[Outcome] = deque()
        self._ended = self._seen = False
        self._arrived = anyio.Event()
        self._taken = anyio.Event()

    async def open(self, run: RunIdentity) -> Checkpoint | None:
        return None

    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        """Hand over outcomes once those before them are taken."""
        while self._outcomes:
            self._taken = anyio.Event()
            await self._taken.wait()
        self._outcomes.extend(outcomes)
        self._arrived.set()

    def end(self, error: Exception | None = None) -> None:
        """Say that no more will come, and why if that is an error."""
        self.error = self.error or error
        self._ended = True
        self._arrived.set()

    async def __anext__(self) -> Outcome:
        while not self._outcomes:
            if self._ended:
                if self.error is not None:
                    self._seen = True
                    raise self.error from None
                raise StopAsyncIteration
            self._arrived = anyio.Event()
            await self._arrived.wait()
        outcome = self._outcomes.popleft()
        if not self._outcomes:
            self._taken.set()
        return outcome

    def cancel(self) -> None:
        """End the work behind the stream."""
        if self.work is not None:
            self.work.cancel()

    async def finish(self) -> None:
        """End the work, wait for that, and give no more. Harmless when called twice."""
        self.cancel()
        if self.work is not None:
            await asyncio.wait([self.work])
        self._outcomes.clear()
        self.end()
        if self.error is not None and not self._seen:
            self._seen = True
            log.warning("stream.failed_unseen", error_type=type(self.error).__name__, reason=str(self.error))
