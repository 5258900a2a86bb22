"""Limits of an account, in requests and tokens a minute. Arithmetic: the caller brings the time in
seconds."""

from __future__ import annotations

_SLACK = 1e-9
"""Of a bucket's capacity. Whoever waits exactly as long as told must not fail by a rounding error."""


class TokenBucket:
    """Admit `per_minute` units in the long run, and `capacity` at once after a rest.

    It starts full. In any span of s seconds it admits at most `per_minute` * s / 60 + `capacity` units. It
    only answers how long to wait: nothing sleeps here.

    Args:
        per_minute: units that flow in each minute, evenly.
        burst_seconds: how many seconds of that flow it can hold.
    """

    def __init__(self, per_minute: float, burst_seconds: float) -> None:
        self.per_minute = per_minute
        self.per_second = per_minute / 60
        self.capacity = max(1.0, self.per_second * burst_seconds)
        self._level = self.capacity
        self._at = 0.0

    def remaining(self, now: float) -> float:
        """Give the units that could be taken at `now`."""
        return min(self.capacity, self._level + max(0.0, now - self._at) * self.per_second)

    def seconds_until(self, units: float, now: float) -> float:
        """Give the seconds until `units` can be taken, 0 if now; more than fits counts as all that fits."""
        missing = min(units, self.capacity) - self.remaining(now)
        return missing / self.per_second if missing > _SLACK * self.capacity else 0.0

    def take(self, units: float, now: float) -> None:
        """Take `units` (or all that fit, if they are more) after `seconds_until` said 0."""
        self._level = max(0.0, self.remaining(now) - min(units, self.capacity))
        self._at = now


class Budget:
    """The two limits of one account together: what either refuses costs neither of them anything.

    Args:
        requests_per_minute: `None` for no limit.
        tokens_per_minute: prompt and output tokens together; `None` for no limit.
        burst_seconds: how many seconds of flow either can save up.
    """

    def __init__(
        self, requests_per_minute: float | None, tokens_per_minute: float | None, burst_seconds: float
    ) -> None:
        self.requests = TokenBucket(requests_per_minute, burst_seconds) if requests_per_minute else None
        self.tokens = TokenBucket(tokens_per_minute, burst_seconds) if tokens_per_minute else None

    def seconds_until(self, tokens: int, now: float) -> float:
        """Give the seconds until one request of `tokens` tokens is admitted, 0 if it would be now."""
        requests_wait = self.requests.seconds_until(1, now) if self.requests else 0.0
        return max(requests_wait, self.tokens.seconds_until(tokens, now) if self.tokens else 0.0)

    def take(self, tokens: int, now: float) -> None:
        """Take one request of `tokens` tokens, after `seconds_until` said 0."""
        if self.requests:
            self.requests.take(1, now)
        if self.tokens:
            self.tokens.take(tokens, now)
