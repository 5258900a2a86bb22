"""The monitor and its parts on an event loop: what it counts, whom it tells, and that nobody can harm it."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc import LimitReached, ResourceAlert, ResourceLimits, ResourceMonitor, ResourceSample
from streamproc.monitoring.alerting import AlertTiming, Reading
from streamproc.monitoring.loop_lag import LoopLag
from streamproc.monitoring.operations import Operations
from streamproc.monitoring.sampler import Sampler
from streamproc.monitoring.watch import ResourceWatch
from streamproc.simulation.virtual_time import run_virtual

AT_ONCE = AlertTiming(for_seconds=0, keep_firing_seconds=0)


class Script(Sampler):
    """Gives samples as told."""

    def __init__(self, samples: list[dict[str, float]]) -> None:
        super().__init__()
        self.samples = samples

    def sample(self, at: float) -> ResourceSample:
        return ResourceSample(at=at, **self.samples.pop(0))  # type: ignore[arg-type]


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 25))
def test_no_more_than_the_limit_under_way_whatever_is_cancelled(seed: int, most: int, tasks: int) -> None:
    """Tasks that come, wait, fail and are cancelled at any moment: never more than the limit are under way, only one
    too many is refused, and at the end none is."""
    draw = random.Random(seed)
    operations = Operations(most)
    inside = 0

    async def work(seconds: float, *, fail: bool) -> None:
        nonlocal inside
        full = operations.under_way >= most
        try:
            with operations.track():
                assert not full
                inside += 1
                try:
                    assert inside == operations.under_way <= most
                    await asyncio.sleep(seconds)
                    if fail:
                        raise OSError("as planned")
                finally:
                    inside -= 1
        except LimitReached:
            assert full

    async def main() -> None:
        running = []
        for _ in range(tasks):
            running.append(asyncio.create_task(work(draw.choice([0, 1, 2, 5]), fail=draw.random() < 0.3)))
            if draw.random() < 0.4:
                draw.choice(running).cancel()
            if draw.random() < 0.7:
                await asyncio.sleep(draw.choice([0, 1]))
        await asyncio.gather(*running, return_exceptions=True)
        assert operations.under_way == inside == 0
        assert operations.peak <= most

    run_virtual(main())


def test_one_operation_too_many_is_refused() -> None:
    """The fifth of four is refused with the rule, and may begin when another has ended."""
    monitor = ResourceMonitor(ResourceLimits(max_concurrent=4))
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(monitor.track())
        with pytest.raises(LimitReached, match="4 operations are under way, and max_concurrent is 4"):
            stack.enter_context(monitor.track())
        assert monitor.sample().concurrent == 4
        assert monitor.operations.refused == 1
        assert monitor.headroom == 0
    with monitor.track():
        assert monitor.operations.under_way == 1


def test_the_monitor_samples_once_an_interval_and_ends_with_its_block() -> None:
    """On virtual time: a sample a second, a window of ten, and no task afterwards."""

    async def main() -> None:
        async with ResourceMonitor(ResourceLimits(), interval_seconds=1, window_seconds=10) as monitor:
            await asyncio.sleep(30.5)
            assert [sample.at for sample in monitor.metrics] == pytest.approx(list(range(20, 31)))
            assert monitor.metrics.peak("loop_lag_seconds") == 0
            assert monitor.metrics.mean("resident_bytes")
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await monitor.aclose()
        await asyncio.sleep(5)
        assert monitor.metrics.latest is not None
        assert monitor.metrics.latest.at == pytest.approx(30)

    run_virtual(main())


def test_a_callback_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged; the others are told, and it is asked again."""
    caplog.set_level(logging.INFO, "streamproc")
    told: list[ResourceAlert] = []

    def broken(_: ResourceAlert) -> None:
        raise RuntimeError("pager is out of paper")

    watch = ResourceWatch(
        ResourceLimits(max_concurrent=1), Script([{"concurrent": 1}, {"concurrent": 0}]), timing=AT_ONCE
    )
    watch.on_alert(broken)
    watch.on_alert(told.append)
    watch.tick(1)
    watch.tick(2)
    assert [(alert.metric, alert.state) for alert in told] == [("concurrent", "firing"), ("concurrent", "resolved")]
    assert [(entry.message, entry.levelname) for entry in caplog.records] == [
        ("alert.firing", "ERROR"),
        ("alert.listener_failed", "WARNING"),
        ("alert.resolved", "INFO"),
        ("alert.listener_failed", "WARNING"),
    ]
    assert vars(caplog.records[1])["reason"] == "pager is out of paper"


def test_a_tick_of_ones_own_and_readings_of_ones_own() -> None:
    """A supervisor drives the watch by hand, and has its own figure watched beside the resources."""
    told: list[ResourceAlert] = []
    watch = ResourceWatch(
        ResourceLimits(max_memory_mb=100),
        Script([{"resident_bytes": 10}, {"resident_bytes": 90_000_000}, {"resident_bytes": 99_000_000}]),
        timing=AT_ONCE,
        listeners=[told.append],
    )
    assert watch.headroom == 1
    for now, (silent, headroom) in enumerate([(0, 1), (70, 1 / 3), (400, 0)]):
        stall = Reading(
            metric="stall", value=silent, warning=60, critical=300, title="The time", unit="seconds", advice="look"
        )
        sample, alerts = watch.tick(now, [stall])
        assert sample.at == now
        assert told[len(told) - len(alerts) :] == alerts
        assert watch.headroom == pytest.approx(headroom)
    assert [(alert.metric, alert.level) for alert in told] == [
        ("memory", "warning"),
        ("stall", "warning"),
        ("memory", "critical"),
        ("stall", "critical"),
    ]


@given(st.integers(1, 10**9), st.floats(0, 200))
def test_recommended_sizes(current: int, megabytes: float) -> None:
    """A recommended size is at least 1, at least half of what it was, no more than it was unless there is plenty of
    room, and then at most a tenth, or one, more."""
    watch = ResourceWatch(
        ResourceLimits(max_memory_mb=100), Script([{"resident_bytes": int(megabytes * 1e6)}]), listeners=[]
    )
    watch.tick(0)
    size = watch.recommend_batch_size(current)
    assert isinstance(size, int)
    assert size >= max(1, current // 2)
    if watch.headroom < 1:
        assert size <= current
    else:
        assert current < size <= max(current + 1, current * 1.1)
    with pytest.raises(ValueError, match="current must be >= 1"):
        watch.recommend_batch_size(0)


@pytest.mark.parametrize("drive", [run_virtual, asyncio.run])
def test_lag_of_a_loop_on_time_is_small(drive: Callable[..., None]) -> None:
    """A loop that is on time has next to no lag; nothing is known before it was measured and after that anew."""

    async def main() -> None:
        lag = LoopLag(interval_seconds=0.005)
        assert (lag.take(), lag.p99, lag.peak) == (None, None, None)
        lag.start()
        lag.start()
        await asyncio.sleep(0.06)
        worst = lag.take()
        assert worst is not None
        assert 0 <= worst < 0.5
        assert lag.p99 is not None
        assert lag.peak is not None
        assert lag.p99 <= lag.peak <= worst
        lag.stop()
        lag.stop()
        assert lag.take() is None

    drive(main())


def test_lag_of_a_loop_that_was_held_up() -> None:
    """On a clock that moves while the loop is busy, the time that it was busy past its timer is the lag, even before
    the timer was called; what is older than the window is let go."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        lag = LoopLag(interval_seconds=0.1, window_seconds=1)
        lag.start()
        await asyncio.sleep(0.05)
        loop._jumping.now += 0.5  # type: ignore[attr-defined]
        assert lag.take() == pytest.approx(0.45)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert lag.peak == pytest.approx(0.45)
        await asyncio.sleep(3)
        assert lag.peak == pytest.approx(0)
        assert len(lag._seen) > 5
        loop._jumping.now += 2  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(lag._seen) == 1
        lag.stop()

    run_virtual(main())


def test_settings_that_mean_nothing_are_refused() -> None:
    """An interval of no length is refused with the rule."""
    with pytest.raises(ValueError, match="interval_seconds must be > 0"):
        ResourceMonitor(ResourceLimits(), interval_seconds=0)
    with pytest.raises(ValueError, match="0 < interval_seconds <= window_seconds"):
        LoopLag(2, 1)
