"""One measurement of goodput at one limit, from attempts that know no other."""

from __future__ import annotations

from msgspec.structs import replace

from streamproc.control.attempts import Attempt
from streamproc.control.concurrency.work import Speed, WorkModel

USED_PEAK = 0.8
USED_MEAN = 0.7
"""A limit that was not used to this share, at its peak and on average, says nothing about itself."""


class Epoch:
    """Gather the attempts that began under a limit, leave out its first generation, and measure.

    The first attempts after a change find the endpoint in the state that the earlier limit left: its queue has still to
    fill or to drain. By Little's law goodput is the mean number in the air times work over seconds, which needs no
    waiting for rates to average out.

    Args:
        limit: in force.
        began_at: since when, in seconds.
        in_flight: attempts in the air at that time.
        settle: attempts to leave out.
        wanted: attempts to measure with.
    """

    def __init__(self, limit: int, began_at: float, in_flight: int, settle: int, wanted: int) -> None:
        self.limit = limit
        self._began_at = began_at
        self._settle = settle
        self._wanted = wanted
        self._attempts: list[Attempt] = []
        self._in_flight = in_flight
        self._peak = in_flight
        self._area = 0.0
        self._measured_since = began_at
        self._at = began_at

    def moved(self, in_flight: int, now: float) -> None:
        """Enter how many are in the air from now on."""
        if now > self._at:
            self._area += self._in_flight * (now - self._at)
            self._at = now
        self._in_flight = in_flight
        self._peak = max(self._peak, in_flight)

    def answered(self, attempt: Attempt) -> bool:
        """Enter an answered attempt; tell whether there are enough. Attempts begun under another limit do not count."""
        if attempt.started_at < self._began_at:
            return False
        if self._settle > 0:
            self._settle -= 1
            if self._settle == 0:
                self._area, self._measured_since, self._peak = 0.0, self._at, self._in_flight
            return False
        self._attempts.append(attempt)
        return len(self._attempts) >= self._wanted

    def measure(self, work: WorkModel) -> Speed | None:
        """Give the work a second of all calls together; `None` where the limit was not used enough.

        Args:
            work: learns from the attempts, and says what they amount to.
        """
        attempts, elapsed = self._attempts, self._at - self._measured_since
        if not attempts or elapsed <= 0 or sum(attempt.seconds for attempt in attempts) <= 0:
            return None
        mean_in_flight = self._area / elapsed
        if self._peak < USED_PEAK * self.limit or mean_in_flight < USED_MEAN * self.limit:
            return None
        speed = work.speed(attempts)
        return replace(speed, work=mean_in_flight * speed.work)
