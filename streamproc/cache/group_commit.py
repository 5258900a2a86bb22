"""Many writers, few transactions: writes that come within a short linger, or during a flush, go together.

A flush to a disk costs as much as fifty rows, a round trip to a server as much as ten writes. A model call takes far
longer than the linger. But where answers come at once and every call waits for the same flush, nobody is left to wait
for: a large group goes as soon as no further write comes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from streamproc.errors import StreamprocError

V = TypeVar("V")

LINGER_SECONDS = 0.002
LARGE = 32
"""Writes that share a flush well enough."""
QUIET_TURNS = 8
"""After so many turns of the event loop without a further write none is about to come. An answer takes several."""


class _Group(Generic[V]):
    """Writes on their way to the disk: over when `done` is set, kept unless there is an `error`."""

    __slots__ = ("done", "error", "items")

    def __init__(self) -> None:
        self.items: dict[str, V] = {}
        self.done = asyncio.Event()
        self.error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.done.set()

    def end(self, work: asyncio.Future[None]) -> None:
        self.error = asyncio.CancelledError() if work.cancelled() else work.exception()
        self.done.set()


class GroupCommit(Generic[V]):
    """Gather writes and have each group written by one job.

    Nobody leads a group: a writer that is cancelled stops waiting and takes nothing with it.

    Args:
        submit: starts a job, on this loop or on another thread, and gives its future. The job takes the group when it
            begins, by calling what `submit` is given, and writes it.
    """

    def __init__(self, submit: Callable[[Callable[[], dict[str, V]]], asyncio.Future[None]]) -> None:
        self._submit = submit
        self._lock = threading.Lock()  # between the event loop, which fills a group, and the thread, which takes it
        self._filling: _Group[V] | None = None
        self._linger: asyncio.TimerHandle | None = None

    async def put(self, items: Mapping[str, V]) -> None:
        """Write items; when it returns, the job has written them. A later value of a key replaces an earlier one.

        Raises:
            Exception: what the job raised; the whole group has failed.
        """
        with self._lock:
            if self._filling is None:
                self._filling = _Group()
                self._linger = asyncio.get_running_loop().call_later(LINGER_SECONDS, self.flush)
            group = self._filling
            few = len(group.items) < LARGE
            group.items.update(items)
        if few and len(group.items) >= LARGE:
            self._watch(group, 0, QUIET_TURNS)
        await group.done.wait()
        if group.error is not None:
            raise group.error

    def _watch(self, group: _Group[V], size: int, turns: int) -> None:
        """Flush a group that lingers when it has not grown for some turns."""
        if self._linger is None or self._filling is not group:
            return
        if len(group.items) > size:
            size, turns = len(group.items), QUIET_TURNS
        if turns:
            asyncio.get_running_loop().call_soon(self._watch, group, size, turns - 1)
        else:
            self.flush()

    def flush(self) -> None:
        """Have the group that lingers written now."""
        if self._linger is None:
            return
        self._linger.cancel()
        self._linger, group = None, self._filling
        assert group is not None, "a group that lingers has not been taken"
        try:
            self._submit(lambda: self._take(group)).add_done_callback(group.end)
        except StreamprocError as error:  # whoever waits must hear of it
            self._take(group)
            group.fail(error)

    def _take(self, group: _Group[V]) -> dict[str, V]:
        with self._lock:
            if self._filling is group:
                self._filling = None
        return group.items
