"""Whether one record's failed attempt is worth another, and after how long."""

from __future__ import annotations

from msgspec import Struct

from streamproc.control.pacing import Backoff
from streamproc.control.silence import Silence
from streamproc.errors import Ambiguous, BadAnswer, NotSent, ProviderError, RateLimited, Unavailable

VERDICT_SECONDS = 0.5
"""How soon to look who is to blame, where that decides."""


class RetryPolicy(Struct, frozen=True):
    """How often a record may be tried.

    Attributes:
        max_attempts: attempts that reached the provider and failed on their own account. Being asked to slow down,
            requests that never left, and whatever fails while the endpoint answers nobody, cost none.
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

    __slots__ = ("_failures", "_policy", "_waits", "_who", "sent")

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures: list[tuple[Silence, bool]] = []  # in which, and whether it may have been paid
        self._waits = 0
        self._who = object()
        self.sent = 0

    def succeeded(self) -> None:
        """Count an attempt that brought an answer."""
        self.sent += 1

    def copy(self) -> Retries:
        """Give the same attempts once more, for a record that goes a way of its own from here."""
        copied = Retries(self._policy)
        copied._failures, copied._waits, copied.sent = self._failures.copy(), self._waits, self.sent
        copied._who = self._who  # parts of one batch are no witnesses to each other
        return copied

    @property
    def used_up(self) -> bool:
        """Tell whether the failures for which the record is to blame allow no further attempt."""
        return self._exceeds([ambiguous for silence, ambiguous in self._failures if silence.blames])

    @property
    def undecided(self) -> bool:
        """Tell whether there would be no further attempt if the record is to blame for more than is known."""
        may_be = [ambiguous for silence, ambiguous in self._failures if silence.blames is not False]
        return self._exceeds(may_be) and not self.used_up

    def _exceeds(self, failures: list[bool]) -> bool:
        return len(failures) >= self._policy.max_attempts or sum(failures) > self._policy.ambiguous_retries

    def after(self, error: ProviderError, draw: float, silence: Silence) -> float | None:
        """Enter a failed attempt.

        Args:
            error: why it failed.
            draw: a random number in [0, 1).
            silence: the endpoint's, in which it failed. Who is to blame may show later: while it is `undecided` there
                is to be no further attempt, and after that only if it is not `used_up`.

        Returns:
            Seconds to wait before the next attempt, or before it is to be asked whether there is one; `None`: there
            will be none.
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
            case Ambiguous() | Unavailable() | BadAnswer():
                self.sent += 1
                self._failures = [(s, paid) for s, paid in self._failures if not (s.over and s.of_endpoint)]
                if (
                    isinstance(error, BadAnswer) or error.status == 200
                ):  # an endpoint that answers is none that is away, whatever the answer
                    silence = Silence(over=True)
                else:
                    silence.failed(self._who, blamed_before=any(earlier.over for earlier, _ in self._failures))
                self._failures.append((silence, isinstance(error, Ambiguous)))
                if self._exceeds([ambiguous for earlier, ambiguous in self._failures if earlier.over]):
                    return None
                if self._exceeds([ambiguous for earlier, ambiguous in self._failures if earlier.blames is not False]):
                    return VERDICT_SECONDS
                return backoff.delay(len(self._failures), hint=error.retry_after, draw=draw)
            case _:
                self.sent += 1
                return None
