"""The learned rate against token buckets whose rate is known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.learned_rate import FEWEST_ACCEPTED, LearnedRate
from streamproc.simulation.rates import TokenBucket

rates = st.floats(0.2, 200)
bursts = st.floats(0.5, 20)


def ask(learned: LearnedRate, bucket: TokenBucket, amount: float, now: float) -> bool:
    """Send at `now`; tell whether it was refused, which is known at once."""
    learned.sent(amount, now)
    if bucket.seconds_until(amount, now) == 0:
        bucket.take(amount, now)
        return False
    learned.refused(amount, now, now)
    return True


@given(rates, st.floats(2, 300), st.floats(1.2, 10), st.floats(0, 0.9), st.integers(2, 6))
def test_the_estimate_is_within_a_unit_for_the_time_between_refusals(
    rate: float, capacity: float, haste: float, idle: float, lessons: int
) -> None:
    """However fast they are sent, and however long nobody sends after a refusal while the bucket has room for what
    comes in: the estimate is the bucket's rate, within one request for the time between two refusals that count."""
    learned, bucket = LearnedRate(), TokenBucket(60 * rate, capacity / rate)
    now, since, accepted = 0.0, math.nan, 0
    between: list[float] = []
    while len(between) < lessons:
        now += 1 / (haste * rate)
        if not ask(learned, bucket, 1, now):
            accepted += 1
            continue
        if math.isnan(since):
            since, accepted = now, 0
        elif accepted >= FEWEST_ACCEPTED:
            between.append(now - since)
            since, accepted = now, 0
        if between:
            assert learned.estimate == pytest.approx(rate, abs=(1 + 1e-6) / min(between))
        now += idle * (capacity - 2) / rate


@given(st.floats(50, 5000), st.lists(st.floats(1, 20), min_size=40, max_size=200), st.floats(1.5, 5))
def test_units_of_different_size_are_added_up(rate: float, amounts: list[float], haste: float) -> None:
    """With text tokens in place of requests the estimate is the rate within the largest amount, whatever they are."""
    learned, bucket = LearnedRate(), TokenBucket(60 * rate, 1.0)
    now, refused_at, turn = 0.0, [], 0
    while len(refused_at) < 4:
        amount = amounts[turn % len(amounts)]
        turn += 1
        now += amount / (haste * rate)
        if ask(learned, bucket, amount, now):
            refused_at.append(now)
            now += 0.5  # half of what the bucket holds, and more than the fewest that count
        assert turn < 100_000
    assert learned.estimate is not None
    error = 21 * len(refused_at) / (refused_at[-1] - refused_at[0])
    assert learned.estimate == pytest.approx(rate, abs=error)


events = st.lists(
    st.tuples(st.sampled_from(["sent", "refused", "late", "twice"]), st.floats(0, 20), st.floats(0.1, 50)), max_size=80
)


@given(events)
def test_a_cohort_teaches_once(script: list[tuple[str, float, float]]) -> None:
    """A refusal of what was sent before the last one was known teaches nothing: neither what came late nor what is
    entered twice moves the rate."""
    learned = LearnedRate()
    now, known_at, known = 0.0, 0.0, False
    for event, elapsed, amount in script:
        now += elapsed
        if event == "sent" or not known:
            learned.sent(amount, now)
        if event == "refused" or (event != "sent" and not known):
            learned.sent(amount, now)
            if now > known_at or not known:
                assert learned.refused(amount, now, now)
                known_at, known = now, True
        elif event != "sent":
            before, estimate = learned.rate(now), learned.estimate
            started_at = known_at if event == "twice" else known_at / 2
            assert not learned.refused(amount, started_at, now)
            assert (learned.rate(now), learned.estimate) == (before, estimate)


@given(events, st.floats(0, 1e6))
def test_a_rate_is_positive_and_grows_until_it_bounds_nothing(
    script: list[tuple[str, float, float]], later: float
) -> None:
    """Nothing is held back before the first refusal; from then on the rate is above 0, begins below the estimate, grows
    with time, and at last is none. It stays none."""
    learned, now, refused = LearnedRate(), 0.0, False
    for event, elapsed, amount in script:
        now += elapsed
        learned.sent(amount, now)
        if event != "sent":
            refused = learned.refused(amount, now, now) or refused
        assert (learned.estimate is not None) == refused
    if not refused:
        assert learned.rate(now + later) is None
        return
    rates = [learned.rate(now + later * share / 10) for share in range(11)]
    kept = [rate for rate in rates if rate is not None]
    assert rates[: len(kept)] == kept, "none is for ever"
    assert kept == sorted(kept)
    assert all(rate > 0 for rate in kept)
    assert learned.rate(now + 1e4) is None


@given(rates, bursts, st.floats(2, 20), st.integers(1, 40))
def test_a_refusal_never_raises_the_rate_that_was_kept(rate: float, burst: float, haste: float, seconds: int) -> None:
    """Whoever keeps to the learned rate finds it no higher after a refusal than it was before."""
    learned, bucket = LearnedRate(), TokenBucket(60 * rate, burst)
    now, level, tight = 0.0, 0.0, 1e-9
    while now < 20 * seconds / min(rate, 1):
        before = learned.rate(now)
        gap = 1 / (haste * rate) if before is None else 1 / before
        now += gap
        before = learned.rate(now)
        if ask(learned, bucket, 1, now):
            after = learned.rate(now)
            assert after is not None
            if before is not None:
                assert after <= before * (1 + tight)
        level += 1
        if level > 20_000:
            break


def test_a_plain_example() -> None:
    """Ten a second are allowed; a refusal at 1 s and one at 3 s, with twenty accepted in between, say so."""
    learned = LearnedRate()
    for count in range(11):
        learned.sent(1, count / 10)
    assert learned.rate(1.0) is None
    assert learned.refused(1, 1.0, 1.0)
    for count in range(20):
        learned.sent(1, 1.05 + count / 10)
    learned.sent(1, 3.0)
    assert learned.refused(1, 3.0, 3.0)
    assert learned.estimate == pytest.approx(10.0)
    rate = learned.rate(3.0)
    assert rate is not None
    assert 9 < rate < 10
