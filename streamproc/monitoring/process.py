"""What this process itself uses: memory, CPU time, files."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

import psutil

from streamproc.flow.clock import Clock

_RUSAGE_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, kilobytes on Linux
_OWN_FILES = Path("/proc/self/fd")
SHORTEST_SECONDS = 0.05
"""The clock of CPU time may be as coarse as 10 ms; over less than this a share of it means little."""


class ProcessMemory:
    """Reads this process's resident memory; cheap enough for every tick (some 10 to 30 us)."""

    def __init__(self) -> None:
        self._process = psutil.Process()

    def resident_bytes(self) -> float:
        """Give what is resident now, in bytes."""
        return float(self._process.memory_info().rss)


class CpuMeter:
    """Reads how much CPU time this process took, as a share of the time that passed.

    psutil's `cpu_percent` gives 0.0 at its first call; this gives nothing until it knows something.

    Args:
        clock: seconds; a real one, as CPU time is real.
        cpu_seconds: CPU time of this process so far.
    """

    def __init__(self, clock: Clock = time.monotonic, cpu_seconds: Clock = time.process_time) -> None:
        self._clock = clock
        self._cpu_seconds = cpu_seconds
        self._last = (clock(), cpu_seconds())
        self._percent: float | None = None

    def percent(self, cpus: float) -> float | None:
        """Give the share since the last call, in percent of `cpus` together; `None` while that is not known."""
        now, used = self._clock(), self._cpu_seconds()
        passed = now - self._last[0]
        if passed >= SHORTEST_SECONDS:
            self._percent = min(100.0, max(0.0, 100.0 * (used - self._last[1]) / (passed * cpus)))
            self._last = (now, used)
        return self._percent


def allowed_cpus(quota: float | None) -> float:
    """Give how many CPUs this process may use.

    Args:
        quota: what its container allows, or `None`.
    """
    count = float(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)
    return count if quota is None else min(count, quota)


def open_files() -> int | None:
    """Give how many file descriptors this process has open.

    Linux says so since 6.2 at once; older kernels and macOS list them, at some 0.4 us for each.
    """
    try:
        counted = _OWN_FILES.stat().st_size if sys.platform == "linux" else 0
        return counted or psutil.Process().num_fds()
    except (OSError, psutil.Error):
        return None


def open_files_limit() -> int | None:
    """Give the most file descriptors this process may have open, or `None` for no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def peak_resident_bytes() -> int:
    """Give the most that was ever resident since this process began, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RUSAGE_UNIT
