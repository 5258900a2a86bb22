"""A deadline for each attempt that counts only the time in which this process could have noticed an answer.

When the event loop stalls (a blocked callback, SIGSTOP, a laptop asleep), answers wait in socket buffers. An ordinary
deadline would then discard what was already paid for. Here a stall counts as two ticks at most, so what has arrived is
read first.
"""

from __future__ import annotations

import asyncio

import anyio

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
        self._started: dict[anyio.CancelScope, float] = {}  # in order of starting, so in order of expiry
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> anyio.CancelScope:
        """Give a scope that is cancelled when its time is over; hand it to `finish` when the attempt ends."""
        scope = anyio.CancelScope()
        if self._timer is None:
            self._schedule()
        self._started[scope] = self._lived
        return scope

    def finish(self, scope: anyio.CancelScope) -> None:
        """Take an attempt off the clock."""
        self._started.pop(scope, None)

    def cancel_all(self) -> None:
        """End every attempt now."""
        for scope in list(self._started):
            scope.cancel()

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        self._last_tick = loop.time()
        self._timer = loop.call_later(self._tick_seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        elapsed = asyncio.get_running_loop().time() - self._last_tick
        self._lived += min(elapsed, 2 * self._tick_seconds)
        for scope, started in list(self._started.items()):
            if self._lived - started < self._seconds:
                break
            scope.cancel()
            del self._started[scope]
        if self._started:
            self._schedule()
