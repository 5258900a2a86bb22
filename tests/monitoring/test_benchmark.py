"""What a benchmark says of the work it was told of, against the same figures by other means."""

import asyncio
import math
import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc import PerformanceBenchmark
from streamproc.errors import StreamprocError
from streamproc.monitoring.durations import Durations
from streamproc.simulation.virtual_time import run_virtual

SECONDS = st.floats(0, 1e6) | st.sampled_from([0.0, 0.001, 1.0])
PIECES = st.lists(st.tuples(SECONDS, st.booleans()), max_size=60)


class Watch:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def least(values, percent):
    """The least value that so many percent of all do not exceed."""
    return min(v for v in values if Fraction(sum(w <= v for w in values), len(values)) >= Fraction(percent, 100))


@given(PIECES, st.integers(0, 10))
def test_the_figures_are_those_of_what_came_after_the_warm_up(pieces, warm_up):
    """Count, ratio, mean, error and percentiles are what the statistics of the pieces after the warm-up say."""
    with PerformanceBenchmark("b", warm_up=warm_up) as benchmark:
        for seconds, success in pieces:
            benchmark.record(seconds, success)
    report, counted = benchmark.report(), pieces[warm_up:]
    assert (report.name, report.count) == ("b", len(counted))
    if not counted:
        assert (report.success_ratio, report.mean, report.standard_error) == (0.0, 0.0, None)
        assert (report.throughput, report.p50, report.p95, report.p99) == (0.0, 0.0, 0.0, 0.0)
        return
    values = [seconds for seconds, _ in counted]
    assert report.success_ratio == statistics.fmean(success for _, success in counted)
    assert report.mean == pytest.approx(statistics.fmean(values))
    assert (report.p50, report.p95, report.p99) == tuple(least(values, percent) for percent in (50, 95, 99))
    if len(values) == 1:
        assert report.standard_error is None
    else:
        error = statistics.stdev(values) / math.sqrt(len(values))
        assert report.standard_error == pytest.approx(error, rel=1e-6, abs=1e-9 * max(values) + 1e-30)


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=40), st.integers(0, 10), st.floats(0, 30))
def test_time_begins_when_the_warm_up_is_over(durations, warm_up, warm_up_seconds):
    """With both kinds of warm-up the first piece to end after both is the last that does not count; throughput and CPU
    are of the time from its end."""
    clock, cpu = Watch(), Watch()
    options = {"warm_up": warm_up, "warm_up_seconds": warm_up_seconds, "clock": clock, "cpu_seconds": cpu}
    ends, began = [], 0.0 if not warm_up and not warm_up_seconds else None
    with PerformanceBenchmark("b", **options) as benchmark:
        for number, seconds in enumerate(durations, start=1):
            with benchmark.measure():
                clock.now += seconds
                cpu.now += seconds / 4
            if began is not None:
                ends.append(clock.now)
            elif number >= warm_up and clock.now >= warm_up_seconds:
                began = clock.now
        clock.now += 1.0
    clock.now += 100.0
    report = benchmark.report()
    elapsed = 0.0 if began is None else clock.now - 100.0 - began
    assert report.count == len(ends)
    assert report.elapsed_seconds == pytest.approx(elapsed)
    assert report.throughput == pytest.approx(len(ends) / elapsed if elapsed else 0.0)
    assert report.cpu_seconds == pytest.approx(0.0 if began is None else (elapsed - 1.0) / 4, abs=1e-9)


def test_tasks_that_overlap_are_each_timed_by_themselves():
    """Ten tasks of 1 to 10 virtual seconds at once: each counts its own seconds, and all took ten."""

    async def run():
        async with PerformanceBenchmark("b", clock=asyncio.get_running_loop().time) as benchmark:

            async def work(seconds):
                with benchmark.measure():
                    await asyncio.sleep(seconds)
                    if seconds == 3:
                        raise ConnectionError

            results = await asyncio.gather(*map(work, range(1, 11)), return_exceptions=True)
        assert [type(result) for result in results].count(ConnectionError) == 1
        return benchmark.report()

    report = run_virtual(run())
    assert (report.count, report.success_ratio) == (10, 0.9)
    assert (report.mean, report.p50, report.p99) == pytest.approx((5.5, 5.0, 10.0))
    assert (report.elapsed_seconds, report.throughput) == pytest.approx((10.0, 1.0))


def test_what_a_piece_raises_goes_on_and_is_a_failure():
    """A piece that raises counts as failed, whatever it raises."""
    with PerformanceBenchmark("b") as benchmark:
        for error in (ValueError, KeyboardInterrupt, asyncio.CancelledError):
            with pytest.raises(error), benchmark.measure():
                raise error
        with benchmark.measure():
            pass
    assert (benchmark.report().count, benchmark.report().success_ratio) == (4, 0.25)


def test_a_report_inside_the_block_is_of_what_was_so_far():
    """Figures may be asked for while work goes on, and change with it."""
    clock = Watch()
    with PerformanceBenchmark("b", clock=clock) as benchmark:
        clock.now = 2.0
        benchmark.record(1.0)
        assert (benchmark.report().count, benchmark.report().throughput) == (1, 0.5)
        clock.now = 4.0
        assert benchmark.report().throughput == 0.25
    assert benchmark.report().peak_memory_bytes > 1_000_000


@pytest.mark.parametrize("seconds", [-0.001, math.nan, math.inf])
def test_what_is_no_duration_is_refused(seconds):
    """Negative and infinite durations, and what is no number, do not get in."""
    with PerformanceBenchmark("b") as benchmark, pytest.raises(ValueError):
        benchmark.record(seconds)
    assert benchmark.report().count == 0


@pytest.mark.parametrize("warm_up", [{"warm_up": -1}, {"warm_up_seconds": -1.0}, {"warm_up_seconds": math.nan}])
def test_a_warm_up_that_cannot_be_is_refused(warm_up):
    """Warm-ups are not negative, and end."""
    with pytest.raises(ValueError):
        PerformanceBenchmark("b", **warm_up)


def test_work_is_recorded_inside_the_one_block():
    """Before and after its block nothing is recorded, and there is no second block."""
    benchmark = PerformanceBenchmark("b")
    assert benchmark.report().count == 0
    with pytest.raises(StreamprocError):
        benchmark.record(1.0)
    with benchmark:
        benchmark.record(1.0)
    with pytest.raises(StreamprocError):
        benchmark.record(1.0)
    with pytest.raises(StreamprocError), benchmark:
        pass
    assert benchmark.report().count == 1


def test_of_more_than_are_kept_a_fair_sample_is():
    """Of 200,000 durations a sample of 20,000 is kept; its percentiles are within two percent of all, in whatever order
    they came, while count, mean and error are exact."""
    values = [number / 200_000 for number in range(200_000)]
    for ordered in (values, values[::-1]):
        durations = Durations(most=20_000)
        for value in ordered:
            durations.add(value)
        assert len(durations._kept) == 20_000
        assert durations.percentiles((50, 95, 99)) == pytest.approx([0.5, 0.95, 0.99], abs=0.02)
        assert durations.mean == pytest.approx(statistics.fmean(values))
        assert durations.standard_error == pytest.approx(statistics.stdev(values) / math.sqrt(len(values)))
