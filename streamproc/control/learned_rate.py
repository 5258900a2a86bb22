"""The rate that an endpoint allows, learned from what it refuses."""

from __future__ import annotations

import math
from collections import deque

from msgspec import Struct

FIRST_WINDOW_SECONDS = 15.0
FEWEST_ACCEPTED = 8
"""An interval with fewer accepted attempts than this goes on until the next refusal."""
START_SHARE = 0.98
PLATEAU_SECONDS = 30.0
RELEASE_SHARE = 3.0
"""A rate that has grown to so many times the one learned bounds nothing any more."""
SURPRISE_SHARE = 0.2
MOST_SECONDS_REMEMBERED = 240.0


class _Mark(Struct):
    at: float
    accepted: float


class LearnedRate:
    """Units a second that one endpoint allows: requests, or text tokens.

    A refusal says that the account's bucket is empty. Between two refusals exactly that much was accepted as came into
    the bucket, so the rate is known as soon as the second one comes, however the sending was spread. From then on the
    rate is approached from just below, held, and slowly exceeded until the next refusal: the bucket is kept near empty,
    and nothing it would have given is lost.
    """

    def __init__(self) -> None:
        self._accepted = 0.0
        self._seen: deque[_Mark] = deque()
        self._mark: _Mark | None = None
        self._known_at = -math.inf
        self._seconds = 0.0
        self._amount = 0.0
        self._estimate: float | None = None
        self._spread: list[float] = []

    @property
    def estimate(self) -> float | None:
        """The rate learned, in units a second; `None` before the first refusal."""
        return self._estimate

    @property
    def spread(self) -> float | None:
        """How much the intervals between refusals disagree, in shares; `None` before there are three of them."""
        if len(self._spread) < 3:
            return None
        mean = sum(self._spread) / len(self._spread)
        return max(abs(rate / mean - 1) for rate in self._spread)

    def sent(self, amount: float, now: float) -> None:
        """Count what sets out; what is refused is taken off again."""
        if self._mark is None and (not self._seen or now - self._seen[-1].at >= 1.0):
            self._seen.append(_Mark(now, self._accepted))
            while now - self._seen[0].at > FIRST_WINDOW_SECONDS:
                self._seen.popleft()
        self._accepted += amount

    def refused(self, amount: float, started_at: float, now: float) -> bool:
        """Enter a refusal; tell whether it taught anything. Those sent before an earlier one was known teach nothing.

        Args:
            amount: what had been counted as sent.
            started_at: when it was sent.
            now: seconds.
        """
        self._accepted -= amount
        if started_at <= self._known_at:
            if self._mark is not None and self._mark.at >= started_at:
                self._mark.accepted -= amount
            return False
        self._known_at = now
        if self._mark is None:
            since = self._seen[0] if self._seen else _Mark(now, 0.0)
            self._estimate = max(self._accepted - since.accepted, amount) / max(now - since.at, 1.0)
            self._mark = _Mark(now, self._accepted)
            self._seen.clear()
            return True
        seconds, accepted = now - self._mark.at, self._accepted - self._mark.accepted
        if accepted <= 0 or accepted < FEWEST_ACCEPTED * amount or seconds <= 0:
            return True
        self._learn(accepted, seconds)
        self._mark = _Mark(now, self._accepted)
        return True

    def _learn(self, accepted: float, seconds: float) -> None:
        rate = accepted / seconds
        if self._seconds and abs(rate * self._seconds / self._amount - 1) > SURPRISE_SHARE:
            self._seconds = self._amount = 0.0
            self._spread.clear()
        if self._seconds > MOST_SECONDS_REMEMBERED:
            self._amount *= MOST_SECONDS_REMEMBERED / self._seconds
            self._seconds = MOST_SECONDS_REMEMBERED
        self._seconds += seconds
        self._amount += accepted
        self._spread = [*self._spread[-3:], rate]
        self._estimate = self._amount / self._seconds

    def rate(self, now: float) -> float | None:
        """Give the units a second to send, or `None` where nothing needs to be held back."""
        if self._estimate is None:
            return None
        plateau = PLATEAU_SECONDS * math.cbrt((1 - START_SHARE) / 0.1)
        share = 1 + 0.1 * ((now - self._known_at - plateau) / PLATEAU_SECONDS) ** 3
        return self._estimate * share if share < RELEASE_SHARE else None
