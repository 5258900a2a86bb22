"""A limit that does not move, and what all rivals share: pauses that the endpoint asked for."""

from __future__ import annotations

from collections.abc import Sequence

from streamproc.control.attempts import Attempt
from streamproc.control.pacing import TokenBucket

BURST_SECONDS = 1.0


class Fixed:
    """So many permits, and perhaps a pace; waits when told to.

    Args:
        limit: permits.
        requests_per_second: pace; `None` for none.
        tokens_per_second: pace; `None` for none.
    """

    def __init__(
        self, limit: int, requests_per_second: float | None = None, tokens_per_second: float | None = None
    ) -> None:
        self.limit = limit
        self._requests = _bucket(requests_per_second)
        self._tokens = _bucket(tokens_per_second)
        self._resume_at = 0.0

    def turn(self, tokens: int) -> Paced:
        return Paced(self, tokens)

    def reserve(self, tokens: int, now: float) -> float:
        wait = self._requests.reserve(1, now) if self._requests else 0.0
        return max(wait, self._tokens.reserve(tokens, now)) if self._tokens else wait

    def pause(self, now: float) -> float:
        return max(0.0, self._resume_at - now)

    def started(self, now: float, in_flight: int) -> None:
        pass

    def finished(self, attempt: Attempt, now: float) -> None:
        if attempt.retry_after is not None:
            self._resume_at = max(self._resume_at, now + attempt.retry_after)

    def tick(self, now: float) -> None:
        pass


class Paced:
    """Waits for its reservation, then for the end of any pause."""

    __slots__ = ("_by", "_due", "_tokens")

    def __init__(self, by: Fixed, tokens: int) -> None:
        self._by = by
        self._tokens = tokens
        self._due: float | None = None

    def wait(self, now: float) -> float:
        if self._due is None:
            self._due = now + self._by.reserve(self._tokens, now)
        return max(self._due - now, self._by.pause(now))


class Planned(Fixed):
    """Knows the right limit of every moment.

    Args:
        plan: seconds, rising from 0, and the limit from then on.
    """

    def __init__(self, plan: Sequence[tuple[float, int]]) -> None:
        super().__init__(plan[0][1])
        self._plan = list(plan[1:])

    def tick(self, now: float) -> None:
        while self._plan and self._plan[0][0] <= now:
            self.limit = self._plan.pop(0)[1]


def _bucket(rate: float | None) -> TokenBucket | None:
    return TokenBucket(rate, max(1.0, rate * BURST_SECONDS)) if rate else None
