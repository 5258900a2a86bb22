"""Memory that this process has freed and its allocator still holds, given back to the system."""

from __future__ import annotations

import asyncio
import ctypes
import math
import sys
from collections.abc import Callable

from streamproc._log import log
from streamproc.monitoring.process import ProcessMemory

WORTH_SHARE = 0.02
"""A gain of less than this share of what is resident was not worth the effort."""
PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 10.0


def find_trim() -> Callable[[], object] | None:
    """Find what gives free memory back to the system; `None` where there is no such thing: it is glibc's."""
    if sys.platform != "linux":
        return None
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return lambda: trim(0)


class FreeMemory:
    """Give free memory back now and then, on a thread, for as long as that is worth it.

    Records of a size that comes and goes leave holes, and an allocator keeps them: without this, a process that was
    near its limit once would stay there. A try that gains little doubles the time to the next one.

    Args:
        trim: gives back; `None` to do nothing.
        resident_bytes: gives what is resident.
    """

    def __init__(
        self, trim: Callable[[], object] | None = None, resident_bytes: Callable[[], float] | None = None
    ) -> None:
        self._trim = trim
        self._resident_bytes = resident_bytes or ProcessMemory().resident_bytes
        self._pause = PAUSE_SECONDS
        self._tried_at = -math.inf

    async def give_back(self, now: float, *, urgent: bool = False) -> None:
        """Give back what is free, unless that was done lately.

        Args:
            now: seconds on a clock that never goes back.
            urgent: whether no more time than the shortest pause may pass, however little the last try gained.
        """
        if self._trim is None or now - self._tried_at < (PAUSE_SECONDS if urgent else self._pause):
            return
        self._tried_at = now
        before = self._resident_bytes()
        await asyncio.to_thread(self._trim)
        after = self._resident_bytes()
        worth = before - after >= WORTH_SHARE * before
        self._pause = PAUSE_SECONDS if worth else min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        log.debug("memory.given_back", before=round(before), after=round(after))
