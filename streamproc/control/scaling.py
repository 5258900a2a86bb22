"""How many workers of this size the work that is left needs."""

from __future__ import annotations

import math
from collections import deque

TOLERANCE = 0.1
"""A need within a tenth of what there is changes nothing."""
DOWN_WINDOW_SECONDS = 300.0
"""Fewer workers are asked for only if no more were needed for so long."""


class ScalingSignal:
    """Say how many workers are needed to end in time: up at once, down only when it stays so.

    Args:
        current: workers at work now.
    """

    def __init__(self, current: int = 1) -> None:
        self._needed = current
        self._seen: deque[tuple[float, int]] = deque()

    def update(self, backlog: float, rate: float, seconds_left: float, now: float) -> int:
        """Give the workers needed.

        Args:
            backlog: records left.
            rate: records a second that one worker of this size does.
            seconds_left: until all of them must be done; at or below 0 it is too late, and nothing is said anew.
            now: seconds.

        Returns:
            At least 1, and no more than there are records left, however little time is.
        """
        one_does = rate * seconds_left
        if min(rate, seconds_left, one_does) <= 0 or backlog < 0:
            return self._needed
        if not (math.isfinite(one_does) and math.isfinite(backlog / one_does)):
            return self._needed
        needed = max(1.0, min(backlog, backlog / one_does))
        wanted = self._needed if abs(needed / self._needed - 1) <= TOLERANCE else math.ceil(needed)
        if not self._seen:
            self._seen.append((now, self._needed))
        self._seen.append((now, wanted))
        while now - self._seen[0][0] > DOWN_WINDOW_SECONDS:
            self._seen.popleft()
        self._needed = max(wanted for _, wanted in self._seen)
        return self._needed
