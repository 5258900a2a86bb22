import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.simulation.profiles import Profile
from streamproc.simulation.service import Accepted, Broken, Rejected, Service

seconds = st.sampled_from([0.0, 0.001, 0.01, 0.03])
profiles = st.builds(
    Profile,
    name=st.just("drawn"),
    ttft_seconds=seconds,
    prefill_seconds_per_token=st.sampled_from([0.0, 1e-4]),
    step_seconds_floor=seconds,
    step_seconds_base=seconds,
    step_seconds_per_sequence=seconds,
    max_running=st.integers(1, 5),
    max_queued=st.none() | st.integers(0, 5),
)
arrivals = st.lists(
    st.tuples(st.floats(0, 0.5), st.integers(1, 50), st.integers(1, 30)), min_size=1, max_size=25
)  # (seconds since the last one, prompt tokens, output tokens)


def drain(service, now):
    """Advance from event to event until nothing is due; give (time, ticket) of all that finish."""
    trace = []
    while (now_due := service.next_event(now)) is not None:
        now = now_due
        trace.extend((now, ticket) for ticket in service.advance(now))
    return trace


def play(service, arrivals):
    """Let requests arrive in time, looking at every event; give the replies and the finishing trace."""
    now, replies, trace = 0.0, [], []
    for gap, prompt, output in arrivals:
        until = now + gap
        while (due := service.next_event(now)) is not None and due <= until:
            now = due
            trace.extend((now, ticket) for ticket in service.advance(now))
        now = until
        replies.append(service.arrive(prompt, output, now))
    return replies, trace + drain(service, now)


def plain_model(profile, arrivals):
    """Give finish times by ticket, counting down the tokens of every sequence from event to event."""
    now, reader_free_at, waiting, reading, left, finished = 0.0, 0.0, [], {}, {}, {}
    due_arrivals, at = [], 0.0
    for ticket, (gap, prompt, output) in enumerate(arrivals, 1):
        at += gap
        due_arrivals.append((at, ticket, prompt, output))
    while due_arrivals or waiting or reading or left:
        step = profile.step_seconds(len(left)) if left else 0.0
        moments = [due_arrivals[0][0]] if due_arrivals else []
        moments += [ready for ready, _ in reading.values()]
        moments += [now + tokens * step for tokens in left.values()]
        then = max(now, min(moments))
        for ticket in list(left):
            left[ticket] -= (then - now) / step if step else math.inf
            if left[ticket] <= 1e-9:
                del left[ticket]
                finished[ticket] = then
        now = then
        for ticket in [ticket for ticket, (ready, _) in reading.items() if ready <= now]:
            left[ticket] = reading.pop(ticket)[1]
        while due_arrivals and due_arrivals[0][0] <= now:
            waiting.append(due_arrivals.pop(0)[1:])
        while waiting and len(reading) + len(left) < profile.max_running:
            ticket, prompt, output = waiting.pop(0)
            reader_free_at = max(reader_free_at, now) + prompt * profile.prefill_seconds_per_token
            reading[ticket] = (reader_free_at + profile.ttft_seconds, output)
    return finished


@given(profiles, arrivals)
def test_agrees_with_a_plain_model(profile, arrivals):
    """The virtual clock finishes each request when a model that counts down every sequence's tokens does."""
    unbounded = Profile(
        **{field: getattr(profile, field) for field in profile.__struct_fields__} | {"max_queued": None}
    )
    _, trace = play(Service(unbounded), arrivals)
    expected = plain_model(unbounded, arrivals)
    assert {ticket for _, ticket in trace} == set(expected)
    for at, ticket in trace:
        assert at == pytest.approx(expected[ticket], abs=1e-6)


@given(profiles, arrivals, st.lists(st.tuples(st.integers(1, 25), st.floats(0, 1)), max_size=15))
def test_every_ticket_finishes_once_or_was_cancelled_and_bounds_hold(profile, arrivals, cancels):
    """Never do too many run or wait, and each ticket finishes exactly once unless it is cancelled."""
    service = Service(profile)
    now, accepted, cancelled, finished = 0.0, set(), set(), []
    leaving = iter(cancels)
    for gap, prompt, output in arrivals:
        now += gap
        reply = service.arrive(prompt, output, now)
        if isinstance(reply, Accepted):
            accepted.add(reply.ticket)
        if (cancel := next(leaving, None)) is not None:
            now += cancel[1]
            if service.cancel(cancel[0], now):
                cancelled.add(cancel[0])
        assert 0 <= service.running <= profile.max_running
        assert profile.max_queued is None or 0 <= service.queued <= profile.max_queued
        assert not service.queued or service.running == profile.max_running
        finished += service.advance(now)
    finished += [ticket for _, ticket in drain(service, now)]
    assert len(finished) == len(set(finished))
    assert set(finished) == accepted - cancelled
    assert (service.running, service.queued) == (0, 0)
    assert service.peak_running <= profile.max_running


@given(arrivals, st.floats(0.001, 0.05), st.integers(1, 8))
def test_work_is_conserved(arrivals, per_sequence, max_running):
    """Where a step costs only its sequences, all the work takes the sum of its tokens, whoever shares it."""
    service = Service(Profile(name="p", step_seconds_per_sequence=per_sequence, max_running=max_running))
    for _, prompt, output in arrivals:
        service.arrive(prompt, output, 0.0)
    last, _ = drain(service, 0.0)[-1]
    assert last == pytest.approx(per_sequence * sum(output for _, _, output in arrivals))


@given(profiles, st.integers(1, 5), st.integers(1, 100))
def test_equal_requests_finish_together_in_the_closed_form(profile, count, output):
    """Equal requests that all fit and need no reading finish at ttft + tokens * T(n)."""
    service = Service(profile)
    count = min(count, profile.max_running)
    for _ in range(count):
        service.arrive(0, output, 0.0)
    expected = profile.ttft_seconds + output * profile.step_seconds(count)
    trace = drain(service, 0.0)
    assert len(trace) == count
    assert all(at == pytest.approx(expected) for at, _ in trace)


@given(profiles, arrivals, st.integers(0, 2**32))
def test_same_seed_same_trace(profile, arrivals, seed):
    """The same seed and arrivals give the same replies and the same times, to the last bit."""
    fields = {field: getattr(profile, field) for field in profile.__struct_fields__}
    fields |= {"fault_ratio": {"503": 0.2, "hang": 0.2, "truncate_body": 0.2}, "requests_per_minute": 600.0}
    faulty = Profile(**fields)
    assert play(Service(faulty, seed), arrivals) == play(Service(faulty, seed), arrivals)


@given(profiles, arrivals, st.lists(st.floats(0, 1), max_size=30))
def test_looking_more_often_changes_nothing(profile, arrivals, looks):
    """When anybody looks does not change what finishes, nor when beyond rounding."""
    busy, idle = Service(profile), Service(profile)
    _, expected = play(idle, arrivals)
    now, seen = 0.0, {}
    peeks = iter(looks)
    for gap, prompt, output in arrivals:
        for share in sorted((next(peeks, 0.0), next(peeks, 0.0))):
            for ticket in busy.advance(now + gap * share):
                seen[ticket] = None
        now += gap
        busy.arrive(prompt, output, now)
    times = {ticket: at for at, ticket in drain(busy, now)}
    assert set(times) | set(seen) == {ticket for _, ticket in expected}
    for at, ticket in expected:
        if ticket in times and at > now:
            assert times[ticket] == pytest.approx(at, abs=1e-6)


@given(profiles, st.lists(st.floats(0, 0.5), min_size=2, max_size=20), st.integers(1, 20))
def test_equal_requests_finish_in_the_order_they_came(profile, gaps, output):
    """First come, first served: of equal requests none overtakes another."""
    _, trace = play(Service(profile), [(gap, 10, output) for gap in gaps])
    finish = {ticket: at for at, ticket in trace}
    times = [finish[ticket] for ticket in sorted(finish)]
    assert all(earlier <= later + 1e-9 for earlier, later in pairwise(times))


@given(st.integers(1, 4), st.integers(1, 6), st.data())
def test_a_cancel_frees_its_place_at_once(max_running, waiting, data):
    """When a running client leaves, the next in the queue runs at once; a queued one only leaves."""
    service = Service(Profile(name="p", step_seconds_floor=1.0, max_running=max_running))
    for _ in range(max_running + waiting):
        service.arrive(1, 10, 0.0)
    victim = data.draw(st.integers(1, max_running + waiting))
    assert service.cancel(victim, 0.5)
    assert not service.cancel(victim, 0.5)
    assert (service.running, service.queued) == (max_running, waiting - 1)
    assert victim not in {ticket for _, ticket in drain(service, 0.5)}


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 99), st.integers(1, 99)), max_size=60))
def test_limits_hold_over_every_window(arrivals):
    """Of requests and of tokens, no window sees more admitted than the limit's flow and one burst."""
    profile = Profile(name="p", requests_per_minute=120.0, tokens_per_minute=6000.0, burst_seconds=3.0)
    service = Service(profile)
    now, admitted = 0.0, []
    for gap, prompt, output in arrivals:
        now += gap
        reply = service.arrive(prompt, output, now)
        if isinstance(reply, Accepted):
            admitted.append((now, prompt + output))
        else:
            assert reply.status == 429
            assert reply.retry_after > 0
    for first, (start, _) in enumerate(admitted):
        for last in range(first, len(admitted)):
            span = admitted[last][0] - start
            assert last - first + 1 <= 2 * span + 6 + 1e-6
            assert sum(tokens for _, tokens in admitted[first : last + 1]) <= 100 * span + 300 + 1e-6


@given(st.integers(0, 2**32), st.floats(0.1, 0.9))
def test_faults_come_in_their_share(seed, ratio):
    """About as many requests meet a fault as its ratio says (within five standard deviations)."""
    service = Service(Profile(name="p", fault_ratio={"reset": ratio}), seed)
    broken = sum(isinstance(service.arrive(1, 1, 0.0), Broken) for _ in range(400))
    assert abs(broken - 400 * ratio) <= 5 * math.sqrt(400 * ratio * (1 - ratio))


@pytest.mark.parametrize(
    ("fault", "reply"),
    [
        ("503", Rejected(503, "service_unavailable")),
        ("500", Rejected(500, "server_error")),
        ("429", Rejected(429, "rate_limit_exceeded", 1.0)),
        ("reset", Broken("reset")),
        ("hang", Broken("hang")),
        ("html", Broken("html")),
        ("truncate_body", Accepted(1, "truncate_body")),
        ("reset_after_work", Accepted(1, "reset_after_work")),
    ],
)
def test_each_fault_has_its_reply(fault, reply):
    """A certain fault gives its own reply, and only those after the work are worked on."""
    assert Service(Profile(name="p", fault_ratio={fault: 1.0})).arrive(1, 1, 0.0) == reply


def test_no_hint_where_the_profile_gives_none():
    """With `retry_after` at none a 429 does not say how long to wait."""
    profile = Profile(name="p", requests_per_minute=60.0, burst_seconds=1.0, retry_after="none")
    service = Service(profile)
    service.arrive(1, 1, 0.0)
    assert service.arrive(1, 1, 0.0) == Rejected(429, "rate_limit_exceeded", None)


def test_a_full_queue_is_answered_503():
    """With one place and one seat in the queue the third request is refused, and a later one is not."""
    service = Service(Profile(name="p", step_seconds_floor=1.0, max_running=1, max_queued=1))
    assert [type(service.arrive(1, 5, 0.0)) for _ in range(3)] == [Accepted, Accepted, Rejected]
    assert service.next_event(0.0) == 5.0
    assert service.advance(5.0) == [1]
    assert isinstance(service.arrive(1, 5, 5.0), Accepted)


def test_time_does_not_go_back():
    """A time before an earlier one is refused."""
    service = Service(Profile(name="p"))
    service.advance(2.0)
    with pytest.raises(ValueError, match="now must be >= 2"):
        service.advance(1.0)
