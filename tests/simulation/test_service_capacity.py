"""Cache memory, caps, neighbours, and behaviour that changes while requests are under way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streamproc.simulation.profiles import Profile
from streamproc.simulation.service import Accepted, Rejected, Service

kv_profiles = st.builds(
    Profile,
    name=st.just("drawn"),
    ttft_seconds=st.sampled_from([0.0, 0.01]),
    prefill_seconds_per_token=st.sampled_from([0.0, 1e-4]),
    step_seconds_floor=st.sampled_from([0.0, 0.01]),
    step_seconds_per_sequence=st.sampled_from([0.0, 0.003]),
    step_seconds_per_cached_token=st.sampled_from([0.0, 1e-4]),
    max_running=st.integers(1, 6),
    kv_tokens=st.none() | st.integers(10, 120),
    max_queued=st.none() | st.integers(0, 4),
    max_concurrent=st.none() | st.integers(1, 8),
    neighbours=st.integers(0, 2),
)
arrivals = st.lists(st.tuples(st.floats(0, 0.3), st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=25)


def drain(service, now):
    """Advance from event to event until nothing is due; give (time, ticket) of all that finish."""
    trace = []
    while (due := service.next_event(now)) is not None:
        now = due
        trace.extend((now, ticket) for ticket in service.advance(now))
    return trace


def finish_times(profile, *requests, at=0.0):
    """Give finish times by ticket of requests that arrive together."""
    service = Service(profile)
    for prompt, output in requests:
        service.arrive(prompt, output, at)
    return {ticket: time for time, ticket in drain(service, at)}


@given(kv_profiles, arrivals, st.lists(st.tuples(st.integers(1, 25), st.floats(0, 0.3)), max_size=10))
def test_every_ticket_finishes_once_and_memory_holds(profile, arrivals, cancels):
    """Under any limits each ticket finishes once or is cancelled, and only one alone may hold more than all memory."""
    profile = replace(profile, neighbours=min(profile.neighbours, profile.max_running - 1))
    service = Service(profile)
    now, accepted, cancelled, finished = 0.0, set(), set(), []
    leaving = iter(cancels)

    def look_until(until):
        nonlocal now
        while (due := service.next_event(now)) is not None and due <= until:
            now = due
            finished.extend(service.advance(now))
            check()
        now = max(now, until)

    def check():
        assert service.running + profile.neighbours <= profile.max_running
        if profile.kv_tokens is not None and service.running > 1:
            assert service.cache_tokens <= profile.kv_tokens * (1 + 1e-6)
        if profile.max_concurrent is not None:
            assert service.running + service.queued <= profile.max_concurrent

    for gap, prompt, output in arrivals:
        look_until(now + gap)
        reply = service.arrive(prompt, output, now)
        if isinstance(reply, Accepted):
            accepted.add(reply.ticket)
        check()
        if (cancel := next(leaving, None)) is not None:
            look_until(now + cancel[1])
            if service.cancel(cancel[0], now):
                cancelled.add(cancel[0])
            check()
    while (due := service.next_event(now)) is not None:
        look_until(due)
    assert len(finished) == len(set(finished))
    assert set(finished) == accepted - cancelled
    assert (service.running, service.queued) == (0, 0)
    assert service.cache_tokens == pytest.approx(0, abs=1e-6)


@given(st.integers(1, 6), st.integers(1, 50), st.integers(0, 100), st.sampled_from([1e-4, 1e-2]))
def test_held_tokens_slow_the_steps_in_the_closed_form(count, output, prompt, per_token):
    """n equal requests of p and k tokens take k * T + c * n * (p * k + k * k / 2) seconds."""
    profile = Profile(name="p", step_seconds_floor=0.02, step_seconds_per_cached_token=per_token)
    times = finish_times(profile, *[(prompt, output)] * count)
    expected = output * 0.02 + per_token * count * (prompt * output + output * output / 2)
    assert list(times.values()) == [pytest.approx(expected)] * count


def test_full_memory_takes_the_latest_place_and_reads_it_again():
    """Two answers that outgrow the memory: the later waits for the first, reads all it has, and writes on."""
    profile = Profile(name="p", ttft_seconds=1.0, prefill_seconds_per_token=0.0, step_seconds_floor=1.0, kv_tokens=20)
    # Both decode from 1 s on; 10 + 2 * 5 tokens fill the memory at 6 s; 5 are left to the second from 11 + 1 s on.
    assert finish_times(profile, (5, 10), (5, 10)) == {1: pytest.approx(11.0), 2: pytest.approx(17.0)}


def test_a_prompt_waits_for_room_in_memory():
    """While a prompt would not leave a hundredth of the memory free it waits, though there are places."""
    profile = Profile(name="p", step_seconds_floor=1.0, kv_tokens=100)
    assert finish_times(profile, (60, 4), (60, 4)) == {1: 4.0, 2: 8.0}
    assert finish_times(profile, (150, 4)) == {1: 4.0}


def test_neighbours_take_places_and_slow_the_steps():
    """With three of four places taken requests go one by one, in steps of four."""
    profile = Profile(name="p", step_seconds_per_sequence=1.0, max_running=4, neighbours=3)
    assert finish_times(profile, (0, 2), (0, 2)) == {1: 8.0, 2: 16.0}


def test_a_cap_on_concurrency_refuses_without_a_hint():
    """One more than `max_concurrent` is answered 429 without Retry-After, and accepted once a place is free."""
    service = Service(Profile(name="p", step_seconds_floor=1.0, max_running=1, max_concurrent=2))
    replies = [service.arrive(1, 5, 0.0) for _ in range(3)]
    assert replies[2] == Rejected(429, "concurrency_limit_exceeded", None)
    assert service.advance(5.0) == [1]
    assert isinstance(service.arrive(1, 5, 5.0), Accepted)


def test_nothing_is_served_before_it_is_ready():
    """While it is not ready everything is answered 503; after the change it serves."""
    ready = Profile(name="p", step_seconds_floor=1.0)
    service = Service(replace(ready, ready=False))
    assert service.arrive(1, 1, 0.0) == Rejected(503, "not_ready")
    service.change(ready, 30.0)
    assert isinstance(service.arrive(1, 1, 30.0), Accepted)


def test_a_slower_step_takes_effect_at_once():
    """Of ten tokens, four at 1 s and six at 2.5 s are written."""
    profile = Profile(name="p", step_seconds_floor=1.0)
    service = Service(profile)
    service.arrive(1, 10, 0.0)
    service.change(replace(profile, step_seconds_floor=2.5), 4.0)
    assert drain(service, 4.0) == [(pytest.approx(19.0), 1)]


def test_fewer_places_take_none_away_and_more_are_filled_at_once():
    """A change to fewer places lets those who run finish first; a change to more lets the queue in."""
    wide = Profile(name="p", step_seconds_floor=1.0, max_running=3)
    narrow = replace(wide, max_running=1)
    service = Service(wide)
    for _ in range(5):
        service.arrive(1, 10, 0.0)
    service.change(narrow, 2.0)
    assert (service.running, service.queued) == (3, 2)
    assert service.advance(10.0) == [1, 2, 3]
    assert (service.running, service.queued) == (1, 1)
    service.change(wide, 12.0)
    assert (service.running, service.queued) == (2, 0)


def test_new_limits_hold_from_the_change_on_and_old_ones_keep_their_level():
    """A change of limits begins with full buckets; any other change leaves the buckets as they are."""
    free = Profile(name="p")
    limited = replace(free, requests_per_minute=60.0, burst_seconds=1.0)
    service = Service(free)
    assert all(isinstance(service.arrive(1, 1, 0.0), Accepted) for _ in range(5))
    service.change(limited, 1.0)
    assert [type(service.arrive(1, 1, 1.0)) for _ in range(2)] == [Accepted, Rejected]
    service.change(replace(limited, step_seconds_floor=1.0), 1.0)
    assert isinstance(service.arrive(1, 1, 1.0), Rejected)
