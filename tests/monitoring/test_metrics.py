"""The sliding window against the plain list it stands for."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc import ResourceMetrics, ResourceSample
from streamproc.monitoring.metrics import MOST_SAMPLES

values = st.one_of(st.none(), st.floats(0, 1e9))
series = st.lists(st.tuples(st.floats(0, 100), values), min_size=1, max_size=60)


def filled(steps: list[tuple[float, float | None]], seconds: float) -> tuple[ResourceMetrics, list[ResourceSample]]:
    window, at, samples = ResourceMetrics(seconds), 0.0, []
    for pause, value in steps:
        at += pause
        samples.append(ResourceSample(at=at, cpu_percent=value))
        window.add(samples[-1])
    return window, samples


@given(series, st.floats(0.1, 500))
def test_the_window_holds_just_its_seconds(steps: list[tuple[float, float | None]], seconds: float) -> None:
    """It holds the samples that lie no further back than its seconds from the newest, and no other."""
    window, samples = filled(steps, seconds)
    assert list(window) == [sample for sample in samples if samples[-1].at - sample.at <= seconds]
    assert window.latest == samples[-1]


@given(series, st.floats(0, 100), st.floats(0, 100))
def test_percentiles_lie_where_they_should(
    steps: list[tuple[float, float | None]], percent: float, other: float
) -> None:
    """A percentile is one of the values, no fewer than its share of them lie at or under it, and it grows with the
    percentage; without a value there is none."""
    window, samples = filled(steps, 1e9)
    known = [sample.cpu_percent for sample in samples if sample.cpu_percent is not None]
    low, high = (window.percentile("cpu_percent", each) for each in sorted((percent, other)))
    if not known:
        assert low is high is window.mean("cpu_percent") is window.peak("cpu_percent") is None
        return
    assert low is not None
    assert high is not None
    assert min(known) <= low <= high <= max(known)
    assert low in known
    share = Fraction(sum(value <= high for value in known), len(known))
    assert share >= Fraction(max(percent, other)) / 100 * (1 - Fraction(1, 10**12))
    assert window.peak("cpu_percent") == max(known)
    assert window.mean("cpu_percent") == pytest.approx(math.fsum(known) / len(known))


@given(
    st.floats(-1e3, 1e3),
    st.floats(-1e6, 1e6),
    st.lists(st.floats(0.01, 10), min_size=2, max_size=60),
    st.floats(0, 1e6),
)
def test_the_trend_of_a_line_is_its_slope(slope: float, start: float, pauses: list[float], begin: float) -> None:
    """Samples on a straight line have its slope as their trend, whatever the clock began at."""
    window, at = ResourceMetrics(1e9), begin
    for pause in pauses:
        at += pause
        window.add(ResourceSample(at=at, cpu_percent=start + slope * (at - begin)))
    trend = window.trend("cpu_percent")
    assert trend == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_an_example() -> None:
    """Ten seconds of memory that grows by 5 a second."""
    window = ResourceMetrics(window_seconds=4)
    for second in range(10):
        window.add(ResourceSample(at=second, resident_bytes=100 + 5 * second, concurrent=None))
    assert len(window) == 5
    assert window.mean("resident_bytes") == 135
    assert window.peak("resident_bytes") == 145
    assert window.percentile("resident_bytes", 50) == 135
    assert window.trend("resident_bytes") == pytest.approx(5)
    assert window.trend("concurrent") is None


def test_memory_is_bounded() -> None:
    """However many samples come in a second, the window holds a bounded number."""
    window = ResourceMetrics()
    for number in range(2 * MOST_SAMPLES):
        window.add(ResourceSample(at=number * 1e-9))
    assert len(window) == MOST_SAMPLES


def test_misuse_is_refused() -> None:
    """A window of no length, a sample from the past, and a percentage over 100 are refused with the rule."""
    with pytest.raises(ValueError, match="window_seconds must be > 0"):
        ResourceMetrics(0)
    window = ResourceMetrics()
    assert window.latest is None
    window.add(ResourceSample(at=2))
    with pytest.raises(ValueError, match="samples come in order"):
        window.add(ResourceSample(at=1))
    with pytest.raises(ValueError, match="between 0 and 100"):
        window.percentile("concurrent", 101)
