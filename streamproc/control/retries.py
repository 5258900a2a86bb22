"""Whether one record's failed attempt is worth another, and after how long."""

from __future__ import annotations

from msgspec import Struct

from streamproc.control.pacing import Backoff
from streamproc.errors import Ambiguous, BadAnswer, NotSent, ProviderError, RateLimited, Unavailable


class RetryPolicy(Struct, frozen=True):
    """How often a record may be tried.

    Attributes:
        max_attempts: attempts that reached the provider and failed on their own account. Being asked to slow down, and
            requests that never left, cost none.
        ambiguous_retries: further attempts after one that may have been paid without an answer arriving.
        backoff: the waits between.
    """

    max_attempts: int = 6
    ambiguous_retries: int = 1
    backoff: Backoff = Backoff()


class Retries:
    """The attempts of one record.

    Attributes:
        sent: requests that left this machine, whatever came of them.
    """

    __slots__ = ("_ambiguous", "_failed", "_policy", "_waits", "sent")

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failed = 0
        self._waits = 0
        self._ambiguous = 0
        self.sent = 0

    def succeeded(self) -> None:
        """Count an attempt that brought an answer."""
        self.sent += 1

    def copy(self) -> Retries:
        """Give the same attempts once more, for a record that goes a way of its own from here."""
        copied = Retries(self._policy)
        copied._failed, copied._waits, copied._ambiguous = self._failed, self._waits, self._ambiguous
        copied.sent = self.sent
        return copied

    def after(self, error: ProviderError, draw: float) -> float | None:
        """Enter a failed attempt.

        Args:
            error: why it failed.
            draw: a random number in [0, 1).

        Returns:
            Seconds to wait before the next attempt, or `None`: there will be none.
        """
        backoff = self._policy.backoff
        match error:
            case NotSent():
                self._waits += 1
                return backoff.delay(self._waits, hint=None, draw=draw)
            case RateLimited():
                self.sent += 1
                self._waits += 1
                return backoff.delay(self._waits, hint=error.retry_after, draw=draw)
            case Ambiguous():
                self.sent += 1
                self._failed += 1
                self._ambiguous += 1
                if self._ambiguous > self._policy.ambiguous_retries or self._failed >= self._policy.max_attempts:
                    return None
                return backoff.delay(self._ambiguous, hint=None, draw=draw)
            case Unavailable() | BadAnswer():
                self.sent += 1
                self._failed += 1
                if self._failed >= self._policy.max_attempts:
                    return None
                return backoff.delay(self._failed, hint=error.retry_after, draw=draw)
            case _:
                self.sent += 1
                return None
