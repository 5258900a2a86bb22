"""Whether an endpoint that refuses everything is down, and how gently it is asked meanwhile."""

from __future__ import annotations

from streamproc.control.silence import Silence

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 16.0
LONGEST_PAUSE_BEFORE_READY_SECONDS = 5.0
IN_A_ROW = 2
"""Refusals in a row, each of a later cohort and with no sign of life between, that make an outage."""
SURVIVAL_SECONDS = 1.0
SURVIVAL_REFUSALS = 4.0
"""A request that has not been refused for a second, and for four times as long as refusals take, was accepted."""


class Outage:
    """Watch for an endpoint that is not ready yet, or has stopped working: then one request at a time asks how it is.

    Before the first sign of life every refusal is an outage: the endpoint is starting.

    Attributes:
        going_on: whether the endpoint is down.
        silence: who failed since the last sign of life.
    """

    def __init__(self) -> None:
        self.going_on = False
        self.silence = Silence()
        self._alive = False
        self._in_a_row = 0
        self._cohort_ends = float("-inf")
        self._refusal_seconds = 0.0
        self._probe_at: float | None = None

    def sent(self, now: float) -> None:
        """Enter a request that sets out."""
        if self._probe_at is None:
            self._probe_at = now

    def refused(self, started_at: float, others_in_flight: int, now: float) -> float:
        """Enter a refusal. Of an endpoint that is known to work it is no outage while others are in the air: those were
        accepted.

        Returns:
            Seconds for which nobody should ask; 0 while there is no outage.
        """
        self._refusal_seconds = max(now - started_at, 0.9 * self._refusal_seconds)
        self._probe_at = None
        if started_at > self._cohort_ends:
            self._cohort_ends = now
            self._in_a_row += 1
        elif self.going_on:
            return 0.0
        self.going_on = not self._alive or (others_in_flight == 0 and self._in_a_row >= IN_A_ROW)
        if not self.going_on:
            return 0.0
        longest = LONGEST_PAUSE_SECONDS if self._alive else LONGEST_PAUSE_BEFORE_READY_SECONDS
        return min(longest, FIRST_PAUSE_SECONDS * 2.0 ** min(self._in_a_row - 1, 10))

    def answered(self) -> bool:
        """Enter an answer, or any other sign that requests are worked on; tell whether it ended an outage."""
        ended, self.going_on = self.going_on, False
        if self.silence.since is not None:
            self.silence.over = True
            self.silence = Silence(in_flight=self.silence.in_flight)
        self._alive, self._in_a_row = True, 0
        return ended

    def gone(self) -> None:
        """Enter an attempt that ended without a word on how the endpoint is: it does not survive any longer."""
        self._probe_at = None

    def tick(self, now: float) -> bool:
        """Look at the clock; tell whether an outage has ended, since a request has not been refused for long enough."""
        if not self.going_on or self._probe_at is None:
            return False
        return now - self._probe_at >= max(SURVIVAL_SECONDS, SURVIVAL_REFUSALS * self._refusal_seconds) and (
            self.answered()
        )
