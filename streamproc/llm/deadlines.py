"""A deadline for each attempt that counts only the time in which this process could have noticed an answer.

When the event loop stalls (a blocked callback, SIGSTOP, a laptop asleep), answers wait in socket buffers. An ordinary
deadline would then discard what was already paid for. Here a stall counts as two ticks at most, so what has arrived is
read first.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

MAX_TICK_SECONDS = 0.25


class Deadlines:
    """The deadlines of all attempts at one endpoint: one timer for all of them, and none while there is no attempt.

    Args:
        seconds: how long an attempt may take; kept to within an eighth of it, or 0.25 s.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._tick_seconds = min(MAX_TICK_SECONDS, seconds / 8)
        self._lived = 0.0
        self._last_tick = 0.0
        self._started: dict[Deadline, float] = {}  # in order of starting, so in order of expiry
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> Deadline:
        """Give the deadline of an attempt that begins now: the attempt is the `with` block that it is used for."""
        return Deadline(self)

    def cancel_all(self) -> None:
        """End every attempt now."""
        for deadline in list(self._started):
            deadline.expire()

    def add(self, deadline: Deadline) -> None:
        """Put an attempt on the clock."""
        if self._timer is None:
            self._schedule()
        self._started[deadline] = self._lived

    def remove(self, deadline: Deadline) -> None:
        """Take an attempt off the clock."""
        self._started.pop(deadline, None)

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        self._last_tick = loop.time()
        self._timer = loop.call_later(self._tick_seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        elapsed = asyncio.get_running_loop().time() - self._last_tick
        self._lived += min(elapsed, 2 * self._tick_seconds)
        for deadline, started in list(self._started.items()):
            if self._lived - started < self._seconds:
                break
            deadline.expire()
        if self._started:
            self._schedule()


class Deadline:
    """The deadline of one attempt: a block that is cancelled when its time is over, and then simply ends.

    A cancel scope of anyio does the same for 5 us more, which is a twentieth of a call.

    Args:
        deadlines: the clock that it is on while its block lasts.

    Attributes:
        expired: whether its time was over.
    """

    __slots__ = ("_cancelling", "_deadlines", "_lasts", "_task", "expired")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._lasts = False
        self.expired = False

    def __enter__(self) -> Deadline:
        task = asyncio.current_task()
        assert task is not None, "attempts are made by tasks"
        self._task = task
        self._cancelling = task.cancelling()
        self._lasts = True
        self._deadlines.add(self)
        return self

    def expire(self) -> None:
        """Cancel the block, unless an answer is there: in a socket's buffer, or on its way to who waits for it.

        That takes one turn of the event loop each to show, as uvloop looks at its clock before it looks at sockets.
        """
        self._deadlines.remove(self)
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._cancel)

    def _cancel(self) -> None:
        if self._lasts and not self.expired:
            self.expired = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._lasts = False
        self._deadlines.remove(self)
        if not self.expired:
            return False
        alone = self._task.uncancel() <= self._cancelling  # or somebody else has cancelled the task as well
        return alone and isinstance(error, asyncio.CancelledError)
