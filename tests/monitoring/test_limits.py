"""Limits against their laws: headroom has bounds and never grows with pressure, and alerts agree with it."""

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamproc import ResourceLimits, ResourceSample
from streamproc.errors import ConfigError
from streamproc.monitoring.sample import GpuSample

sizes = st.one_of(st.none(), st.integers(0, 2**50))
shares = st.one_of(st.none(), st.floats(0, 1))
FIGURES = {
    "resident_bytes": sizes,
    "memory_used_bytes": sizes,
    "cpu_percent": st.one_of(st.none(), st.floats(0, 100)),
    "loop_lag_seconds": st.one_of(st.none(), st.floats(0, 100)),
    "concurrent": st.one_of(st.none(), st.integers(0, 10_000)),
    "open_files": st.one_of(st.none(), st.integers(0, 10_000)),
    "memory_pressure": shares,
}
samples = st.builds(
    ResourceSample,
    at=st.floats(0, 1e6),
    memory_limit_bytes=sizes,
    open_files_limit=st.one_of(st.none(), st.integers(0, 10_000)),
    **FIGURES,
)
bounds = st.one_of(st.none(), st.floats(0.001, 1e6))


@st.composite
def limits(draw: st.DrawFn) -> ResourceLimits:
    warning, critical = sorted(draw(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1))))
    assume(critical - warning > 1e-6)
    return ResourceLimits(
        draw(bounds),
        draw(st.one_of(st.none(), st.floats(0.1, 100))),
        draw(st.one_of(st.none(), st.integers(1, 5000))),
        warning,
        critical,
        max_loop_lag_seconds=draw(bounds),
        max_memory_pressure=draw(st.one_of(st.none(), st.floats(0.01, 1))),
    )


@given(limits(), samples)
def test_headroom_agrees_with_the_alerts(limit: ResourceLimits, sample: ResourceSample) -> None:
    """Headroom lies between 0 and 1; it is 0 exactly if something is critical, and 1 if nothing is over a threshold."""
    headroom = limit.headroom(sample)
    alerts = limit.check(sample)
    levels = {alert.level for alert in alerts}
    assert 0 <= headroom <= 1
    assert (headroom == 0) == ("critical" in levels)
    if not alerts:
        assert headroom == 1
    assert len({alert.metric for alert in alerts}) == len(alerts)
    assert all(alert.value >= alert.threshold and alert.since == sample.at for alert in alerts)


@given(limits(), samples, st.sampled_from(sorted(FIGURES)), st.floats(1, 10))
def test_more_pressure_never_gives_more_headroom(
    limit: ResourceLimits, sample: ResourceSample, figure: str, times: float
) -> None:
    """When one figure grows and all else stays, headroom stays or shrinks."""
    value = getattr(sample, figure)
    assume(value is not None)
    worse = msgspec.structs.replace(sample, **{figure: type(value)(value * times)})
    assert limit.headroom(worse) <= limit.headroom(sample)


@given(limits(), samples, st.sampled_from(sorted(FIGURES)))
def test_what_is_not_known_does_not_count(limit: ResourceLimits, sample: ResourceSample, figure: str) -> None:
    """A figure that goes missing raises no alert and takes no headroom; with none known there is all of it."""
    without = msgspec.structs.replace(sample, **{figure: None})
    assert limit.headroom(without) >= limit.headroom(sample)
    assert {alert.metric for alert in limit.check(without)} <= {alert.metric for alert in limit.check(sample)}
    assert limit.headroom(ResourceSample(at=0)) == 1
    assert limit.check(ResourceSample(at=0)) == []


def test_an_example() -> None:
    """960 MB of 1000 is critical, half-way between the thresholds is half the room, 700 MB is plenty."""
    limit = ResourceLimits(max_memory_mb=1000, max_cpu_percent=80, max_concurrent=10)
    (alert,) = limit.check(ResourceSample(at=7, resident_bytes=960_000_000))
    assert (alert.metric, alert.level, alert.state, alert.value) == ("memory", "critical", "firing", 960_000_000)
    assert alert.threshold == pytest.approx(950_000_000)
    assert alert.message.startswith(
        "The resident memory of this process is 960 MB, at or over the critical threshold of 950 MB: lower"
    )
    assert limit.headroom(ResourceSample(at=7, resident_bytes=875_000_000)) == pytest.approx(0.5)
    assert limit.headroom(ResourceSample(at=7, resident_bytes=700_000_000, cpu_percent=10, concurrent=3)) == 1


def test_a_full_gpu_counts_only_if_asked() -> None:
    """Engines fill a GPU's memory on purpose, so a bound of it must be asked for."""
    full = GpuSample(index=0, memory_used_bytes=99, memory_total_bytes=100)
    unknown = GpuSample(index=1, memory_total_bytes=100)
    sample = ResourceSample(at=0, gpus=(unknown, full))
    assert ResourceLimits().check(sample) == []
    assert [alert.metric for alert in ResourceLimits(max_gpu_memory_ratio=0.9).check(sample)] == ["gpu_memory"]


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"max_memory_mb": 0}, "max_memory_mb: must be > 0, got 0"),
        ({"max_cpu_percent": 101}, "max_cpu_percent: must be > 0 and <= 100, got 101"),
        ({"max_memory_mb": float("nan")}, "max_memory_mb: must be > 0"),
        ({"max_concurrent": -1}, "max_concurrent: must be > 0"),
        ({"warning_ratio": 0.95}, "warning_ratio: must be < critical_ratio"),
        ({"critical_ratio": 1.1}, "critical_ratio, and that <= 1"),
    ],
)
def test_bounds_that_mean_nothing_are_refused(settings: dict[str, float], rule: str) -> None:
    """A bound that is not positive, or ratios out of order, are refused with the rule."""
    with pytest.raises(ConfigError) as refused:
        ResourceLimits(**settings)
    assert rule in str(refused.value)
