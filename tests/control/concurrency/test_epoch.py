"""One measurement: Little's law, and what must not count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.attempts import Attempt
from streamproc.control.concurrency.epoch import Epoch
from streamproc.control.concurrency.work import WorkModel

began = st.floats(0, 1e6)


def answer(started_at: float, seconds: float) -> Attempt:
    """One answer of a hundred tokens."""
    return Attempt(started_at, started_at + seconds, "answered", 0, 100)


@given(began, st.integers(1, 200), st.integers(0, 40), st.integers(1, 60), st.floats(0.01, 100))
def test_goodput_is_what_is_in_the_air_over_the_time_it_takes(
    began_at: float, limit: int, settle: int, wanted: int, seconds: float
) -> None:
    """With so many in the air all the time, each of so many seconds: limit * work / seconds, after exactly as many as
    were to be left out and then as many as were wanted."""
    epoch, now, done = Epoch(limit, began_at, limit, settle, wanted), began_at, 0
    while True:
        now += seconds / limit
        epoch.moved(limit, now)
        done += 1
        if epoch.answered(Attempt(began_at, began_at + seconds, "answered", 0, 100)):
            break
    assert done == settle + wanted
    measured = epoch.measure(WorkModel())
    assert measured is not None
    assert measured.work == pytest.approx(limit * 100 / seconds, rel=1e-6 + 1e-9 * began_at / seconds)


@given(began, st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=50))
def test_attempts_of_an_earlier_limit_never_count(began_at: float, earlier: list[float]) -> None:
    """Those that set out before the epoch began are neither measured nor left out in place of others."""
    epoch = Epoch(4, began_at, 4, settle=1, wanted=2)
    stale = [answer(began_at - before, 1.0 + before) for before in earlier if began_at - before < began_at]
    for count in range(1, 4):
        assert not any(epoch.answered(attempt) for attempt in stale)
        epoch.moved(4, began_at + count)
        assert epoch.answered(answer(began_at, 4.0)) == (count == 3)
    measured = epoch.measure(WorkModel())
    assert measured is not None
    assert measured.work == pytest.approx(100.0, rel=1e-6)


@given(st.integers(2, 500), st.floats(0, 0.79), st.integers(1, 50))
def test_a_limit_that_was_not_used_is_not_measured(limit: int, share: float, answers: int) -> None:
    """With too few in the air, at the peak or on average, there is no measurement."""
    few = int(share * limit)
    for peak in (few, limit) if share < 0.69 else (few,):
        epoch, now = Epoch(limit, 0.0, few, 0, answers), 0.0
        for _ in range(answers):
            now += 1.0
            epoch.moved(few, now)
            epoch.answered(answer(0.0, now))
        epoch.moved(peak, now)
        assert epoch.measure(WorkModel()) is None


def test_no_answers_and_no_time_are_no_measurement() -> None:
    """An epoch in which nothing was answered, or no time has passed, says nothing."""
    assert Epoch(1, 0.0, 1, 0, 1).measure(WorkModel()) is None
    epoch = Epoch(1, 5.0, 1, 0, 1)
    assert epoch.answered(Attempt(5.0, 5.0, "answered", 1, 1))
    assert epoch.measure(WorkModel()) is None
