"""What the harness asks of whoever decides how many requests are in flight."""

from __future__ import annotations

from typing import Protocol

from streamproc.control.attempts import Attempt


class Controller(Protocol):
    """Decides from attempts and the time, in seconds that never go back; does not sleep."""

    limit: int
    """How many permits there are, at least 1."""

    def reserve(self, tokens: int, now: float) -> float:
        """Give the seconds until an attempt's turn by pacing; asked once an attempt, which holds a permit."""

    def pause(self, now: float) -> float:
        """Give the seconds for which nobody may send; asked again after each wait, until 0."""

    def started(self, now: float, in_flight: int) -> None:
        """Hear that an attempt is sent; `in_flight` are in the air, this one included."""

    def finished(self, attempt: Attempt, now: float) -> None:
        """Hear what came of an attempt."""

    def tick(self, now: float) -> None:
        """Hear that a second has passed."""
