"""What signals do to a run of the command: once to drain, twice to cancel, three times to leave at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from streamproc._log import log
from streamproc.pipeline.pipeline import DataProcessingPipeline

KILLED = 137


class Interruptions:
    """Counts the signals that came.

    The handlers run between steps of the event loop, so none can land inside a commit.

    Attributes:
        first: the name of the first signal, `None` before one came.

    Args:
        pipeline: what is drained or aborted.
        group: parent of the task that drains.
    """

    def __init__(self, pipeline: DataProcessingPipeline, group: asyncio.TaskGroup) -> None:
        self._pipeline = pipeline
        self._group = group
        self._count = 0
        self.first: str | None = None

    def received(self, number: signal.Signals) -> None:
        """Act on one signal."""
        self._count += 1
        if self._count == 1:
            self.first = number.name
            seconds = self._pipeline.config.drain_seconds
            log.warning(
                "run.interrupted", signal=number.name, next=f"finishing what is under way, at most {seconds:g} s"
            )
            self._group.create_task(self._pipeline.drain())
        elif self._count == 2:
            log.warning(
                "run.interrupted", signal=number.name, next="ending calls under way, committing what has arrived"
            )
            self._pipeline.abort()
        else:
            os.write(2, b"streamproc: left at once; the same command continues\n")
            os._exit(KILLED)


@contextmanager
def listening(interruptions: Interruptions) -> Iterator[None]:
    """Have SIGINT and SIGTERM counted while the block runs."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interruptions.received, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
