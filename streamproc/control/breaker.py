"""When to stop asking something that keeps failing, and when to ask again. Pure: the caller brings the time."""

from __future__ import annotations

import math
from typing import Literal

BreakerState = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """Lets everything through until failures come in a row; then nothing for a while; then one probe.

    Calls that were under way together and fail together count as one failure: a stall of this process must not look
    like a dead server. For each admission exactly one of `succeeded`, `failed` and `abandoned` is to be told.

    Args:
        failures: so many in a row open it.
        cooldown_seconds: how long it stays open before a probe is let through; twice as long after each probe that
            fails.
        longest_cooldown_seconds: but never longer than this.

    Raises:
        ValueError: fewer than one failure, or a negative cooldown.
    """

    def __init__(
        self, failures: int = 3, cooldown_seconds: float = 5.0, longest_cooldown_seconds: float = 60.0
    ) -> None:
        if failures < 1:
            raise ValueError(f"failures must be >= 1, got {failures}")
        if cooldown_seconds < 0:
            raise ValueError(f"cooldown_seconds must be >= 0, got {cooldown_seconds}")
        self._failures = failures
        self._first_cooldown = self._cooldown = cooldown_seconds
        self._longest_cooldown = longest_cooldown_seconds
        self._in_a_row = 0
        self._last_failure = -math.inf
        self._opened_at: float | None = None
        self._probing_since: float | None = None

    @property
    def state(self) -> BreakerState:
        """`closed` (everything passes), `open` (nothing does) or `half_open` (a probe is under way)."""
        if self._opened_at is None:
            return "closed"
        return "half_open" if self._probing_since is not None else "open"

    def admit(self, now: float) -> bool:
        """Tell whether to ask; `now` in seconds on a clock that never goes back."""
        if self._opened_at is None:
            return True
        if self._probing_since is not None or now - self._opened_at < self._cooldown:
            return False
        self._probing_since = now
        return True

    def succeeded(self) -> None:
        """An admitted call was answered: whatever it was, the thing is alive."""
        self._in_a_row = 0
        self._opened_at = None
        self._probing_since = None
        self._cooldown = self._first_cooldown

    def failed(self, now: float, admitted_at: float) -> None:
        """An admitted call was not answered.

        Args:
            now: seconds on the clock of `admit`.
            admitted_at: when it was admitted.
        """
        if admitted_at >= self._last_failure:
            self._in_a_row += 1
            self._last_failure = now
        if self._is_probe(admitted_at):
            self._cooldown = min(2 * self._cooldown, self._longest_cooldown)
            self._probing_since = None
            self._opened_at = now
        elif self._opened_at is None and self._in_a_row >= self._failures:
            self._opened_at = now

    def abandoned(self, admitted_at: float) -> None:
        """An admitted call ended without an answer either way, because its caller left; after a probe another may.

        Args:
            admitted_at: when it was admitted.
        """
        if self._is_probe(admitted_at):
            self._probing_since = None

    def _is_probe(self, admitted_at: float) -> bool:
        """Tell the probe from calls that were admitted before it, and end after it has begun."""
        return self._probing_since is not None and admitted_at >= self._probing_since
