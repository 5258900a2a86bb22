"""What signals do to the command: once to drain, twice to end the calls, three times to leave at once.

Handlers are Python's own and not the event loop's, so that the third signal is heard where the loop stands still. Of
what they do, leaving is safe anywhere, because a crash is; the rest is left to the loop, so nothing lands in a commit.
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:  # so that the process listens before it has loaded anything
    import asyncio

    from streamproc.pipeline.pipeline import DataProcessingPipeline

KILLED = 137
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def exit_code(number: int) -> int:
    """Give the exit code for a signal, as shells count."""
    return 128 + number


def leave_when_interrupted() -> None:
    """From now on leave with a sentence when a signal comes: nothing is under way that a crash could harm."""
    for number in _heeded():
        signal.signal(number, _leave_idle)
    atexit.register(_ignore)  # at its very end the interpreter would put back handlers that kill


class Interruptions:
    """Counts the signals that came.

    Attributes:
        first: the first signal, `None` before one came.
    """

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self._count = 0
        self._over = False
        self._pipeline: DataProcessingPipeline | None = None
        self._group: asyncio.TaskGroup | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def steering(
        self, pipeline: DataProcessingPipeline, group: asyncio.TaskGroup, loop: asyncio.AbstractEventLoop
    ) -> Iterator[None]:
        """Have signals end this pipeline's run while the block runs; after it there is nothing left to end.

        Args:
            pipeline: is drained, then aborted.
            group: parent of the task that drains.
            loop: the one that they run on.
        """
        self._pipeline, self._group, self._loop = pipeline, group, loop
        try:
            yield
        finally:
            self._pipeline, self._over = None, True

    def received(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; called between two steps of whatever runs."""
        self._count += 1
        self.first = self.first or signal.Signals(number)
        if self._count > 2:
            _leave(KILLED, "left at once; the same command continues")
        elif self._over:
            return  # the summary is being written
        elif self._pipeline is None or not self._pipeline.under_way:
            _leave_idle(number, frame)
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._steer, signal.Signals(number), self._count)

    def _steer(self, number: signal.Signals, count: int) -> None:
        from streamproc._log import log

        if self._pipeline is None or self._group is None:
            return  # it has ended meanwhile
        if count == 1:
            seconds = self._pipeline.config.drain_seconds
            doing = f"finishing what is under way, at most {seconds:g} s"
            self._group.create_task(self._pipeline.drain())
        else:
            doing = "ending calls under way, committing what has arrived"
            self._pipeline.abort()
        log.warning("run.interrupted", signal=number.name, next=doing)


@contextmanager
def listening(interruptions: Interruptions) -> Iterator[None]:
    """Have signals counted while the block runs. One that the caller had ignored, as `nohup` has SIGHUP, stays so."""
    earlier = {number: signal.signal(number, interruptions.received) for number in _heeded()}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _heeded() -> list[signal.Signals]:
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def _leave_idle(number: int, _: FrameType | None) -> None:
    name = signal.Signals(number).name
    _leave(exit_code(number), f"ended by {name} with nothing under way; the same command begins again")


def _leave(code: int, words: str) -> NoReturn:
    try:
        os.write(2, f"streamproc: {words}\n".encode())
    finally:
        os._exit(code)


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
