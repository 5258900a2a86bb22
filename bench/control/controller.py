"""What the harness asks of whoever decides how many requests are in flight."""

from __future__ import annotations

from typing import Protocol

from streamproc.control.attempts import Attempt


class Turn(Protocol):
    """One attempt's place in the order of sending."""

    def wait(self, now: float) -> float:
        """Give the seconds to wait; asked again after each wait, until 0."""


class Controller(Protocol):
    """Decides from attempts and the time, in seconds that never go back; does not sleep."""

    @property
    def limit(self) -> int:
        """How many permits there are, at least 1."""

    def turn(self, tokens: int) -> Turn:
        """Give an attempt, which holds a permit and will use so many tokens, its place in the order of sending."""

    def started(self, now: float, in_flight: int) -> None:
        """Hear that an attempt is sent; `in_flight` are in the air, this one included."""

    def finished(self, attempt: Attempt, now: float) -> None:
        """Hear what came of an attempt."""

    def tick(self, now: float) -> None:
        """Hear that a second has passed."""
