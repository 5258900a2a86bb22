"""Control as a whole, on simulated endpoints: where it settles, and how soon it is back."""

from itertools import pairwise

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.control.ours import Streamproc
from bench.control.play import play
from bench.control.scenarios import Scenario
from streamproc.control.concurrency.grid import Grid
from streamproc.simulation.lengths import LogNormal, Workload
from streamproc.simulation.profiles import Profile

MOST = 512
EVEN = Workload("even", LogNormal(5.0, 0.3), LogNormal(4.6, 0.4))
runs = settings(max_examples=8, derandomize=True, phases=[Phase.explicit, Phase.generate])
"""Whole runs of a search that meets chance: always the same ones, and a smaller endpoint is no simpler one."""
steps = st.floats(0.015, 0.04)


class Followed(Streamproc):
    """Notes the limit at each second."""

    def __init__(self) -> None:
        super().__init__(MOST)
        self.by_second: list[int] = []

    def tick(self, now: float) -> None:
        """Note it."""
        super().tick(now)
        self.by_second.append(self.limit)


def steps_between(limit: int, other: int) -> int:
    """How many levels of the grid lie between two limits."""
    levels = Grid(1, MOST).levels
    return abs(sum(level <= limit for level in levels) - sum(level <= other for level in levels))


@runs
@given(st.integers(12, 160), steps, st.integers(0, 1000))
def test_an_endpoint_that_does_not_change_is_found_and_held(places: int, step: float, seed: int) -> None:
    """At a hard knee of so many places the limit settles within two steps of the grid, and then hardly moves."""
    profile = Profile(name="p", ttft_seconds=0.05, step_seconds_floor=step, max_running=places)
    controller = Followed()
    figures = play(Scenario("p", seed, EVEN, profile, seconds=600.0), controller)
    late = controller.by_second[300:]
    assert steps_between(sorted(late)[len(late) // 2], places) <= 2
    moved = sum(1 for before, after in pairwise(late) if before != after)
    assert moved <= len(late) / 8
    seconds = 1.2 * 100 * step
    assert figures.goodput >= 0.8 * 100 * places / seconds


@runs
@given(st.integers(60, 130), steps, st.integers(0, 1000))
def test_capacity_that_comes_back_is_used_again(cap: int, step: float, seed: int) -> None:
    """A cap that falls to a third and returns: 60 seconds and six latencies later nine tenths of the goodput are there
    again."""
    full = Profile(name="p", ttft_seconds=0.3, step_seconds_floor=step, max_running=4096, max_concurrent=cap)
    low = replace(full, max_concurrent=cap // 3)
    scenario = Scenario("p", seed, EVEN, full, ((200.0, low), (350.0, full)), seconds=500.0)
    by_second = play(scenario, Followed()).tokens_by_second
    before = sum(by_second[150:200]) / 50
    back = 350 + 60 + round(6 * 110 * step)
    assert sum(by_second[back : back + 50]) / 50 >= 0.9 * before


@runs
@given(st.integers(24, 160), steps, st.floats(5, 90), st.integers(0, 1000))
def test_an_outage_that_is_over_is_over(places: int, step: float, seconds: float, seed: int) -> None:
    """503 to everything for a while: few ask meanwhile, and 60 seconds and six latencies after it nine tenths of the
    goodput are there again."""
    profile = Profile(name="p", ttft_seconds=0.05, step_seconds_floor=step, max_running=places)
    changes = ((200.0, replace(profile, ready=False)), (200.0 + seconds, profile))
    figures = play(Scenario("p", seed, EVEN, profile, changes, seconds=500.0), Followed())
    before = sum(figures.tokens_by_second[150:200]) / 50
    back = round(200 + seconds + 60 + 6 * 110 * step)
    assert sum(figures.tokens_by_second[back : back + 50]) / 50 >= 0.9 * before
    assert figures.wasted <= 2.5 * places + 20 + seconds


@runs
@given(st.integers(180, 900), st.integers(0, 1000))
def test_a_rate_of_requests_is_learned_and_hardly_exceeded(per_minute: int, seed: int) -> None:
    """An account with so many requests a minute: nearly all of them are used, and few are refused."""
    profile = Profile(name="p", ttft_seconds=0.3, step_seconds_floor=0.02, requests_per_minute=per_minute)
    figures = play(Scenario("p", seed, EVEN, profile, seconds=500.0), Followed())
    answered = figures.attempts - figures.wasted
    assert answered >= 0.85 * per_minute / 60 * 500
    assert figures.waste <= 0.06


def test_a_plain_example() -> None:
    """32 places, 20 ms a token: 1600 tokens a second, with about 32 in the air."""
    profile = Profile(name="p", step_seconds_floor=0.02, max_running=32)
    controller = Followed()
    figures = play(Scenario("p", 0, EVEN, profile, seconds=300.0), controller)
    assert figures.goodput == pytest.approx(1600, rel=0.1)
    assert 25 <= figures.limit_at_end <= 50
