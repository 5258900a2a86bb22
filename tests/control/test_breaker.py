"""The circuit breaker against its rules, one decision at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.breaker import CircuitBreaker

steps = st.lists(
    st.tuples(st.sampled_from(["success", "failure", "left", "silence"]), st.integers(0, 9)), min_size=1, max_size=60
)


@given(steps, st.integers(1, 4))
def test_it_opens_after_failures_in_a_row_and_probes_one_at_a_time(script: list[tuple[str, int]], most: int) -> None:
    """Closed admits all; `most` failures in a row open it; open admits nobody before its cooldown is over, and then
    one; a probe that fails doubles the cooldown, up to its bound; any success closes it."""
    breaker = CircuitBreaker(most, cooldown_seconds=5, longest_cooldown_seconds=12)
    now, in_a_row, open_until, cooldown = 0.0, 0, None, 5.0
    for event, wait in script:
        now += wait
        admitted = breaker.admit(now)
        assert admitted == (open_until is None or now >= open_until)
        if not admitted:
            assert breaker.state == "open"
            continue
        if open_until is not None:
            assert breaker.state == "half_open"
            assert not breaker.admit(now + 100)
        if event == "success":
            breaker.succeeded()
            in_a_row, open_until, cooldown = 0, None, 5.0
        elif event == "failure":
            breaker.failed(now, now)
            in_a_row += 1
            if open_until is not None:
                cooldown = min(2 * cooldown, 12)
                open_until = now + cooldown
            elif in_a_row >= most:
                open_until = now + cooldown
        else:
            breaker.abandoned(now)
        assert (breaker.state == "closed") == (open_until is None)


def test_calls_that_fail_together_are_one_failure() -> None:
    """Ten lookups that were under way when this process stalled do not open it; three, one after another, do."""
    breaker = CircuitBreaker(failures=3)
    together = [at / 10 for at in range(10)]
    assert all(breaker.admit(admitted_at) for admitted_at in together)
    for admitted_at in together:
        breaker.failed(2.0, admitted_at)
    assert breaker.state == "closed"
    for now in (3.0, 4.0):
        assert breaker.admit(now)
        breaker.failed(now + 0.5, now)
    assert breaker.state == "open"


@given(st.lists(st.sampled_from(["failed", "abandoned"]), min_size=1, max_size=5), st.integers(0, 4))
def test_only_the_probe_s_own_end_lets_another_probe_in(ends: list[str], cooldowns: int) -> None:
    """Calls that were admitted while all was well may end, unanswered, during the probe: nobody else is let in, and the
    cooldown is as it was, until the probe itself has ended."""
    breaker = CircuitBreaker(failures=1, cooldown_seconds=5)
    for _ in [*ends, "first"]:
        assert breaker.admit(0.0)
    breaker.failed(1.0, 0.0)
    probed_at = 6.0 + cooldowns
    assert breaker.admit(probed_at)
    for end in ends:
        if end == "failed":
            breaker.failed(probed_at + 1, 0.0)
        else:
            breaker.abandoned(0.0)
        assert breaker.state == "half_open"
        assert not breaker.admit(probed_at + 100)
    breaker.abandoned(probed_at)
    assert breaker.admit(probed_at + 2)
    breaker.failed(probed_at + 3, probed_at + 2)
    assert not breaker.admit(probed_at + 12.9)
    assert breaker.admit(probed_at + 13)


def test_settings_that_mean_nothing_are_refused() -> None:
    """Fewer than one failure, or a cooldown below 0, is refused with the rule."""
    with pytest.raises(ValueError, match="failures must be >= 1"):
        CircuitBreaker(failures=0)
    with pytest.raises(ValueError, match="cooldown_seconds must be >= 0"):
        CircuitBreaker(cooldown_seconds=-1)
