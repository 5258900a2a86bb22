"""How many workers of this size a run would need to be done in time."""

from __future__ import annotations

import math

from streamproc.control.scaling import ScalingSignal
from streamproc.control.windows import Window
from streamproc.flow.ledger import Ledger
from streamproc.sources.source import Source

RATE_MEMORY = 0.9
WINDOWS_NEEDED = 5
"""Windows since the first delivery before anything is said: what is asked for stays for minutes."""
SLACK = 0.05
"""Who is late by less than this share of the deadline needs nobody more."""


class Scale:
    """Keep the number of workers that the backlog and the deadline need.

    Args:
        source: guesses what is left to read.
        ledger: knows what is on its way.
        deadline_seconds: how long the run may take; `None` for as long as it likes.
        now: seconds, at the start.

    Attributes:
        workers_needed: for what is left in the time that is left; `None` while that is not known.
        would_have_met: for the whole run in the whole time, at the speed so far; `None` while that is not known.
    """

    def __init__(self, source: Source, ledger: Ledger, deadline_seconds: float | None, now: float) -> None:
        self._source = source
        self._ledger = ledger
        self._deadline_seconds = deadline_seconds
        self._began_at = now
        self._signal = ScalingSignal()
        self._recent = (0.0, 0.0)  # records and seconds, those of long ago counting less
        self._windows = 0
        self._delivered = 0
        self.workers_needed: int | None = None
        self.would_have_met: int | None = None

    def tick(self, window: Window, now: float) -> None:
        """Take in what was delivered, and decide anew; does nothing without a deadline or a guess of what is left."""
        self._delivered += window.delivered
        if self._deadline_seconds is None or (left := self._source.remaining()) is None:
            return
        if not self._delivered:
            return
        count, seconds = self._recent
        count, seconds = RATE_MEMORY * count + window.delivered, RATE_MEMORY * seconds + window.seconds
        self._recent = count, seconds
        self._windows += 1
        backlog = left + self._ledger.in_flight
        passed = now - self._began_at
        if self._windows >= WINDOWS_NEEDED:
            self.workers_needed = self._signal.update(backlog, count / seconds, self._deadline_seconds - passed, now)
        whole_seconds = passed * (1 + backlog / self._delivered)
        self.would_have_met = max(1, math.ceil(whole_seconds / self._deadline_seconds - SLACK))
