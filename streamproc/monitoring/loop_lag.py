"""How late the event loop is: how long after its time a timer is called."""

from __future__ import annotations

import asyncio
import math
from collections import deque


class LoopLag:
    """Have the event loop call a timer now and then, and see how late it comes. Costs some 10 us a second.

    All times are on the event loop's own clock, so on a loop whose clock jumps there is no lag.

    Args:
        interval_seconds: from one call to the next.
        window_seconds: how far back `p99` and `peak` look.

    Raises:
        ValueError: times that are not positive.
    """

    def __init__(self, interval_seconds: float = 0.1, window_seconds: float = 10.0) -> None:
        if not 0 < interval_seconds <= window_seconds < math.inf:
            raise ValueError(f"0 < interval_seconds <= window_seconds, got {interval_seconds} and {window_seconds}")
        self._interval = interval_seconds
        self._window = window_seconds
        self._seen: deque[tuple[float, float]] = deque(maxlen=math.ceil(window_seconds / interval_seconds) + 1)
        self._worst: float | None = None  # since the last `take`
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin on the running event loop. Harmless when called twice."""
        if self._timer is None:
            self._loop = asyncio.get_running_loop()
            self._timer = self._loop.call_later(self._interval, self._called)

    def stop(self) -> None:
        """Stop; what was seen stays. Harmless when called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self) -> float | None:
        """Give the longest lag since this was last asked, in seconds, and begin anew; `None` if none was measured.

        A call that is overdue at this moment counts.
        """
        worst, self._worst = self._worst, None
        if self._timer is None or self._loop is None:
            return worst
        overdue = self._loop.time() - self._timer.when()
        return worst if overdue <= 0 else max(overdue, worst or 0.0)

    @property
    def peak(self) -> float | None:
        """The longest lag in the window, in seconds."""
        return max((lag for _, lag in self._seen), default=None)

    @property
    def p99(self) -> float | None:
        """The lag that 99 of 100 calls in the window did not exceed, in seconds."""
        lags = sorted(lag for _, lag in self._seen)
        return lags[math.ceil(len(lags) * 0.99) - 1] if lags else None

    def _called(self) -> None:
        assert self._loop is not None
        assert self._timer is not None
        now = self._loop.time()
        lag = max(0.0, now - self._timer.when())
        self._seen.append((now, lag))
        while now - self._seen[0][0] > self._window:
            self._seen.popleft()
        self._worst = lag if self._worst is None else max(lag, self._worst)
        self._timer = self._loop.call_later(self._interval, self._called)
