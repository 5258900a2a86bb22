"""What one endpoint may be asked, now: so many requests at once, so fast, and not during a pause."""

from __future__ import annotations

import math
from typing import Protocol

from streamproc.control.attempts import Attempt
from streamproc.control.outage import Outage
from streamproc.control.pace import Pace, Turn
from streamproc.control.silence import Silence

LONGEST_HOLD_SECONDS = 60.0
"""How long an endpoint that refuses everything may have everybody wait at a time."""
RECHECK_SECONDS = 0.1
RAMP_SHARE = 0.2
LONGEST_RAMP_SECONDS = 1.0
"""A higher limit is filled over a fifth of the time that a request takes, at most a second."""


class Limit(Protocol):
    """Decides how many calls may be in the air; `ConcurrencyOptimizer` is one."""

    @property
    def limit(self) -> int:
        """Calls that may be in the air at once."""

    def started(self, now: float, in_flight: int) -> None:
        """Enter an attempt that sets out; `in_flight` includes it."""

    def finished(self, attempt: Attempt, in_flight: int) -> None:
        """Enter an attempt that ended; `in_flight` does not include it."""

    def recovered(self, now: float, in_flight: int) -> None:
        """Begin anew: the endpoint was down, so what it refused meanwhile says nothing."""

    def restart(self, now: float, in_flight: int) -> None:
        """Measure anew: what was measured was this machine, not the endpoint."""

    @property
    def reason(self) -> str:
        """What set the limit, in a few words."""


class FixedLimit:
    """Always the same number of calls.

    Args:
        limit: at least 1.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def started(self, now: float, in_flight: int) -> None:
        """Learn nothing."""

    def finished(self, attempt: Attempt, in_flight: int) -> None:
        """Learn nothing."""

    def recovered(self, now: float, in_flight: int) -> None:
        """Change nothing."""

    def restart(self, now: float, in_flight: int) -> None:
        """Change nothing."""

    @property
    def reason(self) -> str:
        """By whom it was set."""
        return "fixed"


class Admission:
    """The limit, the pace and the pauses of one endpoint. Pure: the caller brings events and times, and waits.

    Args:
        concurrency: decides how many at once.
        pace: decides how fast.
    """

    def __init__(self, concurrency: Limit, pace: Pace) -> None:
        self.concurrency = concurrency
        self.pace = pace
        self.in_flight = 0
        self.cap = math.inf
        self._outage = Outage()
        self._doubted_at: float | None = None

    @property
    def limit(self) -> int:
        """Requests that may be in the air at once: one during an outage or a doubt, never above `cap`."""
        return self.limit_of(self.concurrency.limit)

    def limit_of(self, wanted: int) -> int:
        """Give what is left of a limit: one during an outage or a doubt, never above `cap`."""
        single = self._outage.going_on or self._doubted_at is not None
        return 1 if single else int(max(1, min(wanted, self.cap)))

    def doubt(self, now: float) -> None:
        """Let one request at a time go out, until one that is sent from now on shows that all may go on."""
        if self._doubted_at is None:
            self._doubted_at = now

    @property
    def down(self) -> bool:
        """Tell whether the endpoint refuses everything."""
        return self._outage.going_on

    @property
    def silence(self) -> Silence:
        """Who failed since the last sign of life."""
        return self._outage.silence

    def turn(self, tokens: int) -> Turn:
        """Give a turn for a request that will use so many text tokens, as far as can be told."""
        return self.pace.turn(tokens)

    def wait(self, turn: Turn, now: float) -> float:
        """Give the seconds that a request has to wait; to be asked again after waiting, until it is 0.

        At 0 it is to be sent at once, and entered with `started`. A limit that was lowered holds for those too who had
        leave to run before.
        """
        wait = turn.wait(now)
        return wait if wait or self.in_flight < self.limit else RECHECK_SECONDS

    def started(self, tokens: int, now: float) -> None:
        """Enter a request that is sent.

        Args:
            tokens: what was reserved for it.
            now: seconds.
        """
        self.in_flight += 1
        self.silence.in_flight = self.in_flight
        self.pace.sent(tokens, now)
        self._outage.sent(now)
        self.concurrency.started(now, self.in_flight)

    def finished(self, attempt: Attempt, tokens: int) -> None:
        """Enter what became of a request.

        Args:
            attempt: what became of it.
            tokens: what was reserved for it.
        """
        self.in_flight -= 1
        self.silence.in_flight = self.in_flight
        now = attempt.ended_at
        if attempt.ending in ("answered", "rejected") and attempt.started_at > (self._doubted_at or 0.0):
            self._doubted_at = None
        if attempt.ending == "rate_limited" and attempt.retry_after is not None:
            self._alive(now)  # it counts requests, so it works
            self.pace.refused(tokens, attempt.started_at, now)
            self.pace.hold(now + attempt.retry_after, rated=True)
        elif attempt.ending in ("overloaded", "rate_limited"):
            self._silent(attempt)
            if attempt.ending == "rate_limited":
                self.silence.of_endpoint = True
            if (pause := self._outage.refused(attempt.started_at, self.in_flight, now)) > 0:
                self.pace.hold(now + pause)
            if self._outage.going_on:
                self.pace.hold(now + min(attempt.retry_after or 0.0, LONGEST_HOLD_SECONDS))
                return  # not a question of how many: nothing is to be learned
        elif attempt.ending == "answered":
            self._alive(now)
            used = attempt.prompt_tokens + attempt.completion_tokens
            if used:
                self.pace.give_back(tokens - used)
        elif attempt.ending == "rejected":
            self._alive(now)
        else:
            self._silent(attempt)
            self._outage.gone()
        before = self.concurrency.limit
        self.concurrency.finished(attempt, self.in_flight)
        if attempt.ending == "answered" and self.concurrency.limit > before:
            seconds = min(LONGEST_RAMP_SECONDS, RAMP_SHARE * attempt.seconds)
            if seconds > 0:
                self.pace.ramp(self.concurrency.limit - before, seconds, now)

    @property
    def reason(self) -> str:
        """What set the limit, in a few words."""
        if self.down:
            return "the endpoint refuses everything"
        return "the event loop lags" if self.cap < self.concurrency.limit else self.concurrency.reason

    def restart(self, now: float) -> None:
        """Measure the endpoint anew."""
        self.concurrency.restart(now, self.in_flight)

    def _silent(self, attempt: Attempt) -> None:
        silence = self.silence
        silence.saw_life = attempt.started_at < silence.began
        if silence.since is None:
            silence.since = attempt.ended_at

    def _alive(self, now: float) -> None:
        ended = self._outage.answered()
        self.silence.began = now
        if ended:
            self.concurrency.recovered(now, self.in_flight)

    def tick(self, now: float) -> None:
        """Look at the clock, about once a second."""
        if self._outage.tick(now):
            self.concurrency.recovered(now, self.in_flight)
