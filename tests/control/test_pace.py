"""How fast one endpoint may be asked: laws of Pace and of the turns it gives."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.pace import BURST_SECONDS, LEARNED_BURST_SECONDS, Pace, Turn

per_minute = st.floats(1, 60_000)
gaps = st.floats(0, 5)


def burst_of(rate: float, seconds: float = BURST_SECONDS) -> float:
    """What may be sent at once at so many a second."""
    return max(1.0, seconds * rate)


def goes_at(turn: Turn, now: float, asked: int = 20) -> float:
    """Ask and wait as told, until the request may be sent; give the time of that."""
    for _ in range(asked):
        wait = turn.wait(now)
        if wait == 0:
            return now
        assert wait > 0
        assert now + wait > now, "a wait too short to change the time would go on for ever"
        now += wait
    raise AssertionError("a turn that is never over")


def most_over(sent: list[tuple[float, float]], rate: float, burst: float) -> float:
    """Give the most that any window holds in shares of what it may: its seconds at the rate, and one burst; one that is
    larger than a burst waits until there would be room for it, and goes as the first of its window."""
    worst = 0.0
    ordered = sorted(sent)
    for first, (began_at, amount) in enumerate(ordered):
        total, spare = 0.0, max(burst, amount)
        for at, more in ordered[first:]:
            total += more
            worst = max(worst, total / (rate * (at - began_at) + spare))
    return worst


@given(per_minute, st.lists(gaps, max_size=60))
def test_no_window_has_more_requests_than_configured(limit: float, script: list[float]) -> None:
    """In any s seconds at most rate * s requests and one burst are sent."""
    pace, now, sent = Pace(requests_per_minute=limit), 0.0, []
    for elapsed in script:
        now += elapsed / (limit / 60)
        sent.append((goes_at(pace.turn(1), now), 1.0))
    assert most_over(sent, limit / 60, burst_of(limit / 60)) <= 1.001


@given(per_minute, st.lists(st.tuples(gaps, st.floats(0.01, 2)), max_size=60))
def test_no_window_has_more_tokens_than_configured(limit: float, script: list[tuple[float, float]]) -> None:
    """In any s seconds at most rate * s text tokens and one burst are sent; one request larger than that waits for its
    debt and goes alone."""
    pace, now, sent = Pace(tokens_per_minute=limit), 0.0, []
    for elapsed, share in script:
        now += elapsed
        tokens = share * burst_of(limit / 60)
        sent.append((goes_at(pace.turn(tokens), now), tokens))
    assert most_over(sent, limit / 60, burst_of(limit / 60)) <= 1.001


@given(
    st.floats(6, 600),
    st.floats(600, 60_000),
    st.lists(st.tuples(st.floats(0, 2), st.floats(0.01, 2)), max_size=60),
)
def test_two_limits_at_once_are_both_kept(requests: float, tokens: float, script: list[tuple[float, float]]) -> None:
    """A request that waits for one limit leaves no more of the other to those behind it than there is."""
    pace, now = Pace(requests, tokens), 0.0
    sent_requests: list[tuple[float, float]] = []
    sent_tokens: list[tuple[float, float]] = []
    for elapsed, share in script:
        now += elapsed
        amount = share * burst_of(tokens / 60)
        at = goes_at(pace.turn(amount), now)
        sent_requests.append((at, 1.0))
        sent_tokens.append((at, amount))
    assert most_over(sent_requests, requests / 60, burst_of(requests / 60)) <= 1.001
    assert most_over(sent_tokens, tokens / 60, burst_of(tokens / 60)) <= 1.001


@given(st.floats(6, 600), st.floats(0, 20), st.floats(0, 60), st.lists(st.floats(0, 3), max_size=60))
def test_a_pause_saves_up_no_more_than_a_burst(limit: float, held_at: float, held: float, gaps: list[float]) -> None:
    """Those whose turn would come during a pause, whether they wait when it begins or come later, do not all go at its
    end: the configured rate holds after it too."""
    pace, sent, waiting = Pace(requests_per_minute=limit), [], []
    arrivals = list(accumulate(gaps))
    for at in arrivals:
        if at < held_at:
            turn = pace.turn(1)
            wait = turn.wait(at)
            if at + wait < held_at:
                sent.append((at + wait, 1.0))
            else:
                waiting.append(turn)
    pace.hold(held_at + held)
    sent += [(goes_at(turn, held_at), 1.0) for turn in waiting]
    sent += [(goes_at(pace.turn(1), at), 1.0) for at in arrivals if at >= held_at]
    assert len(sent) == len(arrivals)
    assert most_over(sent, limit / 60, burst_of(limit / 60)) <= 1.001


@given(per_minute, per_minute, per_minute)
def test_of_several_limits_the_slowest_is_in_force(configured: float, told: float, told_later: float) -> None:
    """The rate in force is the least of what was configured and what the endpoint told last, and a little below what it
    told; what it does not tell again stays."""
    pace = Pace(requests_per_minute=configured)
    pace.told(told, None)
    pace.told(told_later, None)
    pace.told(None, None)
    assert pace.requests_per_second is not None
    assert pace.requests_per_second <= min(configured, told_later) / 60
    assert pace.requests_per_second >= 0.9 * min(configured, told_later) / 60
    assert pace.tokens_per_second is None
    many = 500
    last = max(goes_at(pace.turn(1), 0.0) for _ in range(many))
    assert last >= (many - burst_of(configured / 60)) / (min(configured, told_later) / 60) * (1 - 1e-9) - 1e-6 or (
        last >= (many - burst_of(told_later / 60)) / (min(configured, told_later) / 60) - 1e-6
    )


events = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask again", "refused", "hold", "ramp", "told", "give back"]),
        st.floats(0, 3),
        st.floats(0, 1000),
    ),
    max_size=80,
)


@given(events, st.sampled_from([0.0, 1.0, 1e6, 1e9]), st.one_of(st.none(), per_minute))
def test_no_turn_is_over_before_the_pause_is_and_each_is_over_some_time(
    script: list[tuple[str, float, float]], started_at: float, configured: float | None
) -> None:
    """Whatever happens, a turn says 0 only after every hold, asking twice moves no place back, and when nothing happens
    any more a turn that waits as told waits once, and again only for a pause."""
    pace, now, held_until = Pace(configured, configured), started_at, -1.0
    turns: list[Turn] = []
    for event, elapsed, amount in script:
        now += elapsed
        if event == "ask":
            turns.append(pace.turn(amount))
            pace.sent(amount, now)
        if event in ("ask", "ask again") and turns:
            turn = turns[int(amount) % len(turns)]
            wait = turn.wait(now)
            assert wait == turn.wait(now)
            assert wait > 0 or now >= held_until - 2e-6
        elif event == "refused":
            pace.refused(1 + amount, now - elapsed, now)
        elif event == "hold":
            pace.hold(now + amount / 50)
            held_until = max(held_until, now + amount / 50)
        elif event == "ramp":
            pace.ramp(1 + int(amount), 1 + elapsed, now)
        elif event == "told":
            pace.told(1 + amount, None)
        elif event == "give back":
            pace.give_back(amount - 500)
    for turn in turns:
        assert goes_at(turn, now, asked=4) >= held_until - 2e-6


@given(st.floats(0.5, 50), st.integers(2, 40), st.floats(0, 30))
def test_places_taken_before_a_refusal_are_void(rate: float, waiting: int, pause: float) -> None:
    """Those who waited when a refusal came go one after another at the rate that it taught, and none before the pause
    is over."""
    pace, now = Pace(), 0.0
    while now < 10:
        pace.sent(1, now)
        now += 1 / rate
    turns = [pace.turn(1) for _ in range(waiting)]
    pace.hold(now + pause)
    for turn in turns:
        turn.wait(now)
    assert pace.refused(1, now - 1e-3, now)
    learned = pace.requests_per_second
    assert learned is not None
    went = [(goes_at(turn, now), 1.0) for turn in turns]
    assert min(went)[0] >= now + pause - 2e-6
    if pause == 0:
        assert most_over(went, 1.1 * learned, burst_of(learned, LEARNED_BURST_SECONDS)) <= 1.001


def test_a_plain_example() -> None:
    """Two a second, with a burst of two: the third waits half a second, and the longest pause holds."""
    pace = Pace(requests_per_minute=120)
    assert not Pace().holding(0.0)
    assert pace.holding(0.0)
    turns = [pace.turn(1) for _ in range(3)]
    assert [turn.wait(0.0) for turn in turns] == [0.0, 0.0, pytest.approx(0.5)]
    assert turns[2].wait(0.3) == pytest.approx(0.2)
    assert turns[2].wait(0.5) == 0.0
    pace.hold(10.0)
    assert pace.pause(4.0) == pace.turn(1).wait(4.0) == 6.0
    pace.hold(8.0)
    assert pace.pause(4.0) == 6.0


def test_a_higher_limit_is_filled_little_by_little() -> None:
    """A ramp spreads the next requests over its seconds, and then it is over."""
    pace = Pace()
    pace.ramp(10, 1.0, now=0.0)
    went = [goes_at(pace.turn(1), 0.0) for _ in range(10)]
    assert went == pytest.approx([count / 10 for count in range(10)])
    assert pace.turn(1).wait(1.0) == 0.0
