"""The one actor loop: feed, admission, handler. Every stage of a pipeline is this loop with other parts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import anyio

from streamproc.errors import StreamprocError
from streamproc.flow.channel import Outbox
from streamproc.flow.tokens import Permit, TokenPool

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


class Feed(Protocol[T_co]):
    """Where a stage's batches come from; `Batcher` is one."""

    async def ready(self) -> None:
        """Wait until a batch is due; raise `anyio.EndOfStream` when none will come."""

    def take(self) -> Sequence[T_co]:
        """Give the batch that is due, without waiting; not empty."""


class Handler(Protocol[T_contra]):
    """What a stage does with a batch."""

    async def handle(self, batch: Sequence[T_contra], permit: Permit) -> None:
        """Work on a batch. The permit may be given back early; the stage gives it back at the end in any case.

        Whatever it raises ends the run: resuming is exact, so stopping is cheap.
        """


class Stage(Generic[T]):
    """Take batches from a feed while there are permits, and have each handled in a child task.

    A permit is taken before the batch leaves the feed, so a batch grows while it waits and nothing is held that could
    not be worked on. When the feed ends, the children are waited for and the outboxes closed: the end travels on.

    Args:
        name: what the stage is called in figures and logs.
        feed: where batches come from.
        pool: how many batches are handled at once.
        handler: what is done with a batch.
        outboxes: the handler's ways on, closed at the end.
    """

    def __init__(
        self, name: str, feed: Feed[T], pool: TokenPool, handler: Handler[T], outboxes: Sequence[Outbox[Any]] = ()
    ) -> None:
        self.name = name
        self.pool = pool
        self._feed = feed
        self._handler = handler
        self._outboxes = outboxes

    async def run(self) -> None:
        """Work until the feed ends.

        Raises:
            ExceptionGroup: of what handlers raised; the other children are cancelled and waited for first.
        """
        try:
            with cancelled_by_others_only(self.name):
                await self._work()
        finally:
            for outbox in self._outboxes:
                outbox.close()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as children:
            while True:
                try:
                    await self._feed.ready()
                except anyio.EndOfStream:
                    break
                permit = await self.pool.acquire()
                children.create_task(self._handle(self._feed.take(), permit))

    async def _handle(self, batch: Sequence[T], permit: Permit) -> None:
        with permit:
            try:
                await self._handler.handle(batch, permit)
            except asyncio.CancelledError as error:
                _raise_if_from_within(self.name, error)
                raise


@contextmanager
def cancelled_by_others_only(what: str) -> Iterator[None]:
    """Have it raised as an error when the block ends in a cancellation that nobody asked of its task.

    Such a task would end without a word, and what it worked on with it.

    Args:
        what: is cancelled, in the message.

    Raises:
        StreamprocError: the block raised `CancelledError` by itself.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        _raise_if_from_within(what, error)
        raise


def _raise_if_from_within(what: str, error: asyncio.CancelledError) -> None:
    task = asyncio.current_task()
    if task is not None and not task.cancelling():
        raise StreamprocError(f"{what}: cancelled from within, by nobody; the same command continues") from error
