import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.simulation.rates import Budget, TokenBucket

gaps = st.floats(0, 30)
costs = st.integers(1, 50)


@given(st.lists(st.tuples(gaps, costs), max_size=60), st.floats(1, 3000), st.floats(0.1, 60))
def test_admits_no_more_than_flow_and_burst(arrivals, per_minute, burst_seconds):
    """In any span a bucket admits at most its flow through that span and one full bucket."""
    bucket = TokenBucket(per_minute, burst_seconds)
    now, admitted = 0.0, []
    for gap, cost in arrivals:
        now += gap
        if bucket.seconds_until(cost, now) == 0:
            bucket.take(cost, now)
            admitted.append((now, min(cost, bucket.capacity)))
    for first in range(len(admitted)):
        total = 0.0
        for at, cost in admitted[first:]:
            total += cost
            allowed = per_minute / 60 * (at - admitted[first][0]) + bucket.capacity
            assert total <= allowed * (1 + 1e-6)


@given(st.lists(st.tuples(gaps, costs), max_size=30), costs, st.floats(1, 3000))
def test_waiting_as_told_is_enough_and_less_is_not(arrivals, cost, per_minute):
    """Whoever waits as long as told is admitted, and whoever waits clearly less is not."""
    bucket = TokenBucket(per_minute, burst_seconds=6)
    now = 0.0
    for gap, units in arrivals:
        now += gap
        if bucket.seconds_until(units, now) == 0:
            bucket.take(units, now)
    wait = bucket.seconds_until(cost, now)
    assert bucket.seconds_until(cost, now + wait) == 0
    if wait > 1e-3:
        assert bucket.seconds_until(cost, now + wait * 0.9) > 0


def test_an_oversize_request_needs_a_full_bucket():
    """What costs more than a bucket holds is admitted by a full bucket and empties it."""
    bucket = TokenBucket(600, burst_seconds=1)
    assert bucket.seconds_until(1000, 0.0) == 0
    bucket.take(1000, 0.0)
    assert bucket.remaining(0.0) == 0
    assert bucket.seconds_until(1000, 0.0) == pytest.approx(1.0)


def test_the_tighter_limit_decides():
    """A budget makes a request wait for the slower of its two limits."""
    budget = Budget(requests_per_minute=60, tokens_per_minute=60, burst_seconds=1)
    budget.take(1, 0.0)
    assert budget.seconds_until(1, 0.0) == pytest.approx(1.0)
    assert Budget(None, None, 1).seconds_until(10**9, 0.0) == 0
