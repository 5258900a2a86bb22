"""Limits that grow while all is well and are cut on loss: 429 and 503. They do not look at seconds."""

from __future__ import annotations

from bench.control.fixed import Fixed
from streamproc.control.attempts import Attempt


class ClassicAimd(Fixed):
    """One more for each round of answers, half on loss; the losses of one cohort cut once.

    Args:
        maximum: permits at most.
    """

    def __init__(self, maximum: int) -> None:
        super().__init__(min(20, maximum))
        self._maximum = maximum
        self._answered = 0
        self._cut_at = -1.0

    def finished(self, attempt: Attempt, now: float) -> None:
        super().finished(attempt, now)
        if attempt.ending == "answered":
            self._answered += 1
            if self._answered >= self.limit:
                self._answered = 0
                self.limit = min(self._maximum, self.limit + 1)
        elif attempt.ending in ("rate_limited", "overloaded") and attempt.started_at >= self._cut_at:
            self._cut_at = now
            self._answered = 0
            self.limit = max(1, self.limit // 2)


class EpisodeAimd(Fixed):
    """Doubles until the first loss, then grows by a twentieth, in fives; a loss takes a fifth and begins a rest.

    The rules are those of inspect_ai's adaptive concurrency, with 503 taken like 429: a round is as many answers as
    permits, and counts only if four fifths of the permits were in use; while it rests (15 s, or as the endpoint asked,
    which may prolong it) it neither grows nor is cut.

    Args:
        maximum: permits at most.
    """

    def __init__(self, maximum: int) -> None:
        super().__init__(min(20, maximum))
        self._maximum = maximum
        self._answered = 0
        self._peak = 0
        self._starting = True
        self._rests_until = 0.0

    def started(self, now: float, in_flight: int) -> None:
        self._peak = max(self._peak, in_flight)

    def finished(self, attempt: Attempt, now: float) -> None:
        super().finished(attempt, now)
        if attempt.ending in ("rate_limited", "overloaded"):
            if now >= self._rests_until:
                self.limit = max(1, int(0.8 * self.limit))
                self._rests_until = now + 15.0
            self._rests_until = max(self._rests_until, now + (attempt.retry_after or 0.0))
            self._starting = False
            self._answered = self._peak = 0
        elif attempt.ending == "answered" and now >= self._rests_until:
            self._answered += 1
            if self._answered >= max(self.limit, 4):
                self._end_round()

    def _end_round(self) -> None:
        if self._peak >= 0.8 * self.limit:
            step = self.limit if self._starting else max(5, 5 * round(0.05 * self.limit / 5))
            self.limit = min(self._maximum, self.limit + step)
        self._answered = self._peak = 0
