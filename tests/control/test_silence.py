"""Whose fault failures are: rules under any order of events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.admission import Admission, FixedLimit
from streamproc.control.attempts import Attempt
from streamproc.control.pace import Pace
from streamproc.control.retries import Retries, RetryPolicy
from streamproc.control.silence import FRESH_WITNESSES, WITNESSES, Silence
from streamproc.errors import Ambiguous, BadAnswer, Unavailable

MANY = 1000
silences = st.lists(
    st.tuples(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=40), st.booleans()), max_size=6
)


@given(silences)
def test_what_many_fail_at_counts_for_none_and_what_few_fail_at_for_each(
    script: list[tuple[list[tuple[int, bool]], bool]],
) -> None:
    """Over any silences: the failures that count for a record are those in silences in which few others failed, however
    they were sent; one to which the endpoint itself testifies counts for none."""
    records = [Retries(RetryPolicy(max_attempts=MANY)) for _ in range(21)]
    blamed = [0] * 21
    for failures, testified in script:
        silence = Silence()
        fresh = set()
        silence.of_endpoint = testified
        for record, saw_life in failures:
            silence.saw_life = saw_life
            if not blamed[record] and not saw_life:
                fresh.add(record)
            records[record].after(Unavailable("no", status=503), 0.5, silence)
        who = {record for record, _ in failures}
        silence.over = True
        if not testified and len(fresh) < FRESH_WITNESSES and len(who) < WITNESSES:
            for record, _ in failures:
                blamed[record] += 1
    for record, count in zip(records, blamed, strict=True):
        left = Retries(RetryPolicy(max_attempts=count + 1))
        left._failures = record._failures
        assert not left.used_up
        if count:
            at_its_end = Retries(RetryPolicy(max_attempts=count))
            at_its_end._failures = record._failures
            assert at_its_end.used_up


@given(st.integers(1, 6), st.integers(0, 3), st.booleans())
def test_nobody_is_sent_again_who_may_be_at_its_end(most: int, retries: int, ambiguous: bool) -> None:
    """While others are in the air a record has no more attempts than if it is to blame; when they fail too it goes on,
    when they are answered it is over."""
    error = Ambiguous("late") if ambiguous else Unavailable("no")
    allowed = min(most, retries + 1) if ambiguous else most
    for endpoint in (True, False):
        record = Retries(RetryPolicy(max_attempts=most, ambiguous_retries=retries))
        silence = Silence(in_flight=3)
        for number in range(1, allowed + 1):
            assert record.after(error, 0.5, silence) is not None
            assert record.undecided == (number == allowed)
        assert not record.used_up
        silence.of_endpoint, silence.over = endpoint, not endpoint
        assert not record.undecided
        assert record.used_up == (not endpoint)


@pytest.mark.parametrize("error", [BadAnswer("html", status=200), Ambiguous("cut", status=200)])
def test_an_answer_that_is_none_is_the_fault_of_its_record(error: BadAnswer | Ambiguous) -> None:
    """However many get such answers at once, each uses up its attempts."""
    silence = Silence()
    records = [Retries(RetryPolicy(max_attempts=1)) for _ in range(50)]
    assert all(record.after(error, 0.5, silence) is None for record in records)
    assert not silence.of_endpoint


def test_who_fails_with_nobody_else_in_the_air_is_to_blame_at_once() -> None:
    """Nobody is left who could tell otherwise: a record at its end does not wait for a sign that never comes."""
    record = Retries(RetryPolicy(max_attempts=1))
    record.after(Unavailable("no", status=503), 0.5, Silence(in_flight=0))
    assert record.used_up
    assert not record.undecided


@pytest.mark.parametrize("many", [WITNESSES - 1, WITNESSES])
def test_so_many_speak_against_the_endpoint_whatever_they_failed_at_before(many: int) -> None:
    """Fifteen records do that were each to blame before, fourteen do not; one that fails again and again is one."""
    silence = Silence()
    for who in [*range(many)] * 3:
        silence.failed(who, blamed_before=True)
    assert silence.of_endpoint == (many == WITNESSES)


def test_a_plain_example() -> None:
    """Six requests hang; the first five to end tell nothing yet, since others were answered after they were sent. Five
    that are sent afterwards fail, too: it was the endpoint, and nobody's attempt counts."""
    admission = Admission(FixedLimit(10), Pace())
    records = [Retries(RetryPolicy(ambiguous_retries=0)) for _ in range(10)]
    for _ in range(6):
        admission.started(10, 0.0)
    admission.finished(Attempt(0.0, 1.0, "answered", 5, 5), 10)
    for record in records[:5]:
        admission.started(10, 2.0)
        admission.finished(Attempt(0.0, 3.0, "overloaded"), 10)
        record.after(Ambiguous("late"), 0.5, admission.silence)
        assert record.undecided
    for record in records[5:]:
        admission.finished(Attempt(2.0, 5.0, "overloaded"), 10)
        record.after(Ambiguous("late"), 0.5, admission.silence)
    assert admission.silence.of_endpoint
    assert not any(record.used_up or record.undecided for record in records)
