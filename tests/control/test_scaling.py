"""How many workers are needed: laws of the signal."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.scaling import DOWN_WINDOW_SECONDS, TOLERANCE, ScalingSignal

any_number = st.floats(allow_nan=True, allow_infinity=True)
needs = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), max_size=60)


@given(st.lists(st.tuples(any_number, any_number, any_number), max_size=40), st.integers(1, 100))
def test_it_is_at_least_one_whatever_it_hears(script: list[tuple[float, float, float]], current: int) -> None:
    """Figures that make no sense raise nothing, and the need is a whole number of at least 1."""
    signal = ScalingSignal(current)
    for second, (backlog, rate, seconds_left) in enumerate(script):
        needed = signal.update(backlog, rate, seconds_left, float(second))
        assert isinstance(needed, int)
        assert needed >= 1


@given(needs)
def test_up_at_once_and_down_only_after_the_window(script: list[tuple[float, float]]) -> None:
    """It is never below the need by more than the tolerance; it falls only to what was enough for the whole window; and
    it is never above what some moment of the window, or the one in force, asked for."""
    signal, now, seen, before = ScalingSignal(), 0.0, [], 1
    for elapsed, need in script:
        now += elapsed
        needed = signal.update(need * 10.0, 1.0, 10.0, now)
        seen.append((now, need))
        window = [each for at, each in seen if now - at <= DOWN_WINDOW_SECONDS]
        assert needed * (1 + TOLERANCE) >= need * (1 - 1e-9)
        assert needed * (1 + TOLERANCE) >= max(window) * (1 - 1e-9)
        assert needed <= max(before, math.ceil(need), 1)
        before = needed


@given(st.integers(2, 1000), st.floats(0.001, 0.85), st.floats(0, 1e6))
def test_what_is_there_is_not_taken_away_at_the_first_look(current: int, share: float, began_at: float) -> None:
    """Workers that are there stay for a whole window in which fewer are needed, and go after it."""
    signal, need = ScalingSignal(current), share * current
    for second in range(0, int(DOWN_WINDOW_SECONDS), 30):  # to the very end rounding decides
        assert signal.update(need, 1.0, 1.0, began_at + second) == current
    assert signal.update(need, 1.0, 1.0, began_at + DOWN_WINDOW_SECONDS + 1) == max(1, math.ceil(need))


def test_a_plain_example() -> None:
    """3600 records in an hour at half a record a second need two workers; a tenth more changes nothing; with no time
    left nothing is said anew."""
    signal = ScalingSignal()
    assert signal.update(3600, 0.5, 3600, now=0.0) == 2
    assert signal.update(3950, 0.5, 3600, now=1.0) == 2
    assert signal.update(9000, 0.5, 3600, now=2.0) == 5
    assert signal.update(3600, 0.5, 0.0, now=3.0) == 5


def test_with_nothing_left_one_worker_is_needed() -> None:
    """One is the least, after any time with nothing left to do."""
    signal = ScalingSignal()
    assert [signal.update(0, 1.0, 100.0, now=1000.0 * count) for count in range(3)] == [1, 1, 1]


@given(st.integers(1, 100_000), st.floats(1e-6, 1e6), st.floats(1e-9, 1e6))
def test_no_more_are_asked_for_than_there_are_records(backlog: int, rate: float, seconds_left: float) -> None:
    """However little time is left, a worker without a record would help nobody."""
    assert ScalingSignal().update(backlog, rate, seconds_left, now=0.0) <= backlog


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, 1e-320])
def test_a_rate_that_is_not_known_says_nothing(rate: float) -> None:
    """With no rate, the need stays as it was."""
    assert ScalingSignal(3).update(100, rate, 100, now=0.0) == 3
