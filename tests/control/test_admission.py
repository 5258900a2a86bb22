"""The limit, the pace and the pauses of one endpoint, together."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.admission import Admission, FixedLimit
from streamproc.control.attempts import Attempt, Ending
from streamproc.control.concurrency.optimizer import ConcurrencyOptimizer
from streamproc.control.outage import LONGEST_PAUSE_SECONDS
from streamproc.control.pace import Pace

LONGEST_HINT = 60.0
endings = st.sampled_from(["answered", "rate_limited", "overloaded", "failed"])
hints = st.sampled_from([None, 0.0, -5.0, 0.5, 7.0, LONGEST_HINT])
steps = st.lists(st.tuples(endings, hints, st.floats(0.001, 3), st.booleans()), max_size=80)


@given(steps, st.integers(1, 12))
def test_it_stays_within_its_limit_and_pauses_are_kept_and_bounded(
    script: list[tuple[str, float | None, float, bool]], limit: int
) -> None:
    """Whoever asks and waits as told: no more than the limit are in the air, during an outage one; nobody goes before a
    pause is over; and a pause lasts no longer than what was asked for, or what an outage makes."""
    admission, now = Admission(FixedLimit(limit), Pace()), 0.0
    in_the_air: list[float] = []
    for ending, hint, elapsed, both in script:
        now += elapsed
        if both or not in_the_air:
            allowed = admission.limit
            for _ in range(limit + 1):
                turn = admission.turn(10)
                if admission.wait(turn, now) == 0:
                    assert admission.pace.pause(now) <= 2e-6
                    admission.started(10, now)
                    in_the_air.append(now)
                    assert len(in_the_air) <= allowed
                    assert not admission.down or len(in_the_air) == 1
        if in_the_air:
            started_at = in_the_air.pop(0)
            held = admission.pace.pause(now)
            admission.finished(Attempt(started_at, now, ending, 5, 5, hint), 10)
            assert held <= admission.pace.pause(now) + 1e-6
            assert admission.pace.pause(now) <= max(LONGEST_HINT, LONGEST_PAUSE_SECONDS) + 1e-6
        admission.tick(now)
        assert 1 <= admission.limit <= limit
        assert admission.in_flight == len(in_the_air)


@pytest.mark.parametrize("ending", ["rate_limited", "overloaded", "failed", "any"])
def test_a_hundred_thousand_failures_raise_nothing(ending: str) -> None:
    """However many failures in a row, with whatever hint: nothing is raised, and before long the next may be sent."""
    admission, draw, now = Admission(ConcurrencyOptimizer(), Pace(600, 60_000)), random.Random(0), 0.0
    kinds = ["rate_limited", "overloaded", "failed"] if ending == "any" else [ending]
    for _ in range(20_000):
        turn, asked_at = admission.turn(10), now
        while (wait := admission.wait(turn, now)) > 0:
            now += wait
            admission.tick(now)
        assert now - asked_at < 2 * LONGEST_HINT
        for _ in range(5):
            admission.started(10, now)
        for _ in range(5):
            hint = draw.choice([None, 0.0, -1.0, LONGEST_HINT])
            admission.finished(Attempt(now, now + 0.01, draw.choice(kinds), retry_after=hint), 10)
        now += 0.01


@given(st.sampled_from(["failed", "overloaded"]), st.floats(0.01, 5))
def test_an_outage_does_not_end_with_nobody_asking(ending: str, silence: float) -> None:
    """A probe that has failed, in whatever way, and is in the air no more, is no sign of life, however long ago."""
    admission, now = Admission(FixedLimit(8), Pace()), 0.0
    admission.started(10, now)
    admission.finished(Attempt(now, now + 0.1, "overloaded"), 10)
    assert admission.down
    now += 10
    admission.started(10, now)
    admission.finished(Attempt(now, now + 0.1, ending), 10)
    for count in range(20):
        admission.tick(now + 0.1 + count * silence)
        assert admission.down


def test_requests_of_no_tokens_are_paced_like_others() -> None:
    """Where nobody can tell the text tokens of a request, its refusals teach a rate of requests."""
    admission = Admission(FixedLimit(64), Pace())
    for count in range(400):
        now = count / 10
        admission.started(0, now)
        kind = "rate_limited" if count % 20 == 19 else "answered"
        admission.finished(Attempt(now, now + 0.05, kind, retry_after=1.0 if kind == "rate_limited" else None), 0)
    assert admission.pace.requests_per_second is not None
    assert admission.pace.tokens_per_second is None


@given(st.integers(1, 500), st.one_of(st.floats(), st.integers(-5, 600)))
def test_a_cap_lowers_the_limit_and_never_raises_it(limit: int, cap: float) -> None:
    """Whatever else is short caps the limit; at least one request goes on."""
    admission = Admission(FixedLimit(limit), Pace())
    admission.cap = cap
    assert 1 <= admission.limit <= limit
    if cap >= 1:
        assert admission.limit <= cap


def test_a_plain_example() -> None:
    """503 to the first request: one at a time asks, after pauses; an answer ends that."""
    admission = Admission(FixedLimit(4), Pace())
    turn = admission.turn(10)
    assert admission.wait(turn, 0.0) == 0
    admission.started(10, 0.0)
    admission.finished(Attempt(0.0, 0.1, "overloaded"), 10)
    assert (admission.down, admission.limit) == (True, 1)
    wait = admission.wait(turn, 0.1)
    assert wait > 0
    admission.started(10, 0.1 + wait)
    assert admission.wait(admission.turn(10), 0.1 + wait) > 0
    admission.finished(Attempt(0.1 + wait, 2.0, "answered", 5, 5), 10)
    assert (admission.down, admission.limit) == (False, 4)


@pytest.mark.parametrize("ending", ["answered", "rejected", "rate_limited"])
def test_an_outage_ends_with_any_sign_that_requests_are_looked_at(ending: Ending) -> None:
    """An answer, a rejection of the request itself, and 429 with a time to wait come from an endpoint that works."""
    admission = Admission(FixedLimit(8), Pace())
    admission.started(10, 0.0)
    admission.finished(Attempt(0.0, 0.1, "overloaded"), 10)
    assert admission.down
    admission.started(10, 5.0)
    admission.finished(Attempt(5.0, 5.1, ending, retry_after=1.0 if ending == "rate_limited" else None), 10)
    assert not admission.down


@given(st.integers(1, 10**9), st.floats(1, 1e6))
def test_no_single_answer_has_anybody_wait_for_long(used: int, per_minute: float) -> None:
    """Whatever number of text tokens an answer says it has used, it holds the next back for about a minute at most."""
    admission = Admission(FixedLimit(8), Pace(tokens_per_minute=per_minute))
    admission.started(1, 0.0)
    admission.finished(Attempt(0.0, 1.0, "answered", used, used), 1)
    assert admission.wait(admission.turn(1), 1.0) <= 60 + 120 / per_minute + 1


@given(st.integers(2, 50), st.floats(0.1, 100), st.sampled_from(["overloaded", "failed", "rate_limited"]))
def test_a_doubt_lets_one_go_until_what_was_sent_after_it_is_answered(limit: int, at: float, ending: Ending) -> None:
    """While it is doubted that all may go on, one request at a time is sent; answers to what was sent before end
    nothing, nor does a failure."""
    admission = Admission(FixedLimit(limit), Pace())
    admission.started(10, 0.0)
    admission.doubt(at)
    assert admission.limit == 1
    admission.finished(Attempt(0.0, at + 1, "answered", 5, 5), 10)
    admission.started(10, at + 1)
    admission.finished(Attempt(at + 1, at + 2, ending), 10)
    assert admission.limit == 1
    admission.started(10, at + 3)
    admission.finished(Attempt(at + 3, at + 4, "answered", 5, 5), 10)
    assert admission.limit == limit
