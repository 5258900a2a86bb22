"""Whether an endpoint is down: rules under any order of events."""

from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.outage import (
    LONGEST_PAUSE_BEFORE_READY_SECONDS,
    LONGEST_PAUSE_SECONDS,
    SURVIVAL_SECONDS,
    Outage,
)

events = st.lists(
    st.tuples(st.sampled_from(["sent", "refused", "late", "answered", "tick"]), st.floats(0, 5), st.integers(0, 3)),
    max_size=80,
)


@given(events)
def test_an_outage_begins_with_refusals_alone_and_ends_with_a_sign_of_life(
    script: list[tuple[str, float, int]],
) -> None:
    """It begins with a refusal; once there was a sign of life, only with one beside which nobody was in the air. It
    ends with an answer, then also with others in the air, or when a request sent since the last refusal has survived:
    never by time alone. Pauses are bounded."""
    outage, now, alive, sent_at, last = Outage(), 0.0, False, None, -1.0
    for event, elapsed, others in script:
        now += elapsed
        before = outage.going_on
        if event == "sent":
            outage.sent(now)
            sent_at = now if sent_at is None else sent_at
        elif event in ("refused", "late"):
            pause = outage.refused(min(now, last) if event == "late" else now, others, now)
            assert not (outage.going_on and not before and others and alive)
            longest = LONGEST_PAUSE_SECONDS if alive else LONGEST_PAUSE_BEFORE_READY_SECONDS
            assert 0 <= pause <= longest
            assert pause == 0 or outage.going_on
            sent_at, last = None, now
        elif event == "answered":
            assert outage.answered() == before
            assert not outage.going_on
            alive = True
        else:
            ended = outage.tick(now)
            assert outage.going_on == (before and not ended)
            if ended:
                assert before
                assert sent_at is not None
                assert now - sent_at >= SURVIVAL_SECONDS
                alive = True
        if event in ("sent", "tick") and not before:
            assert not outage.going_on


@given(st.floats(0, 1e6), st.floats(0, 10), st.integers(1, 1000))
def test_before_the_first_sign_of_life_a_refusal_is_an_outage_and_afterwards_one_is_not(
    at: float, seconds: float, refusals: int
) -> None:
    """An endpoint that never answered is starting. One that did is down after two refusals of different cohorts in a
    row; however many of one cohort make none. Ever more pauses grow, and never shrink."""
    starting, working = Outage(), Outage()
    assert starting.refused(at, 0, at + seconds) > 0
    working.answered()
    now = at + seconds
    for _ in range(refusals):
        assert working.refused(at, 0, now) == 0
        assert not working.going_on
    pauses = []
    for _ in range(30):
        started_at, now = now + 1, now + 2 + seconds
        pauses.append(working.refused(started_at, 0, now))
    assert working.going_on
    assert pauses == sorted(pauses)
    assert pauses[-1] <= LONGEST_PAUSE_SECONDS
    assert working.refused(started_at, 0, now) == 0, "one of the cohort that the last pause was for"
    assert pauses[0] > 0


def test_a_plain_example() -> None:
    """503 three times, and then a request that hangs on: after a second it counts as accepted."""
    outage = Outage()
    for at in (0.0, 1.0, 3.0):
        outage.sent(at)
        assert outage.refused(at, 0, at + 0.05) > 0
    assert not outage.tick(5.0), "nobody is asking"
    outage.sent(6.0)
    assert not outage.tick(6.5)
    assert outage.tick(7.0)
    assert not outage.tick(8.0)
