"""From what was seen to a plan and to advice: laws of the PerformanceOptimizer."""

import copy
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streamproc.control.diagnosis import Limiter, diagnose, limiters_of
from streamproc.control.performance import (
    CALM_SECONDS,
    LAG_SECONDS,
    LAGGING_WINDOWS,
    REOPEN_HEADROOM,
    PerformanceOptimizer,
    advise,
)
from streamproc.control.windows import Window
from tests.control.run_windows import PLAIN, any_windows

headrooms = st.one_of(st.sampled_from([0.0, REOPEN_HEADROOM, 0.5, 1.0]), st.floats(0, 1))
histories = st.lists(headrooms, max_size=30)
spans = st.integers(1, 5000).flatmap(lambda span: st.tuples(st.just(span), st.integers(1, span)))


def after(history: list[float], span: int = 2048, least: int = 16) -> PerformanceOptimizer:
    optimizer = PerformanceOptimizer(span, least)
    for headroom in history:
        optimizer.span_for(headroom)
    return optimizer


@given(spans, histories, headrooms, headrooms)
def test_more_memory_pressure_never_gives_a_larger_span(
    sizes: tuple[int, int], history: list[float], one: float, other: float
) -> None:
    """After any past, less headroom gives no larger span; a span is at least 1 and at most what was configured."""
    optimizer = after(history, *sizes)
    less = copy.copy(optimizer).span_for(min(one, other))
    more = copy.copy(optimizer).span_for(max(one, other))
    assert 1 <= less <= more <= sizes[0]
    assert copy.copy(optimizer).span_for(1.0) == sizes[0]


@given(histories)
def test_reading_is_held_back_from_critical_until_there_is_clearly_room(history: list[float]) -> None:
    """It closes where nothing is left and opens at the reopening headroom, one turn for each crossing of the band."""
    optimizer, closed = PerformanceOptimizer(2048, 16), False
    for headroom in history:
        span = optimizer.span_for(headroom)
        if headroom <= 0:
            closed = True
        elif headroom >= REOPEN_HEADROOM:
            closed = False
        assert optimizer.intake_closed == closed
        assert (span == 1) == closed


def test_a_plain_example_of_the_span() -> None:
    """All of it down to half of the headroom, then in proportion; one record where memory is critical, until a quarter
    of the headroom is back."""
    optimizer = PerformanceOptimizer(2048, 16)
    looks = [1.0, 0.5, 0.25, 0.001, 0.0, 0.1, 0.24, 0.25, 0.5]
    assert [optimizer.span_for(each) for each in looks] == [2048, 2048, 1024, 16, 1, 1, 1, 1024, 2048]


@pytest.mark.parametrize(("span", "least"), [(0, 0), (1, 0), (5, 6)])
def test_spans_that_make_no_sense_are_refused(span: int, least: int) -> None:
    """The least span is at least 1 and at most the span."""
    with pytest.raises(ValueError, match="least_span"):
        PerformanceOptimizer(span, least)


lags = st.none() | st.sampled_from([0.0, CALM_SECONDS, 0.2, LAG_SECONDS, 1.0]) | st.floats(0, 2)


@given(st.lists(lags, max_size=100), st.integers(1, 300), st.integers(1, 300))
def test_an_event_loop_that_is_late_gets_fewer_calls_until_it_is_calm(
    script: list[float | None], limit: int, most: int
) -> None:
    """The cap is at least 1; it falls only after five late windows in a row, each time, and rises only after five calm
    ones; whatever happened, calm ends with no cap at all."""
    optimizer, late, calm, cap = PerformanceOptimizer(100), 0, 0, math.inf
    window = Window(seconds=1, limit=min(limit, most), most=most)
    for lag in script:
        plan = optimizer.plan([replace(window, loop_lag_seconds=lag)], 1.0)
        if lag is not None:
            late = late + 1 if lag > LAG_SECONDS else 0
            calm = calm + 1 if lag < CALM_SECONDS else 0
        assert plan.cap >= 1
        assert plan.cap >= cap or late >= LAGGING_WINDOWS
        assert plan.cap <= cap or calm >= LAGGING_WINDOWS
        assert plan.learning == ((lag or 0) <= 0.05)
        cap = plan.cap
    for _ in range(LAGGING_WINDOWS * 40):
        cap = optimizer.plan([replace(window, loop_lag_seconds=0.0)], 1.0).cap
    assert cap == math.inf


def test_a_plain_example_of_the_cap() -> None:
    """After five late windows of 64 calls, 51; after five more, 40; after fifteen calm ones, 79; then no cap, as that
    is above the most that there may be."""
    optimizer = PerformanceOptimizer(100)

    def cap(lag: float, windows: int, limit: int) -> float:
        window = Window(seconds=1, limit=limit, most=70, loop_lag_seconds=lag)
        return [optimizer.plan([window], 1.0).cap for _ in range(windows)][-1]

    assert cap(0.3, 4, 64) == math.inf
    assert [cap(0.3, 1, 64), cap(0.3, 5, 51)] == [51, 40]
    assert [cap(0.0, 5, 40), cap(0.0, 5, 50), cap(0.0, 5, 63), cap(0.0, 5, 70)] == [50, 63, 79, math.inf]


@given(any_windows, headrooms)
def test_a_plan_says_why(window: Window, headroom: float) -> None:
    """A plan has the diagnosis of its last window, the span for its headroom, and a reason for that."""
    optimizer = PerformanceOptimizer(2048, 16)
    plan = optimizer.plan([PLAIN["goodput"], window], headroom)
    assert plan.diagnosis == diagnose(window)
    assert plan.span == PerformanceOptimizer(2048, 16).span_for(headroom)
    assert plan.reason == ("memory is critical" if headroom == 0 else f"memory headroom {headroom:.0%}")


goodputs = st.dictionaries(st.integers(1, 512), st.floats(0.01, 1e5), max_size=8)


@given(st.lists(any_windows, max_size=30), goodputs)
def test_advice_is_given_for_what_limited_a_tenth_of_the_time_longest_first(
    windows: list[Window], goodput: dict[int, float]
) -> None:
    """Each thing that limited so long gets at most one piece of advice, nothing else does, the longest is first."""
    given_for = [each.about for each in PerformanceOptimizer(100).analyze(windows, goodput)]
    seconds = limiters_of(windows)
    enough = [limiter for limiter, share in seconds.items() if share >= 0.1 * sum(seconds.values())]
    assert given_for == [limiter for limiter in enough if limiter in given_for]
    assert set(enough) - set(given_for) <= {"goodput"}


@given(any_windows, goodputs)
def test_advice_is_a_sentence(window: Window, goodput: dict[int, float]) -> None:
    """Advice holds no figure that a person would not write, and none that is missing."""
    advice = advise(diagnose(window).limited_by, window, goodput)
    if advice is not None:
        assert not re.search(r"None|nan|inf\b|e\+", advice)
        assert advice[-1] != "."


ADVICE: dict[Limiter, str] = {
    "source": "the source is the slowest part",
    "cache": "lookups take 93% of the time",
    "rate": "429 above 40 requests/s",
    "capacity": "refuses more than 32 calls at once",
    "memory": "raise resources.max_memory_mb",
    "cpu": "several processes",
    "sink": "writes 97% of the time",
    "user": "resources.max_concurrent allows 16 calls at once",
}


@pytest.mark.parametrize("limiter", ADVICE)
def test_a_plain_example_of_advice(limiter: Limiter) -> None:
    """Advice names what a person can change, with the figures."""
    advice = PerformanceOptimizer(100).analyze([PLAIN[limiter]])
    assert [each.about for each in advice] == [limiter]
    assert ADVICE[limiter] in advice[0].advice


def test_what_limited_for_a_moment_gets_no_advice() -> None:
    """One second of twenty is not worth a word, two are; the longest is named first."""
    windows = [*[PLAIN["rate"]] * 17, *[PLAIN["sink"]] * 2, PLAIN["source"]]
    assert [each.about for each in PerformanceOptimizer(100).analyze(windows)] == ["rate", "sink"]
    assert PerformanceOptimizer(100).analyze([]) == []


LINEAR = {8: 8.0, 16: 16.0, 32: 32.0}
FLAT = {16: 100.0, 32: 100.0, 64: 100.0}


def test_predictions_name_what_they_compare() -> None:
    """What more calls would gain is told from the best that was measured; without measurements nothing is predicted."""
    goodput, user = PLAIN["goodput"], replace(PLAIN["user"], most=32, limit=32)
    assert advise("goodput", replace(goodput, limit=20), LINEAR) == (
        "about 64 calls at once are predicted to give 100% more than 32"
    )
    assert "does its best at about 64 calls" in (advise("goodput", goodput, FLAT) or "")
    assert advise("goodput", goodput, {}) is None
    assert advise("user", user, LINEAR) == (
        "resources.max_concurrent allows 32 calls at once; twice as many would give about 100% more"
    )
    assert advise("user", user, FLAT) == "resources.max_concurrent allows 32 calls at once"


def test_other_advice() -> None:
    """A rate of tokens, an unknown rate, an outage, a fixed limit and a configured rate: each has its own."""
    rate, user = PLAIN["rate"], PLAIN["user"]
    tokens = replace(rate, requests_per_second=None, tokens_per_second=33_333.3)
    assert "429 above 33333 text tokens/s" in (advise("rate", tokens, {}) or "")
    assert "429 above the account's rate" in (advise("rate", replace(tokens, tokens_per_second=None), {}) or "")
    assert "look whether it runs" in (advise("capacity", replace(user, down=True), {}) or "")
    assert "fixed at 16" in (advise("user", replace(user, adaptive=False), {}) or "")
    assert "llm.requests_per_minute" in (advise("user", replace(rate, configured_rate=True), {}) or "")
