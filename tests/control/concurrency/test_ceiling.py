"""The ceiling that refusals put up: laws under any order of events."""

import math

from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.concurrency.ceiling import CROWD, CROWD_EVENTS, LONGEST_PATIENCE, Ceiling

events = st.lists(
    st.tuples(
        st.sampled_from(["sent", "sent", "refused", "late", "answered", "lift", "settle"]),
        st.floats(0.01, 5),
        st.integers(0, 300),
    ),
    max_size=100,
)


def play(script: list[tuple[str, float, int]], times: int) -> list[float]:
    """Play events, each refusal so many times; give the ceiling after each."""
    ceiling, now, last, values = Ceiling(), 0.0, 0.0, []
    for event, elapsed, number in script:
        sent_at, now = now, now + elapsed
        if event == "sent":
            ceiling.sent(number, now)
        elif event in ("refused", "late"):
            for _ in range(times):
                ceiling.refused(last if event == "late" else sent_at + elapsed / 2, number, now)
            last = now
        elif event == "answered":
            ceiling.answered()
        elif event == "settle":
            ceiling.settle()
        elif ceiling.known:
            ceiling.lift()
        values.append(ceiling.value)
    return values


def refuse(ceiling: Ceiling, started_at: float, others: int) -> None:
    """Refuse as many as make a crowd, one after another."""
    for number in range(CROWD):
        ceiling.refused(started_at, others, started_at + 0.01 * (1 + number))


@given(events)
def test_only_a_lift_raises_it_and_only_a_refusal_lowers_it(script: list[tuple[str, float, int]]) -> None:
    """It is none, or a whole number of at least 1; it falls by refusals alone and never below 1, and a lift raises it
    by at least one."""
    before = math.inf
    for (event, _, number), value in zip(script, play(script, 1), strict=True):
        assert value == math.inf or (value >= 1 and value == int(value))
        if event in ("refused", "late"):
            assert value == before or value <= min(before, max(1, number))
        elif event == "lift" and before < math.inf:
            assert value >= before + 1
        else:
            assert value == before
        before = value


@given(events, st.integers(2, 4))
def test_a_refusal_entered_twice_counts_once(script: list[tuple[str, float, int]], times: int) -> None:
    """The same refusals entered two or more times give the same ceilings."""
    assert play(script, times) == play(script, 1)


@given(events, st.lists(st.integers(0, 300), max_size=50))
def test_one_cohort_causes_one_cut(script: list[tuple[str, float, int]], others: list[int]) -> None:
    """Those sent before a cut lower it at most to what was in the air beside them, by no factor of their own."""
    ceiling, now = Ceiling(), 0.0
    for event, elapsed, number in script:
        now += elapsed
        if event == "refused":
            ceiling.refused(now, number, now)
        else:
            ceiling.sent(number, now)
    refuse(ceiling, now + 1, 100)
    value = ceiling.value
    for count, beside in enumerate(others):
        ceiling.refused(now + 1, beside, now + 9 + count)
        value = min(value, max(1, beside))
        assert ceiling.value == value


@given(st.integers(2, 300), st.integers(1, 8))
def test_it_is_tried_again_after_a_bounded_time(value: int, failures: int) -> None:
    """However often a higher ceiling failed, so many answers are enough to try again; none are before the first
    refusal."""
    ceiling, now = Ceiling(), 0.0
    assert not any(ceiling.answered() for _ in range(1000))
    for _ in range(failures):
        for _ in range(value):
            now += 0.01
            ceiling.sent(value, now)
        refuse(ceiling, now, value)
        now += 2
        answers = 1
        while not ceiling.answered():
            answers += 1
            assert answers <= LONGEST_PATIENCE * value
        before = ceiling.value
        ceiling.lift()
        assert ceiling.value > before


def test_a_plain_example() -> None:
    """Some refused beside 48 others: 48 are the ceiling. Refused again with nothing accepted in between: less."""
    ceiling = Ceiling()
    assert not ceiling.known
    refuse(ceiling, 1.0, 48)
    assert ceiling.value == 48
    refuse(ceiling, 3.0, 47)
    assert ceiling.value < 47


@given(st.lists(st.integers(CROWD_EVENTS, 200), max_size=100), st.integers(1, 300))
def test_refusals_now_and_then_are_chance(gaps: list[int], in_flight: int) -> None:
    """Single refusals with attempts accepted between them put up no ceiling, however many there are."""
    ceiling, now = Ceiling(), 0.0
    for gap in gaps:
        for _ in range(gap):
            now += 0.01
            ceiling.sent(in_flight, now)
        ceiling.refused(now, in_flight - 1, now + 0.05)
    assert not ceiling.known


def test_a_raise_holds_when_those_above_it_are_not_refused() -> None:
    """A raise is proven by an attempt above the old ceiling that stays in the air, and by time."""
    ceiling = Ceiling()
    refuse(ceiling, 1.0, 10)
    ceiling.lift()
    ceiling.sent(10, 4.0)
    assert not ceiling.held(100.0), "nobody has gone above it"
    ceiling.sent(11, 5.0)
    assert not ceiling.held(5.5)
    assert ceiling.held(20.0)
