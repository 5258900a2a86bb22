"""How much of the time work stood still for want of memory or CPU, as Linux counts it (PSI)."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from streamproc.flow.clock import Clock

_TOTAL = re.compile(r"^(some|full) .*\btotal=(\d+)$", re.MULTILINE)


class PressureMeter:
    """Read the share of time that was lost since the last reading.

    The kernel counts real microseconds, so the clock must be a real one.

    Args:
        paths: where it may be counted; the first that can be read is taken (a control group's own `memory.pressure`
            before `/proc/pressure/memory`).
        kind: `some`: at least one task waited; `full`: all did, and nothing was done.
        clock: seconds.
    """

    def __init__(self, paths: Sequence[Path], kind: Literal["some", "full"], clock: Clock = time.monotonic) -> None:
        self._paths = paths
        self._kind = kind
        self._clock = clock
        self._last = self._count()

    def read(self) -> float | None:
        """Give the share, 0 to 1, or `None` where this is not counted or no time has passed."""
        last, count = self._last, self._count()
        self._last = count
        if last is None or count is None or last[0] != count[0] or count[2] <= last[2]:
            return None
        return min(1.0, max(0.0, (count[1] - last[1]) / 1e6 / (count[2] - last[2])))

    def _count(self) -> tuple[Path, int, float] | None:
        """Give where it was counted, the microseconds so far, and when that was."""
        for path in self._paths:
            try:
                text = path.read_text(encoding="ascii", errors="replace")
            except OSError:  # not there, or the kernel was started without it
                continue
            for kind, total in _TOTAL.findall(text):
                if kind == self._kind:
                    return path, int(total), self._clock()
        return None
