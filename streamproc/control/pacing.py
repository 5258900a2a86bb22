"""How long to wait: for a configured rate, and after a failure. Both answer in seconds; neither sleeps."""

from __future__ import annotations

import math

from msgspec import Struct


class TokenBucket:
    """A rate that allows short bursts. Reserving may overdraw it; the debt is the wait.

    Args:
        rate: units that come in each second.
        burst: most units that can be saved up.
        level: what is there at the start; not given, all of `burst`.
    """

    def __init__(self, rate: float, burst: float, level: float | None = None) -> None:
        if rate <= 0 or burst <= 0:
            raise ValueError(f"rate and burst must be > 0, got {rate} and {burst}")
        self.rate = rate
        self.burst = burst
        self._level = burst if level is None else level
        self._at: float | None = None

    def seconds_until(self, amount: float, now: float) -> float:
        """Give the seconds that `reserve` would give, and take nothing."""
        return max(0.0, (amount - self._level_at(now)) / self.rate)

    def reserve(self, amount: float, now: float, at: float = -math.inf) -> float:
        """Take `amount` units, at once or in advance.

        Args:
            amount: units, >= 0; one above `burst` waits for its debt like any other.
            now: seconds; never earlier than in the call before.
            at: when they will be used, if something else makes them wait longer than this does: until then no more than
                a burst is saved up.

        Returns:
            Seconds to wait before acting on it; 0 if the units were there.
        """
        level = self._level_at(now)
        beyond = level + (at - now) * self.rate - max(self.burst, amount)
        self._level = level - max(0.0, beyond) - amount
        return max(0.0, (amount - level) / self.rate)

    def _level_at(self, now: float) -> float:
        if self._at is not None:
            self._level = min(self.burst, self._level + (now - self._at) * self.rate)
        self._at = now
        return self._level

    def give_back(self, amount: float) -> None:
        """Return units that were reserved and not used; a negative amount takes more."""
        self._level = min(self.burst, self._level + amount)


class Backoff(Struct, frozen=True):
    """How long to wait after a failure: doubling, spread out, never below what the server asked.

    Attributes:
        base_seconds: the longest wait after the first failure.
        cap_seconds: the longest wait of our own choosing.
        longest_hint_seconds: a server that asks for more is not waited for.
    """

    base_seconds: float = 0.5
    cap_seconds: float = 60.0
    longest_hint_seconds: float = 3600.0

    def delay(self, attempt: int, *, hint: float | None, draw: float) -> float | None:
        """Give the seconds to wait before trying again.

        Args:
            attempt: how many tries have failed; starts at 1.
            hint: seconds that the server asked for.
            draw: a random number in [0, 1), so that many who failed together do not return together.

        Returns:
            Without a hint, between half of `base_seconds * 2 ** (attempt - 1)` and the whole of it, capped. With one,
            the hint or up to a quarter more. `None` if the hint is beyond `longest_hint_seconds`.
        """
        if hint is not None:
            return hint * (1 + 0.25 * draw) if hint <= self.longest_hint_seconds else None
        exponent = min(attempt - 1, 60)  # 2.0 ** 1100 overflows, and long before that the cap holds
        return min(self.cap_seconds, self.base_seconds * 2.0**exponent) * (0.5 + 0.5 * draw)
