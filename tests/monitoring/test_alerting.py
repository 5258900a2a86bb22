"""Alerts against their laws: when one may begin, what may end it, and what is told of it."""

import math
from collections.abc import Sequence
from itertools import cycle, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.errors import ConfigError
from streamproc.monitoring.alerting import AlertBook, AlertTiming, Reading, ResourceAlert

AT_ONCE = AlertTiming(for_seconds=0, keep_firing_seconds=0, fall_ratio=0.9, repeat_seconds=1e9)
values = st.one_of(st.none(), st.floats(0, 150), st.just(math.nan))
known = st.floats(0, 150)
steps = st.lists(st.tuples(st.integers(0, 5), values), min_size=1, max_size=60)


def reading(value: float | None, warning: float = 80, critical: float = 100) -> Reading:
    return Reading(
        metric="heat", value=value, warning=warning, critical=critical, title="The heat", unit="count", advice="cool it"
    )


def told(
    book: AlertBook, script: Sequence[tuple[float, float | None]], critical: float = 100
) -> list[tuple[float, ResourceAlert]]:
    """Give what the book tells of a script of pauses and values, and when."""
    now, events = 0.0, []
    for pause, value in script:
        now += pause
        events += [(now, alert) for alert in book.observe([reading(value, critical=critical)], now)]
    return events


def present(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


@given(st.lists(known, min_size=1, max_size=80))
def test_one_event_for_each_crossing_of_the_band(series: list[float]) -> None:
    """Without patience, an alert fires when its figure comes to 80 from where it is resolved, is resolved when it
    falls under 72, and says nothing in between."""
    expected, firing = [], False
    for number, value in enumerate(series):
        if (not firing and value >= 80) or (firing and value < 72):
            firing = not firing
            expected.append((number + 1, "firing" if firing else "resolved"))
    events = told(AlertBook(AT_ONCE), [(1, value) for value in series], critical=math.inf)
    assert [(int(now), alert.state) for now, alert in events] == expected


@given(steps, st.integers(1, 12))
def test_nothing_fires_before_it_was_over_for_long_enough(
    script: list[tuple[int, float | None]], patience: int
) -> None:
    """When an alert is first told, its figure was over the threshold at every reading of the last `for_seconds`; time
    in which nothing could be read does not count."""
    book = AlertBook(AlertTiming(for_seconds=patience, keep_firing_seconds=0, repeat_seconds=1e9))
    now, held, last, firing = 0.0, None, None, False
    for pause, value in script:
        now += pause
        if not present(value):
            last = None
        else:
            assert value is not None
            passed = 0.0 if last is None else now - last
            last = now
            held = None if value < 80 else 0.0 if held is None else held + passed
        for alert in book.observe([reading(value, critical=math.inf)], now):
            assert present(value)
            if alert.state == "firing":
                assert held is not None
                assert held >= patience
                assert alert.since <= now - patience
            firing = alert.state == "firing"
        if not firing and present(value):
            assert held is None or held < patience


@given(steps, steps, st.integers(0, 10), st.integers(0, 10))
def test_silence_changes_nothing(
    script: list[tuple[int, float | None]], silence: list[tuple[int, float | None]], patience: int, keep: int
) -> None:
    """Readings without a value tell nothing, and what fires goes on firing however long they last."""
    book = AlertBook(AlertTiming(for_seconds=patience, keep_firing_seconds=keep, repeat_seconds=1))
    told(book, script)
    before = book.firing
    now = sum(pause for pause, _ in script)
    for pause, _ in silence:
        now += pause
        assert book.observe([reading(None)], now) == []
        assert book.firing == before


@given(steps, st.integers(0, 6), st.integers(0, 6), st.integers(1, 20), st.lists(st.sampled_from([50, 100, math.inf])))
def test_each_alert_is_told_in_turn(
    script: list[tuple[int, float | None]], patience: int, keep: int, repeat: int, bounds: list[float]
) -> None:
    """At each level, firing and resolved take turns, with repeats only while it fires, and not more often than asked;
    while it is critical nothing is told of the warning. So it is even where the thresholds change under it."""
    timing = AlertTiming(for_seconds=patience, keep_firing_seconds=keep, repeat_seconds=repeat)
    book, now, events = AlertBook(timing), 0.0, []
    for (pause, value), bound in zip(script, cycle([*bounds, 100]), strict=False):
        now += pause
        events += [(now, alert) for alert in book.observe([reading(value, critical=bound)], now)]
    for level in ("warning", "critical"):
        own = [(now, alert) for now, alert in events if alert.level == level]
        assert [alert.state for _, alert in own if not alert.repeated] == ["firing", "resolved"] * (
            sum(not alert.repeated for _, alert in own) // 2
        ) + ["firing"] * (sum(not alert.repeated for _, alert in own) % 2)
        for (before, first), (now, second) in pairwise(own):
            if second.repeated:
                assert first.state == "firing" == second.state
                assert now - before >= repeat
            if second.state == "resolved":
                assert second.since == first.since
    critical = False
    for _, alert in events:
        if alert.level == "critical":
            critical = alert.state == "firing"
        else:
            assert not critical


@given(st.lists(known, min_size=1, max_size=60))
def test_what_fires_is_the_worst(series: list[float]) -> None:
    """`firing` holds at most one alert for a figure, and a critical one if its figure is critical."""
    book = AlertBook(AT_ONCE)
    for now, value in enumerate(series):
        book.observe([reading(value)], now)
        levels = [alert.level for alert in book.firing]
        assert len(levels) <= 1
        if value >= 100:
            assert levels == ["critical"]
        elif value >= 90:
            assert levels in (["critical"], ["warning"])
        elif value < 72:
            assert levels == []


def test_a_day_in_the_life_of_an_alert() -> None:
    """Memory rises, is critical for a while, and falls again."""
    book = AlertBook(AlertTiming(for_seconds=2, keep_firing_seconds=2, repeat_seconds=60))
    script = [85, 85, 85, 101, 101, 101, 95, 89, 89, 89, 85, 60, 60, 60]
    shown = [(int(now), alert.level, alert.state) for now, alert in told(book, [(1, value) for value in script])]
    assert shown == [
        (3, "warning", "firing"),
        (6, "critical", "firing"),
        (10, "critical", "resolved"),
        (14, "warning", "resolved"),
    ]
    assert book.firing == []


def test_what_ended_behind_something_worse_keeps_its_beginning() -> None:
    """A warning that ended while its figure was critical, and that begins anew as that ends, is resolved with the time
    at which the one that was told began."""
    book = AlertBook(AlertTiming(for_seconds=5, keep_firing_seconds=0))
    script = [(0, 85.0, math.inf), (5, 85.0, 50), (10, 85.0, 50), (11, 60.0, 50), (12, 85.0, math.inf)]
    shown = [
        (now, alert.level, alert.state, alert.since)
        for now, value, critical in script
        for alert in book.observe([reading(value, critical=critical)], now)
    ]
    assert shown == [
        (5, "warning", "firing", 0),
        (10, "critical", "firing", 5),
        (12, "critical", "resolved", 5),
        (12, "warning", "resolved", 0),
    ]


def test_a_message_says_what_to_do() -> None:
    """An alert that fires says what is wrong, by how much, and what can be done."""
    ((_, alert),) = told(AlertBook(AT_ONCE), [(3, 85.0)])
    assert alert.message == "The heat is 85, at or over the warning threshold of 80: cool it"
    assert (alert.metric, alert.value, alert.threshold, alert.since, alert.at) == ("heat", 85.0, 80, 3, 3)


def test_single_figures_can_have_their_own_patience() -> None:
    """A figure that is named is treated by its own timing."""
    book = AlertBook(AlertTiming(for_seconds=60), {"heat": AT_ONCE})
    assert [alert.state for _, alert in told(book, [(1, 85.0)])] == ["firing"]


def test_timings_that_mean_nothing_are_refused() -> None:
    """A negative patience, or a fall above the rise, is refused with the rule."""
    with pytest.raises(ConfigError, match="for_seconds: must be >= 0"):
        AlertTiming(for_seconds=-1)
    with pytest.raises(ConfigError, match="fall_ratio: must be <= 1"):
        AlertTiming(fall_ratio=1.5)
