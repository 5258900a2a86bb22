"""What a whole run says limited it, and how many calls at once it came to: on simulated endpoints, on virtual time."""

from typing import Any

import anyio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streamproc.flow.meter import Snapshot
from streamproc.simulation.completer import SimulatedCompleter
from streamproc.simulation.profiles import Profile, profile_named
from streamproc.simulation.virtual_time import run_virtual
from tests.pipeline.scenes import Echo, SlowSink, SlowSource, config, play, played, records

UNWATCHED = config(resources={"monitoring_enabled": False})
"""Where the clock jumps, this process is always busy."""
runs = settings(max_examples=4, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""Whole runs; a smaller one is no simpler."""


@runs
@given(st.integers(16, 96), st.integers(0, 1000))
def test_the_limit_is_found_without_any_setting(places: int, seed: int) -> None:
    """On an endpoint with a hard knee, where a call takes a second, a run comes to about as many calls at once as it
    has places, uses them, and says what limited it."""
    knee = Profile(
        name="k", ttft_seconds=0.05, step_seconds_floor=0.015, max_running=places, output_mu=4.0, output_sigma=0.5
    )
    limits: list[float] = []
    running = played(120 * places, config(), SimulatedCompleter(knee, seed))
    report = run_virtual(running.run(watchers=[lambda snapshot: limits.append(snapshot.gauges["llm_call_permits"])]))
    assert report.completed == 120 * places
    late = sorted(limits[len(limits) // 2 :])
    assert 0.7 * places <= late[len(late) // 2] <= 2 * places, "the steps of the grid are wide"
    assert report.records_per_second >= 0.8 * places
    assert report.limited_by == "goodput"


@runs
@given(st.integers(1, 32))
def test_what_the_user_allows_is_never_exceeded(most: int) -> None:
    """Below the endpoint's best, a run uses all calls that `resources.max_concurrent` allows and no more, and says
    whose the limit is."""
    report = play(300 * most, config(resources={"max_concurrent": most}), Echo(1.0))
    assert report.peak_concurrency == report.final_concurrency == most
    assert report.limited_by == "user"
    assert any(f"allows {most} calls" in advice for advice in report.recommendations)


@runs
@given(st.integers(1, 32))
def test_a_fixed_limit_stays(calls: int) -> None:
    """Without adaptation the run ends with as many calls at once as it began with."""
    report = play(40 * calls, config({"adaptive": False, "initial": calls}), Echo(1.0))
    assert report.peak_concurrency == report.final_concurrency == calls
    assert report.limited_by == "user"


def simulated(profile: str) -> SimulatedCompleter:
    return SimulatedCompleter(profile_named(profile))


def test_a_plain_example() -> None:
    """64 places: about 64 calls at once; of 16 that are allowed all are used; of 600 requests a minute too."""
    report = play(6000, config(), simulated("hard-knee"))
    assert 45 <= report.final_concurrency <= 102
    assert report.limited_by == "goodput"
    report = play(3000, config(resources={"max_concurrent": 16}), simulated("hard-knee"))
    assert (report.final_concurrency, report.limited_by) == (16, "user")
    report = play(3000, config(), simulated("rate-limited"))
    assert report.limited_by == "rate"
    assert 260 <= report.elapsed_seconds <= 400
    assert any("429 above" in advice for advice in report.recommendations)


def test_a_slow_sink_is_told() -> None:
    """A sink that takes a second for each write of a quick endpoint's answers is what limits."""
    report = play(20_000, UNWATCHED, Echo(0.001), sink=SlowSink(1.0))
    assert (report.completed, report.limited_by) == (20_000, "sink")
    assert any("the sink writes" in advice for advice in report.recommendations)


def test_a_slow_source_is_told() -> None:
    """A source that gives twenty records a second to an endpoint that could do more is what limits."""
    report = play(600, UNWATCHED, Echo(0.1), source=SlowSource(records(600), 0.05))
    assert (report.completed, report.limited_by) == (600, "source")
    assert any("the source is the slowest part" in advice for advice in report.recommendations)


def test_a_slow_source_and_a_slow_sink_at_once() -> None:
    """A sink that writes all the time, each time what little came, does not hide the source that is slower."""
    report = play(300, UNWATCHED, Echo(0.1), source=SlowSource(records(300), 0.5), sink=SlowSink(0.1))
    assert report.limited_by == "source"


def test_the_workers_that_a_deadline_needs_are_told() -> None:
    """With a deadline and a source that knows what is left, snapshot and report hold the workers needed; else none."""

    async def main(**resources: Any) -> tuple[list[float | None], int | None]:
        seen: list[float | None] = []

        def look(snapshot: Snapshot) -> None:
            seen.append(snapshot.gauges.get("workers_needed"))

        fixed = config({"adaptive": False, "initial": 10}, resources)
        report = await played(1000, fixed, Echo(1.0)).run(watchers=[look])
        assert 100 - 1e-6 < anyio.current_time() < 102
        return seen, report.workers_needed

    seen, needed = run_virtual(main(deadline_seconds=25.0))
    assert 4 <= (seen[8] or 0) <= 6
    assert max(value or 0 for value in seen) <= 1000
    assert needed == 4
    assert run_virtual(main(deadline_seconds=1000.0))[1] == 1
    seen, needed = run_virtual(main())
    assert set(seen) == {None}
    assert needed is None


def test_where_nobody_knows_what_is_left_no_workers_are_named() -> None:
    """A deadline over an input of unknown length: nothing is said."""
    from streamproc import MemorySource

    source = MemorySource(iter(records(200)))
    assert play(200, config(resources={"deadline_seconds": 5.0}), Echo(1.0), source=source).workers_needed is None
