"""What the answers so far say about an endpoint as a whole: whether an error is one record's, or the job's."""

from __future__ import annotations

from collections import deque

from streamproc.control.silence import Silence
from streamproc.errors import (
    Ambiguous,
    BadAnswer,
    ProviderError,
    ProviderStop,
    RateLimited,
    RejectedBatch,
    RejectedRequest,
    Unavailable,
)
from streamproc.flow.clock import Clock

REJECTIONS_WITHOUT_SUCCESS = 20
ANSWERS_LOOKED_AT = 20
PROBE_SECONDS = 1.0
NO_ANSWER_IN_TIME = "deadline"
"""The code of an attempt that ended at its deadline."""


class Health:
    """Judge errors in the light of those before. Synchronous and pure but for its clock.

    Rules (all of them stop a run that could only burn through its input):
        - the first rows are all rejected and none succeeded: it is the job, not the rows;
        - most of the last answers were no completions at all, or none that could be read: a captive portal, or another
          service's address;
        - nobody was answered for `unreachable_seconds`, and it is not a single record that fails;
        - a provider asks for a longer wait than anybody waits;
        - a key that worked and is refused: one probe after a second, since gateways err; then stop.

    Args:
        unreachable_seconds: how long nobody may be answered.
        longest_wait_seconds: the longest wait that a provider may ask for.
        clock: seconds.
    """

    def __init__(self, unreachable_seconds: float, longest_wait_seconds: float, clock: Clock) -> None:
        self._unreachable_seconds = unreachable_seconds
        self._longest_wait = longest_wait_seconds
        self._clock = clock
        self._succeeded = False
        self._rejections = 0
        self._suspected_at: float | None = None
        self._bad: deque[bool] = deque(maxlen=ANSWERS_LOOKED_AT)

    def succeeded(self, started_at: float) -> None:
        """Enter an answer to a request that was sent then; one sent before a key was refused says nothing of it."""
        self._succeeded = True
        if self._suspected_at is not None and started_at > self._suspected_at:
            self._suspected_at = None
        self._bad.append(False)

    def judge(self, error: ProviderError, started_at: float, silence: Silence) -> ProviderError:
        """Enter a failed attempt, and say what it amounts to.

        Args:
            error: what happened to the one attempt.
            started_at: when that attempt was sent, on the clock.
            silence: the endpoint's, at the end of the attempt.

        Returns:
            The same error, or a `ProviderStop` or `Unavailable` in its place.
        """
        match error:
            case RateLimited() | Unavailable() if (error.retry_after or 0) > self._longest_wait:
                return ProviderStop(
                    f"the provider asks to wait {error.retry_after:g} s: {error.message}", status=error.status
                )
            case RejectedRequest():
                self._rejections += 1
                if not self._succeeded and self._rejections >= REJECTIONS_WITHOUT_SUCCESS:
                    return ProviderStop(
                        f"the first {self._rejections} requests were all rejected, so it is the job and not the rows: "
                        f"{error.message}",
                        status=error.status,
                        code=error.code,
                    )
            case BadAnswer() | Ambiguous(status=200):
                self._bad.append(True)
                if len(self._bad) == ANSWERS_LOOKED_AT and sum(self._bad) > ANSWERS_LOOKED_AT / 2:
                    return ProviderStop(
                        f"{sum(self._bad)} of the last {ANSWERS_LOOKED_AT} answers were no completions that can be "
                        f"read; is llm.base_url right? {error.message}",
                        status=error.status,
                    )
            case ProviderStop(status=401) if self._succeeded:
                return self._refused_key(error, started_at)
        return self._outlasted(error, silence) or error

    def _outlasted(self, error: ProviderError, silence: Silence) -> ProviderStop | None:
        """Give the end of the run, where the endpoint has answered nobody for too long."""
        seconds = silence.lasted(self._clock())
        alive = isinstance(error, RejectedRequest | RejectedBatch | ProviderStop) or (
            isinstance(error, RateLimited) and error.retry_after is not None
        )
        if alive or not silence.of_endpoint or seconds < self._unreachable_seconds:
            return None
        hint = ", or raise llm.timeout_seconds if answers take longer" if error.code == NO_ANSWER_IN_TIME else ""
        return ProviderStop(
            f"nothing was answered for {seconds:.0f} s: {error.message.rstrip('.')}. "
            f"When the endpoint works again, give the same command{hint}",
            status=error.status,
            code=error.code,
        )

    def _refused_key(self, error: ProviderStop, started_at: float) -> ProviderError:
        if self._suspected_at is None:
            self._suspected_at = self._clock()
        if started_at > self._suspected_at:
            return error  # the probe was refused too
        return Unavailable(error.message, status=error.status, code=error.code, retry_after=PROBE_SECONDS)
