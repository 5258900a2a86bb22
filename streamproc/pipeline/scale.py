"""How many workers of this size a run would need to be done in time."""

from __future__ import annotations

from streamproc.control.scaling import ScalingSignal
from streamproc.control.windows import Window
from streamproc.flow.ledger import Ledger
from streamproc.sources.source import Source

RATE_MEMORY = 0.9


class Scale:
    """Keep the number of workers that the backlog and the deadline need.

    Args:
        source: guesses what is left to read.
        ledger: knows what is on its way.
        deadline_seconds: how long the run may take; `None` for as long as it likes.
        now: seconds, at the start.
    """

    def __init__(self, source: Source, ledger: Ledger, deadline_seconds: float | None, now: float) -> None:
        self._source = source
        self._ledger = ledger
        self._due_at = None if deadline_seconds is None else now + deadline_seconds
        self._signal = ScalingSignal()
        self._rate: float | None = None
        self.workers_needed: int | None = None

    def tick(self, window: Window, now: float) -> None:
        """Take in what was delivered, and decide anew; does nothing without a deadline or a guess of what is left."""
        if self._due_at is None or (left := self._source.remaining()) is None:
            return
        rate = window.delivered / window.seconds
        self._rate = rate if self._rate is None else RATE_MEMORY * self._rate + (1 - RATE_MEMORY) * rate
        backlog = left + self._ledger.in_flight
        self.workers_needed = self._signal.update(backlog, self._rate, self._due_at - now, now)
