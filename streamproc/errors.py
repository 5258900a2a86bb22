"""Every exception of streamproc, grouped by who must act on it.

    StreamprocError
        ConfigError              you: the job, the configuration or the command line is wrong (exit code 2)
        Refused                  you: what lies there does not belong to this job, or is in use (exit code 3)
            Damaged                  the same: it is ours, and can no longer be read
        StorageFailed            the machine: a disk or database failed; nothing after the last commit is claimed (74)
            StorageBlocked           you: a disk is full, or a database locked; a run waits, and tries the same again
        LimitReached             the caller: one operation more than a limit allows; once another has ended it may begin
        CacheUnavailable         nobody: the cache could not be asked; the run goes on without it
        NotStorable              you: a value is no plain data; a run goes on and does not cache the answer
        ProviderError            the provider, for one attempt
            NotSent                  retried for free: the request never left
            RateLimited              retried: the whole endpoint waits, the record's attempts are untouched
            Unavailable              retried: the endpoint says it failed
            BadAnswer                retried: an answer came, but not one of a model
            Ambiguous                retried once: the request went out and may have been paid
            RejectedRequest          the record becomes a dead letter: asking again cannot help
            RejectedBatch            sent again in halves: it is too large, or one of its records would be rejected
            ProviderStop             the run stops (exit code 4): a key, a quota or an address must be mended first

Messages show the value, the rule and the way out. None of these ever holds a request's headers or a key.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar


class StreamprocError(Exception):
    """Whatever streamproc raises on purpose."""


class ConfigError(StreamprocError, ValueError):
    """The job file, a setting or an argument is wrong; the message names its path, its value and the rule."""


class Refused(StreamprocError):
    """The run would mix with work that is not its own: changed input or settings, foreign or damaged output, a lock."""


class Damaged(Refused):
    """A file of ours can no longer be read. A cache sets it aside and goes on; for any other it ends the run."""


class StorageFailed(StreamprocError):
    """A disk or database failed. Nothing after the last commit is claimed; the same command continues later."""


class StorageBlocked(StorageFailed):
    """A disk is full, or another process holds a database. Nothing was written; the same write may be tried again."""


class LimitReached(StreamprocError):
    """As many operations as may be are under way; this one was not begun."""


class CacheUnavailable(StreamprocError):
    """A cache could not be read or written. What was asked counts as missing."""


class NotStorable(StreamprocError, TypeError):
    """A value cannot be encoded: it holds an object, an int beyond 64 bits, or half of a surrogate pair."""


class ProviderError(StreamprocError):
    """One attempt at a model call failed.

    Args:
        message: what happened, in a sentence; never a header, a key or a whole body.
        status: the HTTP status, where there was one.
        retry_after: seconds the provider asked to wait, counted from now; `None` where it asked nothing.
        code: the provider's own name for the error (`context_length_exceeded`), where it gave one.
    """

    kind: ClassVar[str] = "provider_error"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.code = code


class NotSent(ProviderError):
    """The request never left this machine: no address, no connection, no handshake, no free file descriptor."""

    kind = "not_sent"


class RateLimited(ProviderError):
    """The provider asks every caller of this endpoint to slow down (429 and its kin)."""

    kind = "rate_limited"


class Unavailable(ProviderError):
    """The provider failed and says so (5xx, 408, 409, 425, 529). Nothing was paid."""

    kind = "unavailable"


class BadAnswer(ProviderError):
    """A success status with something that is no completion: HTML, an empty body, no choices."""

    kind = "bad_answer"


class Ambiguous(ProviderError):
    """The request went out and no whole answer came back: a deadline, a cut body, a lost connection. Perhaps paid."""

    kind = "ambiguous"


class RejectedRequest(ProviderError):
    """This request can never succeed: too long, malformed, filtered. Its record becomes a dead letter."""

    kind = "rejected"


class RejectedBatch(ProviderError):
    """A request for many records was rejected: it is too large, or holds one that can never succeed. Nothing is said
    about the others."""

    kind = "rejected_batch"


class ProviderStop(ProviderError):
    """No request can succeed until a person acts: a bad key, an exhausted quota, a wrong address or model."""

    kind = "stopped"


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the one error of a group that says best what happened: ours before others."""
    leaves: list[BaseException] = []
    groups: deque[BaseExceptionGroup[BaseException]] = deque([errors])
    while groups:
        for error in groups.popleft().exceptions:
            if isinstance(error, BaseExceptionGroup):
                groups.append(error)
            else:
                leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, StreamprocError)), leaves[0])
