"""What a clock is here, and which one a run has: its parts are given it."""

import asyncio
import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds on a clock that never goes back; only differences mean anything."""


def running_clock() -> Clock:
    """Give the clock of the running event loop.

    uvloop's counts whole milliseconds, and stands still while a callback runs. A batch of lookups takes less. What it
    counts is the monotonic clock (https://docs.libuv.org/en/v1.x/loop.html#c.uv_now), so it is given that one.
    """
    loop = asyncio.get_running_loop()
    return time.monotonic if type(loop).__module__.partition(".")[0] == "uvloop" else loop.time
