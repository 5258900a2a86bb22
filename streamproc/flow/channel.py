"""Bounded channels between stages. They carry batches, never single records: a hop costs more than a record's work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

T = TypeVar("T")


class _State:
    """How many records stand in a channel, and whether all its outboxes are closed."""

    __slots__ = ("ended", "records")

    def __init__(self) -> None:
        self.records = 0
        self.ended = anyio.Event()


class Outbox(Generic[T]):
    """The sending end of a channel. The channel ends when every clone of its outbox is closed."""

    def __init__(self, stream: MemoryObjectSendStream[Sequence[T]], state: _State) -> None:
        self._stream = stream
        self._state = state

    async def send(self, batch: Sequence[T]) -> None:
        """Hand over a batch, waiting while the channel is full. An empty batch is not sent.

        Raises:
            anyio.BrokenResourceError: the receiving end is closed.
        """
        if batch:
            self._state.records += len(batch)
            try:
                try:
                    self._stream.send_nowait(batch)  # send() gives way to others even where there is room
                except anyio.WouldBlock:
                    await self._stream.send(batch)
            except BaseException:
                self._state.records -= len(batch)
                raise

    def clone(self) -> Outbox[T]:
        """Give one more sending end to the same channel."""
        return Outbox(self._stream.clone(), self._state)

    def close(self) -> None:
        """Say that this end sends no more. Harmless when called twice."""
        self._stream.close()
        if not self._stream.statistics().open_send_streams:
            self._state.ended.set()


class Inbox(Generic[T]):
    """The receiving end of a channel.

    Attributes:
        name: what the channel is called in figures.
    """

    def __init__(self, name: str, stream: MemoryObjectReceiveStream[Sequence[T]], state: _State) -> None:
        self.name = name
        self._stream = stream
        self._state = state

    async def receive(self) -> Sequence[T]:
        """Wait for the next batch; never empty.

        Raises:
            anyio.EndOfStream: all outboxes are closed and everything was received.
        """
        batch = await self._stream.receive()
        self._state.records -= len(batch)
        return batch

    def receive_nowait(self) -> Sequence[T]:
        """Take the next batch if one is there.

        Raises:
            anyio.WouldBlock: none is there yet.
            anyio.EndOfStream: none will come.
        """
        batch = self._stream.receive_nowait()
        self._state.records -= len(batch)
        return batch

    async def ended(self) -> None:
        """Wait until all outboxes are closed; what they have sent may still be here."""
        await self._state.ended.wait()

    @property
    def queued(self) -> int:
        """Records sent and not yet received, those of waiting senders included."""
        return self._state.records

    def close(self) -> None:
        """Receive no more; senders then fail."""
        self._stream.close()


def open_channel(name: str, capacity: int) -> tuple[Outbox[T], Inbox[T]]:
    """Open a channel that holds at most `capacity` batches before its senders wait.

    Args:
        name: what it is called in figures.
        capacity: batches; 0 makes every send wait for its receive.
    """
    send, receive = anyio.create_memory_object_stream[Sequence[T]](capacity)
    state = _State()
    return Outbox(send, state), Inbox(name, receive, state)
