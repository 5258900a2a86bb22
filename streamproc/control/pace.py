"""How fast one endpoint may be asked: what was configured, what it tells, and what its refusals have taught."""

from __future__ import annotations

import math

from streamproc.control.learned_rate import LearnedRate
from streamproc.control.pacing import TokenBucket

BURST_SECONDS = 1.0
"""How much of a rate may be used at once."""
LEARNED_BURST_SECONDS = 1.0
MOST_DEBT_SECONDS = 60.0
CLOCK_SECONDS = 1e-6
"""A shorter wait is none: adding it to the time might not change the time."""
TOLD_SHARE = 0.99
"""Of a limit that the endpoint tells: its clock and ours differ."""


class Pace:
    """Say how long to wait before a request may be sent. Pure: the caller brings the time and does the waiting.

    Args:
        requests_per_minute: most requests; `None` for no limit.
        tokens_per_minute: most text tokens, prompt and answer together; `None` for no limit.
    """

    def __init__(self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        self._configured_requests = _bucket(requests_per_minute)
        self._configured_tokens = _bucket(tokens_per_minute)
        self._told_requests: TokenBucket | None = None
        self._told_tokens: TokenBucket | None = None
        self._known = self._gather()
        self.learned_requests = LearnedRate()
        self.learned_tokens = LearnedRate()
        self._learned: TokenBucket | None = None
        self._by_tokens = False
        self._ramp: TokenBucket | None = None
        self._ramp_ends = -math.inf
        self._lessons = 0
        self._resume_at = -math.inf
        self._rated_until = -math.inf

    def holding(self, now: float) -> bool:
        """Tell whether a rate holds requests back, or a pause that the account's rate has caused."""
        return self._learned is not None or bool(self._known) or now < self._rated_until

    @property
    def by_configuration(self) -> bool:
        """Tell whether a configured rate is the only one in force."""
        configured = self._configured_requests or self._configured_tokens
        return configured is not None and self._learned is None and not (self._told_requests or self._told_tokens)

    def turn(self, tokens: float) -> Turn:
        """Give a turn for a request that will use so many text tokens, as far as can be told."""
        return Turn(self, tokens)

    def _reserve_known(self, tokens: float, now: float) -> float:
        """Take a place in every configured and told rate, at the first moment that all of them allow; give that.

        One taken earlier in those that would allow it would be saved up, and go in a crowd.
        """
        if not self._known:
            return max(now, self._resume_at)
        needs = [(bucket, tokens if by_tokens else 1.0) for bucket, by_tokens in self._known]
        at = max(now + max(bucket.seconds_until(amount, now) for bucket, amount in needs), self._resume_at)
        for bucket, amount in needs:
            bucket.reserve(amount, now, at)
        return at

    def _reserve_ramp(self, now: float) -> float:
        if self._ramp is not None and now >= self._ramp_ends:
            self._ramp = None
        return 0.0 if self._ramp is None else self._ramp.reserve(1, now)

    def _reserve_learned(self, tokens: float, now: float) -> float:
        if self._learned is None:
            return 0.0
        rate = (self.learned_tokens if self._by_tokens else self.learned_requests).rate(now)
        if rate is None:
            self._learned = None
            return 0.0
        self._learned.rate, self._learned.burst = rate, _burst(rate, LEARNED_BURST_SECONDS)
        return self._learned.reserve(tokens if self._by_tokens else 1, now)

    def give_back(self, tokens: float) -> None:
        """Return text tokens that were reserved and not used; a negative amount takes more.

        No single answer costs more than a minute of the rate, whatever it says it has used.
        """
        for bucket, by_tokens in self._known:
            if by_tokens:
                bucket.give_back(max(tokens, -MOST_DEBT_SECONDS * bucket.rate))

    def sent(self, tokens: float, now: float) -> None:
        """Enter a request that sets out."""
        self.learned_requests.sent(1, now)
        self.learned_tokens.sent(tokens, now)

    def refused(self, tokens: float, started_at: float, now: float) -> bool:
        """Enter a request that was refused because of its account's rate; tell whether that set a new pace.

        Args:
            tokens: what was reserved for it.
            started_at: when it was sent.
            now: seconds.
        """
        self.learned_tokens.refused(tokens, started_at, now)
        if not self.learned_requests.refused(1, started_at, now):
            return False
        self._lessons += 1
        requests, words = self.learned_requests.spread, self.learned_tokens.spread
        self._by_tokens = requests is not None and words is not None and words < requests
        rate = (self.learned_tokens if self._by_tokens else self.learned_requests).rate(now)
        assert rate is not None, "a refusal teaches a rate"
        self._learned = TokenBucket(rate, _burst(rate, LEARNED_BURST_SECONDS), level=0.0)
        return True

    def told(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        """Enter the account's limits, as the endpoint tells them; `None` where it tells nothing."""
        before = self.requests_per_second, self.tokens_per_second
        self._told_requests = _told(self._told_requests, requests_per_minute)
        self._told_tokens = _told(self._told_tokens, tokens_per_minute)
        self._known = self._gather()
        if (self.requests_per_second, self.tokens_per_second) != before:
            self._lessons += 1

    def ramp(self, requests: int, seconds: float, now: float) -> None:
        """Spread the next so many requests over some seconds: if they are too many, not all are refused at once."""
        self._ramp = TokenBucket(requests / seconds, 1.0)
        self._ramp_ends = now + seconds

    def hold(self, until: float, *, rated: bool = False) -> None:
        """Have nobody send before `until`, in seconds; a shorter hold than the one in force changes nothing.

        Args:
            until: seconds.
            rated: whether the account's rate is the cause.
        """
        self._resume_at = max(self._resume_at, until)
        if rated:
            self._rated_until = max(self._rated_until, until)

    def pause(self, now: float) -> float:
        """Give the seconds for which nobody may send."""
        return max(0.0, self._resume_at - now)

    @property
    def by_word(self) -> bool:
        """Tell whether the endpoint tells a rate, and its refusals have taught none."""
        return self._learned is None and bool(self._told_requests or self._told_tokens)

    @property
    def reason(self) -> str:
        """Where the rate in force comes from, in a few words."""
        if self._learned is not None:
            return "learned from refusals"
        told = self._told_requests or self._told_tokens
        return "told by the endpoint" if told else "configured" if self._known else "no rate is known"

    @property
    def requests_per_second(self) -> float | None:
        """The slowest rate of requests in force, where one is: configured, told or learned."""
        return self._slowest(by_tokens=False)

    @property
    def tokens_per_second(self) -> float | None:
        """The slowest rate of text tokens in force, where one is."""
        return self._slowest(by_tokens=True)

    def _slowest(self, *, by_tokens: bool) -> float | None:
        rates = [bucket.rate for bucket, unit in self._known if unit == by_tokens]
        if self._learned is not None and self._by_tokens == by_tokens:
            rates.append(self._learned.rate)
        return min(rates, default=None)

    def _gather(self) -> tuple[tuple[TokenBucket, bool], ...]:
        """Give the buckets of rates that are known, and whether each counts text tokens."""
        requests, words = (self._configured_requests, self._told_requests), (self._configured_tokens, self._told_tokens)
        found = [(bucket, False) for bucket in requests if bucket is not None]
        return (*found, *((bucket, True) for bucket in words if bucket is not None))


class Turn:
    """One request's place in the order of sending.

    Its place is taken when it first asks. A refusal in the meantime teaches a new pace, and places taken under the old
    one are void: they would come due all at once after the pause. So are those that a pause has overtaken.
    """

    __slots__ = ("_due", "_lessons", "_pace", "_tokens")

    def __init__(self, pace: Pace, tokens: float) -> None:
        self._pace = pace
        self._tokens = tokens
        self._due: float | None = None
        self._lessons = 0

    def wait(self, now: float) -> float:
        """Give the seconds to wait; to be asked again after waiting, until it is 0 and the request may be sent.

        Args:
            now: seconds; never earlier than before.
        """
        pace = self._pace
        if self._due is None:
            self._lessons = pace._lessons  # noqa: SLF001 - a turn and its pace are one mechanism
            learned, ramp = pace._reserve_learned(self._tokens, now), pace._reserve_ramp(now)  # noqa: SLF001
            self._due = max(pace._reserve_known(self._tokens, now), now + learned, now + ramp)  # noqa: SLF001
        else:
            if self._due < pace._resume_at:  # noqa: SLF001
                self._due = pace._reserve_known(self._tokens, now)  # noqa: SLF001
            if self._lessons != pace._lessons:  # noqa: SLF001
                self._lessons = pace._lessons  # noqa: SLF001
                learned = now + pace._reserve_learned(self._tokens, now)  # noqa: SLF001
                self._due = max(pace._reserve_known(self._tokens, now), learned)  # noqa: SLF001
        wait = self._due - now
        return wait if wait > CLOCK_SECONDS else 0.0


def _burst(rate: float, seconds: float) -> float:
    return max(1.0, rate * seconds)


def _bucket(per_minute: float | None) -> TokenBucket | None:
    if per_minute is None:
        return None
    rate = per_minute / 60
    return TokenBucket(rate, _burst(rate, BURST_SECONDS))


def _told(bucket: TokenBucket | None, per_minute: float | None) -> TokenBucket | None:
    if per_minute is None:
        return bucket
    rate = TOLD_SHARE * per_minute / 60
    if bucket is None:
        return TokenBucket(rate, _burst(rate, BURST_SECONDS))
    bucket.rate, bucket.burst = rate, _burst(rate, BURST_SECONDS)
    return bucket
