"""Waiting and retrying, as arithmetic."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.pacing import Backoff, TokenBucket
from streamproc.control.retries import Retries, RetryPolicy
from streamproc.control.silence import Silence
from streamproc.errors import (
    Ambiguous,
    BadAnswer,
    NotSent,
    ProviderError,
    ProviderStop,
    RateLimited,
    RejectedRequest,
    Unavailable,
)

draws = st.floats(0, 1, exclude_max=True)
steps = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 20)), max_size=50)


@given(st.floats(0.1, 100), st.floats(0.5, 50), steps)
def test_no_window_admits_more_than_rate_and_burst(
    rate: float, burst: float, script: list[tuple[float, float]]
) -> None:
    """Whoever waits as told never lets more than burst + rate * t units through in any t seconds."""
    bucket = TokenBucket(rate, burst)
    now = 0.0
    admitted: list[tuple[float, float]] = []
    for elapsed, amount in script:
        now += elapsed
        admitted.append((now + bucket.reserve(amount, now), amount))
    for start in range(len(admitted)):
        total = 0.0
        for at, amount in admitted[start:]:
            total += amount
            allowed = burst + rate * (at - admitted[start][0]) + admitted[start][1]
            assert total <= allowed * (1 + 1e-9) + 1e-6


def test_what_is_given_back_can_be_used_again() -> None:
    """Units returned shorten the next wait; the level never exceeds the burst."""
    bucket = TokenBucket(1.0, 10.0)
    assert bucket.reserve(10, 0.0) == 0
    assert bucket.reserve(5, 0.0) == 5
    bucket.give_back(3)
    assert bucket.reserve(0, 0.0) == 2
    bucket.give_back(1000)
    assert bucket.reserve(10, 0.0) == 0
    with pytest.raises(ValueError, match="got 0"):
        TokenBucket(0, 1)


@given(st.integers(1, 10_000), draws, st.one_of(st.none(), st.floats(0, 1e6)))
def test_backoff_keeps_its_cap_and_never_undercuts_the_server(attempt: int, draw: float, hint: float | None) -> None:
    """Without a hint the wait is within the cap; with one it is at least the hint, or there is none."""
    backoff = Backoff()
    delay = backoff.delay(attempt, hint=hint, draw=draw)
    if hint is None:
        assert delay is not None
        assert 0 < delay <= backoff.cap_seconds
    elif hint > backoff.longest_hint_seconds:
        assert delay is None
    else:
        assert delay is not None
        assert hint <= delay <= hint * 1.25


def test_backoff_doubles() -> None:
    """The wait after each failure is twice the one before, until the cap."""
    assert [Backoff().delay(n, hint=None, draw=1.0) for n in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 60.0]


errors = st.sampled_from([NotSent, RateLimited, Ambiguous, Unavailable, BadAnswer])


@given(st.lists(errors, max_size=60), st.integers(1, 6), st.integers(0, 3), draws)
def test_attempts_are_bounded_and_free_ones_cost_nothing(
    kinds: list[type[ProviderError]], most: int, ambiguous: int, draw: float
) -> None:
    """Only failures that reached the provider count; ambiguous ones are bounded apart, as they may be paid."""
    retries = Retries(RetryPolicy(max_attempts=most, ambiguous_retries=ambiguous))
    sent = counted = perhaps_paid = 0
    for kind in kinds:
        delay = retries.after(kind("x"), draw, Silence(over=True))
        sent += kind is not NotSent
        counted += kind in (Ambiguous, Unavailable, BadAnswer)
        perhaps_paid += kind is Ambiguous
        exhausted = counted >= most if kind is not Ambiguous else counted >= most or perhaps_paid > ambiguous
        if kind in (NotSent, RateLimited):
            assert delay is not None
            assert math.isfinite(delay)
        elif exhausted:
            assert delay is None
            break
        else:
            assert delay is not None
    assert retries.sent == sent


@pytest.mark.parametrize("kind", [RejectedRequest, ProviderStop])
def test_what_cannot_succeed_is_not_tried_again(kind: type[ProviderError]) -> None:
    """A rejected request costs one attempt."""
    retries = Retries(RetryPolicy())
    assert retries.after(kind("no"), 0.5, Silence(over=True)) is None
    assert retries.sent == 1
