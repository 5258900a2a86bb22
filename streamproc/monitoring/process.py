"""The memory of this process."""

from __future__ import annotations

import resource
import sys

import psutil

_RUSAGE_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, kilobytes on Linux


class ProcessMemory:
    """Reads this process's resident memory; cheap enough for every tick (some 30 us)."""

    def __init__(self) -> None:
        self._process = psutil.Process()

    def resident_bytes(self) -> float:
        """Give what is resident now, in bytes."""
        return float(self._process.memory_info().rss)


def peak_resident_bytes() -> int:
    """Give the most that was ever resident since this process began, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RUSAGE_UNIT
